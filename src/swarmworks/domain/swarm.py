"""A swarm: one execution of a plan on a project with a budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import AccountId, SwarmId
from swarmworks.domain.plan import Plan
from swarmworks.domain.table import TransitionTable


class SwarmState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"  # a person's wish: running sessions go on and land, no new ones start
    STOPPING = "stopping"  # no new sessions; running ones hand in or are ended
    STOPPED = "stopped"  # by a person, or by a limit, named in the reason
    BLOCKED = "blocked"  # nothing can go on without a person
    LANDED = "landed"


class SwarmEvent(StrEnum):
    PAUSE = "pause"
    STOP = "stop"
    HALT = "halt"  # the last session of a stopping swarm has ended
    STICK = "stick"
    LAND = "land"
    RESUME = "resume"


SWARM_TABLE: TransitionTable[SwarmState, SwarmEvent] = TransitionTable(
    name="swarm",
    start=SwarmState.RUNNING,
    moves={
        (SwarmState.RUNNING, SwarmEvent.PAUSE): SwarmState.PAUSED,
        (SwarmState.RUNNING, SwarmEvent.STOP): SwarmState.STOPPING,
        (SwarmState.RUNNING, SwarmEvent.STICK): SwarmState.BLOCKED,
        (SwarmState.RUNNING, SwarmEvent.LAND): SwarmState.LANDED,
        (SwarmState.PAUSED, SwarmEvent.RESUME): SwarmState.RUNNING,
        (SwarmState.PAUSED, SwarmEvent.STOP): SwarmState.STOPPING,
        (SwarmState.PAUSED, SwarmEvent.LAND): SwarmState.LANDED,
        (SwarmState.STOPPING, SwarmEvent.HALT): SwarmState.STOPPED,
        (SwarmState.STOPPING, SwarmEvent.LAND): SwarmState.LANDED,
        (SwarmState.STOPPING, SwarmEvent.RESUME): SwarmState.RUNNING,
        (SwarmState.STOPPED, SwarmEvent.RESUME): SwarmState.RUNNING,
        (SwarmState.BLOCKED, SwarmEvent.RESUME): SwarmState.RUNNING,
    },
)

OPEN = frozenset({SwarmState.RUNNING, SwarmState.PAUSED, SwarmState.STOPPING})
"""States in which sessions or builds of a swarm may be under way: one swarm of a project at a time."""

MERGING = frozenset({SwarmState.RUNNING, SwarmState.PAUSED})
"""States in which what was approved is built and lands."""


class StopReason(StrEnum):
    PERSON = "person"
    BUDGET = "budget"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Swarm:
    """`integration_ref` is the branch the merge queue lands on, `base` the commit it started from. `options` is the wire
    form (JSON text) of what the run was started with.
    """

    id: SwarmId
    project: str
    plan: Plan
    state: SwarmState
    account_id: AccountId
    integration_ref: str
    base: str
    options: str
    created_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
