"""Routes for workers: register, stay alive, lease work, say what became of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.api.waiting import answer_when
from swarmworks.base.ids import MessageId, SessionId, SwarmId, WorkerId, WorkId
from swarmworks.domain.gate import GateResult
from swarmworks.domain.lease import WorkerLease
from swarmworks.service.ended_tasks import over
from swarmworks.wire.api import (
    CachedGates,
    FinishWork,
    LeasedWork,
    LeaseWork,
    PlaneAddress,
    RegisteredWorker,
    RegisterWorker,
    RenewedWorker,
    RenewWorker,
    SessionEvents,
    TasksOver,
)
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.options import from_json
from swarmworks.wire.work import AnyWork, BuildResult, DeliveryResult, GatesResult, ReviewResult, SessionResult

router = APIRouter()
Services = Annotated[ControlPlaneServices, Depends(services)]
MOST_HEARD = 32 << 10
Heard = Annotated[str | None, Query(max_length=MOST_HEARD)]
"""Ids of messages, with commas between them. Not in the body: of that a control plane refuses what it does not know."""

TTL_UNUSED_S = 0.0  # a lease is identified by worker and fence; its TTL is the store's business


def _lease(worker_id: WorkerId, fence: int) -> WorkerLease:
    return WorkerLease(worker_id, fence, TTL_UNUSED_S)


def _messages(heard: str) -> tuple[MessageId, ...]:
    return tuple(MessageId(one) for one in heard.split(",") if one)


def _planes(plane: ControlPlaneServices) -> tuple[PlaneAddress, ...]:
    """Without this one when it is about to end: workers leave it before it does."""
    return tuple(PlaneAddress(api_url=one.api_url, gateway_url=one.gateway_url) for one in plane.replicas.living())


@router.post("/workers")
async def register(body: RegisterWorker, plane: Services) -> RegisteredWorker:
    worker_id = WorkerId(plane.ids.new("wkr"))
    lease = await plane.watching.register(worker_id, body.name, body.capacity)
    return RegisteredWorker(
        worker_id=worker_id,
        fence=lease.fence,
        ttl_s=lease.ttl_s,
        hub=plane.hub,
        gateway_port=plane.gateway_port,
        planes=_planes(plane),
    )


@router.post("/workers/{worker_id}/renew", response_model_exclude_defaults=True)
async def renew(worker_id: WorkerId, body: RenewWorker, plane: Services, heard: Heard = None) -> RenewedWorker:
    """Without `heard` the worker is an older one, which knows no `words` in the answer."""
    confirmed = None if heard is None else _messages(heard)
    renewed = await plane.watching.renew(_lease(worker_id, body.fence), frozenset(body.holding), confirmed)
    return RenewedWorker(
        lost=renewed.lost,
        stop=renewed.stop,
        limited=renewed.limited,
        say=renewed.say,
        tell=renewed.tell,
        hand_over=renewed.hand_over,
        words=renewed.words,
        planes=_planes(plane),
    )


@router.post("/workers/{worker_id}/remove")
async def remove(worker_id: WorkerId, body: RenewWorker, plane: Services) -> None:
    await plane.watching.remove(_lease(worker_id, body.fence))


@router.post("/workers/{worker_id}/lease")
async def lease(worker_id: WorkerId, body: LeaseWork, request: Request, plane: Services) -> LeasedWork:
    """Waits up to `wait_s` for work, woken by every commit."""
    held = _lease(worker_id, body.fence)

    async def ask() -> list[AnyWork]:
        return await plane.leasing.lease(held, body.free, body.kinds)

    work = await answer_when(plane.waking, request, ask, bool, body.wait_s)
    return LeasedWork(work=tuple(work))


@router.post("/work/{work_id}/finish")
async def finish(work_id: WorkId, body: FinishWork, plane: Services, heard: Heard = None) -> None:
    held = _lease(body.worker_id, body.worker_fence)
    if heard:  # before the session ends: what has not reached it by then is told to the next one
        await plane.watching.confirm(held, _messages(heard))
    match body.result:
        case SessionResult():
            await plane.finishing.finish(held, work_id, body.fence, body.result)
        case GatesResult():
            await plane.gating.finish(held, work_id, body.fence, body.result)
        case BuildResult():
            await plane.merging.finish(held, work_id, body.fence, body.result)
        case DeliveryResult():
            await plane.delivering.finish(held, work_id, body.fence, body.result)
        case ReviewResult():
            await plane.model_reviews.finish(held, work_id, body.fence, body.result)


@router.post("/sessions/{session_id}/events")
async def record(session_id: SessionId, body: SessionEvents, plane: Services) -> None:
    await plane.auditing.record(session_id, body.worker_id, body.events)


@router.post("/tasks/over")
async def tasks_over(body: TasksOver, plane: Services) -> TasksOver:
    return TasksOver(tasks=tuple(await plane.store.read(lambda reader: over(reader, body.tasks))))


@router.post("/gates/cached")
async def cached(body: CachedGates, plane: Services) -> dict[str, GateResult]:
    return await plane.gating.cached(body.keys)


@router.get("/swarms/{swarm_id}/config")
async def config(swarm_id: SwarmId, plane: Services) -> SwarmConfig:
    swarm = await plane.store.read(lambda reader: reader.swarm(swarm_id))
    return from_json(swarm.options).config
