"""Routes for operators: bring what a swarm landed to a branch of the user's."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from swarmworks.api.control_plane import ControlPlaneServices, services
from swarmworks.api.person import Person
from swarmworks.api.waiting import answer_when
from swarmworks.base.ids import DeliveryId, SwarmId
from swarmworks.domain.delivery import DeliveryState
from swarmworks.wire.delivery import ApproveDelivery, ConfirmDelivery, DeliveryView, RequestDelivery, WithdrawDelivery

router = APIRouter()
Services = Annotated[ControlPlaneServices, Depends(services)]


@router.post("/swarms/{swarm_id}/deliveries")
async def request(swarm_id: SwarmId, body: RequestDelivery, plane: Services, person: Person) -> DeliveryView:
    """The delivery there is for these commits, else a new one."""
    delivery = await plane.delivering.request(swarm_id, body, person)
    return await plane.delivering.view(delivery.id, person)


@router.get("/swarms/{swarm_id}/deliveries")
async def deliveries(swarm_id: SwarmId, plane: Services, person: Person) -> list[DeliveryView]:
    return await plane.delivering.views(swarm_id, person)


@router.get("/deliveries/{delivery_id}")
async def delivery(
    delivery_id: DeliveryId,
    request: Request,
    plane: Services,
    person: Person,
    wait_s: Annotated[float, Query(ge=0, le=30)] = 0.0,
) -> DeliveryView:
    """At once, or, with `wait_s`, as soon as it is no longer being built."""
    if wait_s > 0:
        await answer_when(
            plane.waking,
            request,
            lambda: plane.delivering.state(delivery_id),
            lambda state: state is not DeliveryState.BUILDING,
            wait_s,
        )
    return await plane.delivering.view(delivery_id, person)


@router.post("/deliveries/{delivery_id}/approve")
async def approve(delivery_id: DeliveryId, body: ApproveDelivery, plane: Services, person: Person) -> DeliveryView:
    await plane.delivering.approve(delivery_id, body.reason, person, shown=body.review)
    return await plane.delivering.view(delivery_id, person)


@router.post("/deliveries/{delivery_id}/delivered")
async def confirm(delivery_id: DeliveryId, body: ConfirmDelivery, plane: Services, person: Person) -> DeliveryView:
    await plane.delivering.confirm(delivery_id, body.commit, person)
    return await plane.delivering.view(delivery_id, person)


@router.post("/deliveries/{delivery_id}/withdraw")
async def withdraw(delivery_id: DeliveryId, body: WithdrawDelivery, plane: Services, person: Person) -> DeliveryView:
    await plane.delivering.withdraw(delivery_id, body.reason, person)
    return await plane.delivering.view(delivery_id, person)
