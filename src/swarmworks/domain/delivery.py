"""A delivery: the integration branch of a swarm on its way to the branch of its user."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import DeliveryId, SwarmId
from swarmworks.domain.table import TransitionTable


class DeliveryState(StrEnum):
    BUILDING = "building"  # merged with what the user's branch has become, and gated
    READY = "ready"  # `candidate` passed every gate and continues the user's branch
    DELIVERED = "delivered"
    FAILED = "failed"  # a conflict or a gate, named in the note
    VOID = "void"  # the user's branch moved again, or a person rejected it


class DeliveryEvent(StrEnum):
    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    DELIVER = "deliver"
    WITHDRAW = "withdraw"


DELIVERY_TABLE: TransitionTable[DeliveryState, DeliveryEvent] = TransitionTable(
    name="delivery",
    start=DeliveryState.BUILDING,
    moves={
        (DeliveryState.BUILDING, DeliveryEvent.PASS): DeliveryState.READY,
        (DeliveryState.BUILDING, DeliveryEvent.FAIL): DeliveryState.FAILED,
        (DeliveryState.BUILDING, DeliveryEvent.WITHDRAW): DeliveryState.VOID,
        (DeliveryState.READY, DeliveryEvent.DELIVER): DeliveryState.DELIVERED,
        (DeliveryState.READY, DeliveryEvent.WITHDRAW): DeliveryState.VOID,
    },
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """`branch` is the user's, `tip` its commit when the delivery was asked for, `head` that of the integration branch;
    `candidate` what the user's branch becomes: `head` itself where that continues `tip`, else their merge.
    """

    id: DeliveryId
    swarm_id: SwarmId
    branch: str
    tip: str
    head: str
    state: DeliveryState
    actor: str
    created_at: datetime
    candidate: str | None = None
    note: str | None = None
    ended_at: datetime | None = None
