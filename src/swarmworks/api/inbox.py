"""Routes for people: what waits for one, and what one decides. The name that comes with the request is on record with it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.api.person import Person
from swarmworks.base.ids import SwarmId
from swarmworks.wire.inbox import (
    AnswerQuestion,
    Approve,
    CancelTask,
    Decided,
    Inbox,
    InboxDetail,
    Reject,
    RetryTask,
    RevertTask,
)

router = APIRouter(prefix="/inbox")
Services = Annotated[ControlPlaneServices, Depends(services)]


@router.get("")
async def inbox(plane: Services, swarm: Annotated[str | None, Query(max_length=200)] = None) -> Inbox:
    return await plane.inbox.inbox(SwarmId(swarm) if swarm else None)


@router.get("/{item:path}")
async def detail(item: str, plane: Services) -> InboxDetail:
    return await plane.inbox.detail(item)


@router.post("/{item:path}/approve")
async def approve(item: str, body: Approve, plane: Services, person: Person) -> Decided:
    return await plane.deciding.approve(item, body, person)


@router.post("/{item:path}/reject")
async def reject(item: str, body: Reject, plane: Services, person: Person) -> Decided:
    return await plane.deciding.reject(item, body, person)


@router.post("/{item:path}/answer")
async def answer(item: str, body: AnswerQuestion, plane: Services, person: Person) -> Decided:
    return await plane.deciding.answer(item, body, person)


@router.post("/{item:path}/retry")
async def retry(item: str, body: RetryTask, plane: Services, person: Person) -> Decided:
    return await plane.deciding.retry(item, body, person)


@router.post("/{item:path}/cancel")
async def cancel(item: str, body: CancelTask, plane: Services, person: Person) -> Decided:
    return await plane.deciding.cancel(item, body, person)


@router.post("/{item:path}/revert")
async def revert(item: str, body: RevertTask, plane: Services, person: Person) -> Decided:
    """Of a swarm that has landed, a swarm of its own does it."""
    found = await plane.reverting.revert(item, body, person)
    if isinstance(found, Decided):
        return found
    swarm = await plane.swarms.create(found, person)
    (task,) = found.plan.tasks
    return Decided(
        id=task.id,
        swarm_id=swarm.id,
        task_id=task.id,
        said=f"{task.id} takes back what {task.reverts} landed as {task.reverted[:10]}, in a swarm of its own",
        swarm_state=str(swarm.state),
        goes_on=plane.deciding.working,
    )
