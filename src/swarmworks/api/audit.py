"""Routes for auditors: the check of the log and its export, streamed while they go on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.base.ids import SwarmId

router = APIRouter(prefix="/audit")
Services = Annotated[ControlPlaneServices, Depends(services)]
Swarm = Annotated[SwarmId | None, Query(max_length=200)]
LINES = "application/x-ndjson"


@router.get("/verify")
async def verify(plane: Services, swarm: Swarm = None) -> StreamingResponse:
    """Lines of `wire.audit.AuditLine`: the anchors, then each swarm."""
    swarms = await plane.verifying.swarms(swarm)

    async def lines() -> AsyncIterator[str]:
        async for line in plane.verifying.verify(swarms):
            yield f"{line.model_dump_json()}\n"

    return StreamingResponse(lines(), media_type=LINES)


@router.get("/events")
async def export(plane: Services, swarm: Swarm = None, since: datetime | None = None) -> StreamingResponse:
    """Events as `wire.eventlog` writes them. `since` needs its time zone."""
    swarms = await plane.verifying.swarms(swarm)
    return StreamingResponse(plane.verifying.export(swarms, since), media_type=LINES)
