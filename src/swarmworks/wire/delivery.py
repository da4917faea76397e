"""Requests and answers about deliveries, version 1."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from swarmworks.base.ids import DeliveryId, ReviewId, SwarmId

MOST_BRANCH = 240
MOST_REASON = 2_000
THERE_ALREADY = "the branch has it already"
REFUSED_AT_HOME = "it was refused on the person's machine"
BY_ITSELF = frozenset({THERE_ALREADY, REFUSED_AT_HOME})
"""Why a delivery is withdrawn in a person's name without a decision of theirs."""


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RequestDelivery(Model):
    """`tip` is the branch's commit in `repository`, which is only read; None for a branch that is to be made."""

    branch: str = Field(min_length=1, max_length=MOST_BRANCH)
    tip: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    repository: str = Field(max_length=4_096)
    partial: bool = False


class ApproveDelivery(Model):
    """`review` is the one that the person was shown; None, from older clients, means whichever is open."""

    reason: str = Field(max_length=MOST_REASON)
    review: ReviewId | None = None


class ConfirmDelivery(Model):
    """The branch is at `commit` now."""

    commit: str = Field(pattern=r"^[0-9a-f]{40}$")


class WithdrawDelivery(Model):
    reason: str = Field(max_length=600)


class Arriving(Model):
    """What the branch gets that it has not: `commits` of the swarm, the newest of their subjects, files and lines."""

    commits: int
    subjects: tuple[str, ...]
    files: int
    added: int
    removed: int


class DeliveryReview(Model):
    """`state`: open, approved or rejected. `yours`: whoever asks may decide it."""

    id: ReviewId
    gate: str
    question: str
    state: str
    deciders: tuple[str, ...] = ()
    yours: bool = False
    decided_by: str | None = None
    reason: str | None = None


class DeliveryView(Model):
    """`approved`: nothing stands before the move any more. `merged`: the candidate is a merge commit, with the branch's own
    commits first. `base` is what the arriving commits are counted from.
    """

    id: DeliveryId
    swarm_id: SwarmId
    branch: str
    tip: str | None
    head: str
    candidate: str | None
    state: str
    actor: str
    note: str | None
    created_at: datetime
    ended_at: datetime | None
    merged: bool = False
    approved: bool = False
    arriving: Arriving | None = None
    review: DeliveryReview | None = None
