"""Routes for operators: create, watch, stop and resume swarms."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.api.person import Person
from swarmworks.api.resting import stop_at_rest
from swarmworks.api.waiting import answer_when
from swarmworks.base.ids import ChangeId, SessionId, SwarmId, TaskId
from swarmworks.wire.api import (
    CreateSwarm,
    EventPage,
    ProviderStatus,
    QueueStatus,
    ResumeSwarm,
    StopSwarm,
    SwarmReport,
    SwarmStatus,
    SwarmSummary,
)
from swarmworks.wire.why import WhyReport

router = APIRouter()
Services = Annotated[ControlPlaneServices, Depends(services)]


@router.post("/swarms", status_code=201)
async def create(body: CreateSwarm, plane: Services, person: Person) -> SwarmStatus:
    swarm = await plane.swarms.create(body, person)
    return await plane.status.status(swarm.id)


@router.get("/swarms")
async def summaries(plane: Services) -> list[SwarmSummary]:
    return await plane.status.summaries()


@router.get("/providers")
async def providers(plane: Services) -> list[ProviderStatus]:
    """How the providers' accounts stand at this control plane."""
    return list(plane.status.providers())


@router.get("/swarms/{swarm_id}")
async def status(
    swarm_id: SwarmId,
    request: Request,
    plane: Services,
    after: Annotated[int, Query(ge=-1)] = -1,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0.0,
) -> SwarmStatus:
    """The status at once, or, with `after`, as soon as its version is above it, at the latest after `wait_s`."""
    if wait_s > 0:
        await answer_when(
            plane.waking, request, lambda: plane.status.version(swarm_id), lambda version: version > after, wait_s
        )
    return await plane.status.status(swarm_id)


@router.get("/swarms/{swarm_id}/events")
async def events(
    swarm_id: SwarmId,
    request: Request,
    plane: Services,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0.0,
    session: Annotated[SessionId | None, Query(max_length=200)] = None,
) -> EventPage:
    """A page of events after a sequence number, of one session or of all; with `wait_s`, waits for the first when there is
    none yet.
    """
    rows, state = await answer_when(
        plane.waking,
        request,
        lambda: plane.status.events(swarm_id, after, limit, session),
        lambda page: bool(page[0]),
        wait_s,
    )
    return EventPage(events=tuple(rows), state=state)


@router.get("/swarms/{swarm_id}/queue")
async def queue(swarm_id: SwarmId, plane: Services) -> QueueStatus:
    """The merge queue: what is where, why, and when it is expected to land."""
    return await plane.merging.status(swarm_id)


@router.get("/swarms/{swarm_id}/report")
async def report(swarm_id: SwarmId, plane: Services) -> SwarmReport:
    return await plane.report.report(swarm_id)


@router.get("/swarms/{swarm_id}/file")
async def file(swarm_id: SwarmId, path: Annotated[str, Query(max_length=4_096)], plane: Services) -> Response:
    """One file of what the swarm has landed, as bytes."""
    return Response(await plane.reading.file(swarm_id, path), media_type="application/octet-stream")


@router.get("/changes/{change_id}/why")
async def why_change(change_id: ChangeId, plane: Services) -> WhyReport:
    return await plane.why.of_change(change_id)


@router.get("/swarms/{swarm_id}/tasks/{task_id}/why")
async def why_task(swarm_id: SwarmId, task_id: TaskId, plane: Services) -> WhyReport:
    return await plane.why.of_task(swarm_id, task_id)


@router.post("/swarms/{swarm_id}/stop")
async def stop(swarm_id: SwarmId, body: StopSwarm, plane: Services, person: Person) -> SwarmStatus:
    stop_it = plane.swarms.stop if plane.deciding.working else partial(stop_at_rest, plane)
    await stop_it(swarm_id, body.reason, person)
    return await plane.status.status(swarm_id)


@router.post("/swarms/{swarm_id}/pause")
async def pause(swarm_id: SwarmId, plane: Services, person: Person) -> SwarmStatus:
    await plane.swarms.pause(swarm_id, person)
    return await plane.status.status(swarm_id)


@router.post("/swarms/{swarm_id}/resume")
async def resume(swarm_id: SwarmId, body: ResumeSwarm, plane: Services, person: Person) -> SwarmStatus:
    await plane.swarms.resume(swarm_id, body, person)
    return await plane.status.status(swarm_id)
