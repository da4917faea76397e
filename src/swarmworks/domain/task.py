"""A task of a running swarm: where it stands, and the only ways it can move.

`done means landed`: a task ends in `landed` when its commit is on the integration branch, in `nothing_to_do` when the
gates proved the unchanged tree, in `superseded` when another task carried its work, or in `cancelled` by a person. A test
that fails on code its task does not own is `parked` as it is: a `fix_bug` task carries it, and supersedes its task by landing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from swarmworks.base.ids import SwarmId, TaskId
from swarmworks.domain.plan import PlannedTask
from swarmworks.domain.table import TransitionTable


class TaskState(StrEnum):
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    REVIEW = "review"
    QUEUED = "queued"
    LANDED = "landed"
    NOTHING_TO_DO = "nothing_to_do"
    PARKED = "parked"  # its change waits, untouched, for the `fix_bug` task that mends what it found
    BLOCKED = "blocked"
    SUPERSEDED = "superseded"
    CANCELLED = "cancelled"


class TaskEvent(StrEnum):
    UNBLOCK = "unblock"  # the last dependency was satisfied
    CLAIM = "claim"
    SUBMIT = "submit"
    APPROVE = "approve"
    PROVE = "prove"  # the gates passed on the unchanged tree: there was nothing to do
    LAND = "land"
    REWORK = "rework"  # back to ready, with the rejection attached
    EXHAUST = "exhaust"  # attempts used up, or it needs a person
    PARK = "park"  # its test found a fault in files it does not own
    ASK = "ask"  # its session ended with a question to a person
    ANSWER = "answer"  # the question was answered: again, with the attempts it had left
    RETRY = "retry"  # a person says: again, with fresh attempts
    CANCEL = "cancel"
    SUPERSEDE = "supersede"


TASK_TABLE: TransitionTable[TaskState, TaskEvent] = TransitionTable(
    name="task",
    start=TaskState.WAITING,
    moves={
        (TaskState.WAITING, TaskEvent.UNBLOCK): TaskState.READY,
        (TaskState.WAITING, TaskEvent.CANCEL): TaskState.CANCELLED,
        (TaskState.WAITING, TaskEvent.SUPERSEDE): TaskState.SUPERSEDED,
        (TaskState.READY, TaskEvent.CLAIM): TaskState.RUNNING,
        (TaskState.READY, TaskEvent.EXHAUST): TaskState.BLOCKED,
        (TaskState.READY, TaskEvent.CANCEL): TaskState.CANCELLED,
        (TaskState.READY, TaskEvent.SUPERSEDE): TaskState.SUPERSEDED,
        (TaskState.RUNNING, TaskEvent.SUBMIT): TaskState.REVIEW,
        (TaskState.RUNNING, TaskEvent.REWORK): TaskState.READY,
        (TaskState.RUNNING, TaskEvent.EXHAUST): TaskState.BLOCKED,
        (TaskState.RUNNING, TaskEvent.ASK): TaskState.BLOCKED,
        (TaskState.REVIEW, TaskEvent.APPROVE): TaskState.QUEUED,
        (TaskState.REVIEW, TaskEvent.PROVE): TaskState.NOTHING_TO_DO,
        (TaskState.REVIEW, TaskEvent.REWORK): TaskState.READY,
        (TaskState.REVIEW, TaskEvent.EXHAUST): TaskState.BLOCKED,
        (TaskState.REVIEW, TaskEvent.PARK): TaskState.PARKED,
        (TaskState.QUEUED, TaskEvent.LAND): TaskState.LANDED,
        (TaskState.QUEUED, TaskEvent.REWORK): TaskState.READY,
        (TaskState.QUEUED, TaskEvent.EXHAUST): TaskState.BLOCKED,
        (TaskState.QUEUED, TaskEvent.PARK): TaskState.PARKED,
        (TaskState.PARKED, TaskEvent.SUPERSEDE): TaskState.SUPERSEDED,
        (TaskState.PARKED, TaskEvent.RETRY): TaskState.READY,
        (TaskState.PARKED, TaskEvent.CANCEL): TaskState.CANCELLED,
        (TaskState.BLOCKED, TaskEvent.ANSWER): TaskState.READY,
        (TaskState.BLOCKED, TaskEvent.RETRY): TaskState.READY,
        (TaskState.BLOCKED, TaskEvent.CANCEL): TaskState.CANCELLED,
        (TaskState.BLOCKED, TaskEvent.SUPERSEDE): TaskState.SUPERSEDED,
    },
)

SATISFIED = frozenset({TaskState.LANDED, TaskState.NOTHING_TO_DO, TaskState.SUPERSEDED})
"""States of a task that let the tasks depending on it start."""

HOLDS_FILES = frozenset({TaskState.RUNNING, TaskState.REVIEW, TaskState.QUEUED})
"""States in which a task holds its file claims: nobody else may write those files until its change has landed."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a person decided for a task's next attempts: words to the agent, another model (`provider:model`), another agent
    (its name). None leaves it as it was planned.
    """

    note: str | None = None
    model: str | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the truth: the planned task and how far it has come.

    `attempts` counts sessions that used up one of the task's tries; `fence` counts every start, so a late writer with an
    older fence is refused. `rank` orders ready tasks: higher first (see policy.order).
    """

    swarm_id: SwarmId
    id: TaskId
    planned: PlannedTask
    state: TaskState
    rank: int
    attempts: int
    fence: int
    rejection: str | None = None  # the wire form of the latest rejection, for the next attempt
    note: str | None = None  # why it is blocked, in a person's words
    commit: str | None = None  # the landed commit
    guidance: Guidance | None = None  # a person's, for the next attempts
