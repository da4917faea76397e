"""Which control planes share this database: for workers and the command line, to know where else to go."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.store.protocol import Reader
from swarmworks.wire.replicas import ReplicaView

router = APIRouter()
Services = Annotated[ControlPlaneServices, Depends(services)]


@router.get("/replicas")
async def replicas(plane: Services) -> list[ReplicaView]:
    def read(reader: Reader) -> list[ReplicaView]:
        chores = reader.chores()
        return [
            ReplicaView(
                id=one.id,
                name=one.name,
                api_url=one.api_url,
                gateway_url=one.gateway_url,
                chores=tuple(subject for subject, holder in chores.items() if holder == one.id),
                me=one.id == plane.replicas.me.id,
            )
            for one in reader.replicas()
        ]

    return await plane.store.read(read)
