"""Routes for a person who looks into a session, or speaks to it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.api.person import Person
from swarmworks.base.ids import SessionId, SwarmId
from swarmworks.wire.conversing import Said, Say, SessionRow, StopSession

router = APIRouter()
Services = Annotated[ControlPlaneServices, Depends(services)]


@router.get("/swarms/{swarm_id}/session")
async def session(
    swarm_id: SwarmId, plane: Services, of: Annotated[str, Query(min_length=1, max_length=200)]
) -> SessionRow:
    return await plane.conversing.find(swarm_id, of)


@router.post("/swarms/{swarm_id}/say", status_code=201)
async def say(swarm_id: SwarmId, body: Say, plane: Services, person: Person) -> Said:
    message, row = await plane.conversing.say(swarm_id, body.to, body.text, person)
    return Said(message_id=message.id, session=row)


@router.post("/swarms/{swarm_id}/sessions/stop")
async def stop(swarm_id: SwarmId, body: StopSession, plane: Services, person: Person) -> SessionRow:
    """At once: its token opens nothing from now on."""
    row = await plane.conversing.find(swarm_id, body.of)
    await plane.watching.end(swarm_id, SessionId(row.id), person, body.reason)
    return await plane.conversing.find(swarm_id, row.id)
