"""A change: the commit a session hands in, on its way to the integration branch."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import AgentId, ChangeId, SessionId, SwarmId, TaskId
from swarmworks.domain.table import TransitionTable


class ChangeState(StrEnum):
    SUBMITTED = "submitted"
    APPROVED = "approved"
    BUILDING = "building"
    LANDED = "landed"
    PROVED = "proved"  # an empty change whose gates passed on the unchanged tree
    REJECTED = "rejected"
    PARKED = "parked"  # a test that found a fault elsewhere: kept as it is until a `fix_bug` task lands it
    SUPERSEDED = "superseded"  # landed within another change


class ChangeEvent(StrEnum):
    APPROVE = "approve"
    PROVE = "prove"
    BUILD = "build"
    RETURN = "return"  # the build is void (target moved, infrastructure): wait for the next one
    LAND = "land"
    REJECT = "reject"
    PARK = "park"
    SUPERSEDE = "supersede"


CHANGE_TABLE: TransitionTable[ChangeState, ChangeEvent] = TransitionTable(
    name="change",
    start=ChangeState.SUBMITTED,
    moves={
        (ChangeState.SUBMITTED, ChangeEvent.APPROVE): ChangeState.APPROVED,
        (ChangeState.SUBMITTED, ChangeEvent.PROVE): ChangeState.PROVED,
        (ChangeState.SUBMITTED, ChangeEvent.REJECT): ChangeState.REJECTED,
        (ChangeState.APPROVED, ChangeEvent.BUILD): ChangeState.BUILDING,
        (ChangeState.APPROVED, ChangeEvent.REJECT): ChangeState.REJECTED,
        (ChangeState.BUILDING, ChangeEvent.RETURN): ChangeState.APPROVED,
        (ChangeState.BUILDING, ChangeEvent.LAND): ChangeState.LANDED,
        (ChangeState.BUILDING, ChangeEvent.REJECT): ChangeState.REJECTED,
        (ChangeState.SUBMITTED, ChangeEvent.PARK): ChangeState.PARKED,
        (ChangeState.BUILDING, ChangeEvent.PARK): ChangeState.PARKED,
        (ChangeState.PARKED, ChangeEvent.SUPERSEDE): ChangeState.SUPERSEDED,
        (ChangeState.PARKED, ChangeEvent.REJECT): ChangeState.REJECTED,
    },
)


class IntentState(StrEnum):
    """A landing is written down before the reference moves, so that a crash between the two can be finished or undone."""

    OPEN = "open"
    DONE = "done"
    VOID = "void"


@dataclass(frozen=True, slots=True)
class Change:
    """`head` is the submitted commit; `base` what the session started from; `candidate` the merged commit whose tree the
    gates judged; `landed` the commit on the integration branch (the same as `candidate` once landed).
    """

    id: ChangeId
    swarm_id: SwarmId
    task_id: TaskId
    session_id: SessionId
    agent_id: AgentId
    state: ChangeState
    base: str
    head: str
    handoff: str  # wire form (JSON text)
    submitted_at: datetime
    candidate: str | None = None
    landed: str | None = None
