"""Leased work: sessions, gate runs and merge builds are all taken by workers under a lease with a fencing token.

A lease belongs to the worker: it is alive as long as its worker's row is renewed. The fence grows with every start of
the same thing; whoever holds an older one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import SwarmId, TaskId, WorkerId, WorkId
from swarmworks.domain.table import TransitionTable


class WorkKind(StrEnum):
    SESSION = "session"
    GATES = "gates"  # the gates of a change, on its own tree
    BUILD = "build"  # merge a change onto the integration branch and run the gates on the merged tree
    REVIEW = "review"  # have a model judge a change
    DELIVERY = "delivery"  # merge the integration branch with the user's and run every gate on the merged tree


class WorkState(StrEnum):
    QUEUED = "queued"
    LEASED = "leased"
    DONE = "done"
    VOID = "void"


class WorkEvent(StrEnum):
    LEASE = "lease"
    FINISH = "finish"
    EXPIRE = "expire"  # the worker was lost: somebody else may take it, at the next fence
    CANCEL = "cancel"


WORK_TABLE: TransitionTable[WorkState, WorkEvent] = TransitionTable(
    name="work",
    start=WorkState.QUEUED,
    moves={
        (WorkState.QUEUED, WorkEvent.LEASE): WorkState.LEASED,
        (WorkState.QUEUED, WorkEvent.CANCEL): WorkState.VOID,
        (WorkState.LEASED, WorkEvent.FINISH): WorkState.DONE,
        (WorkState.LEASED, WorkEvent.EXPIRE): WorkState.QUEUED,
        (WorkState.LEASED, WorkEvent.CANCEL): WorkState.VOID,
    },
)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker has, or what a piece of work takes. A session waits for a model most of the time: it takes an agent
    place and memory, no CPU slot. Gate runs and builds compute: they hold CPU slots.
    """

    agents: int
    cpu_slots: int
    memory_bytes: int

    def minus(self, other: Capacity) -> Capacity:
        return Capacity(
            self.agents - other.agents, self.cpu_slots - other.cpu_slots, self.memory_bytes - other.memory_bytes
        )

    def times(self, pieces: int) -> Capacity:
        return Capacity(self.agents * pieces, self.cpu_slots * pieces, self.memory_bytes * pieces)

    def fits(self, need: Capacity) -> bool:
        return (
            need.agents <= self.agents and need.cpu_slots <= self.cpu_slots and need.memory_bytes <= self.memory_bytes
        )


@dataclass(frozen=True, slots=True)
class WorkerLease:
    """Proof that a worker is registered: every renewal, claim and finish demands it."""

    worker_id: WorkerId
    fence: int
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of leased work. `subject` is the session's id for a session, the change's id for gates and builds.
    `fence` is the fence under which it was leased; `payload` and `result` are wire forms (JSON text).
    """

    id: WorkId
    kind: WorkKind
    swarm_id: SwarmId
    task_id: TaskId
    subject: str
    state: WorkState
    fence: int
    need: Capacity
    payload: str
    worker_id: WorkerId | None = None
    leased_at: datetime | None = None
    result: str | None = None
