"""Routes for operators: create, watch, stop and resume swarms."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.base.ids import SwarmId
from swarmworks.domain.swarm import StopReason
from swarmworks.wire.api import (
    CreateSwarm,
    EventPage,
    ResumeSwarm,
    StopSwarm,
    SwarmReport,
    SwarmStatus,
    SwarmSummary,
)

router = APIRouter()
Services = Annotated[ControlPlaneServices, Depends(services)]
OPERATOR = "person:operator"


@router.post("/swarms", status_code=201)
async def create(body: CreateSwarm, plane: Services) -> SwarmStatus:
    swarm = await plane.swarms.create(body)
    return await plane.status.status(swarm.id)


@router.get("/swarms")
async def summaries(plane: Services) -> list[SwarmSummary]:
    return await plane.status.summaries()


@router.get("/swarms/{swarm_id}")
async def status(
    swarm_id: SwarmId,
    plane: Services,
    after: Annotated[int, Query(ge=-1)] = -1,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0.0,
) -> SwarmStatus:
    """The status at once, or, with `after`, as soon as its version is above it, at the latest after `wait_s`."""
    deadline = plane.waking.clock() + wait_s
    while True:
        ticket = plane.waking.ticket()
        now = await plane.status.status(swarm_id)
        remaining_s = deadline - plane.waking.clock()
        if now.version > after or remaining_s <= 0:
            ticket.cancel()
            return now
        await plane.waking.wait(ticket, remaining_s)


@router.get("/swarms/{swarm_id}/events")
async def events(
    swarm_id: SwarmId,
    plane: Services,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0.0,
) -> EventPage:
    """A page of events after a sequence number; with `wait_s`, waits for the first when there is none yet."""
    deadline = plane.waking.clock() + wait_s
    while True:
        ticket = plane.waking.ticket()
        rows, state = await plane.status.events(swarm_id, after, limit)
        remaining_s = deadline - plane.waking.clock()
        if rows or remaining_s <= 0:
            ticket.cancel()
            return EventPage(events=tuple(rows), state=state)
        await plane.waking.wait(ticket, remaining_s)


@router.get("/swarms/{swarm_id}/report")
async def report(swarm_id: SwarmId, plane: Services) -> SwarmReport:
    return await plane.report.report(swarm_id)


@router.post("/swarms/{swarm_id}/stop")
async def stop(swarm_id: SwarmId, body: StopSwarm, plane: Services) -> SwarmStatus:
    await plane.swarms.stop(swarm_id, StopReason(body.reason), OPERATOR)
    return await plane.status.status(swarm_id)


@router.post("/swarms/{swarm_id}/resume")
async def resume(swarm_id: SwarmId, body: ResumeSwarm, plane: Services) -> SwarmStatus:
    await plane.swarms.resume(swarm_id, body, OPERATOR)
    return await plane.status.status(swarm_id)
