"""A session: one bounded run of an agent on one task, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import AccountId, AgentId, SessionId, SwarmId, TaskId, WorkerId
from swarmworks.domain.table import TransitionTable


class SessionState(StrEnum):
    CLAIMED = "claimed"
    RUNNING = "running"
    ENDED = "ended"


class SessionEvent(StrEnum):
    START = "start"
    END = "end"


SESSION_TABLE: TransitionTable[SessionState, SessionEvent] = TransitionTable(
    name="session",
    start=SessionState.CLAIMED,
    moves={
        (SessionState.CLAIMED, SessionEvent.START): SessionState.RUNNING,
        (SessionState.CLAIMED, SessionEvent.END): SessionState.ENDED,
        (SessionState.RUNNING, SessionEvent.END): SessionState.ENDED,
    },
)


class SessionOutcome(StrEnum):
    SUBMITTED = "submitted"
    NOTHING_TO_DO = "nothing_to_do"
    FAILED = "failed"
    HANDED_OFF = "handed_off"  # the context was exhausted; a fresh session goes on from the summary
    STOPPED = "stopped"  # a limit, named in the reason
    LOST = "lost"  # its lease expired
    KILLED = "killed"  # a person or a stopping swarm ended it; costs no attempt
    INFRASTRUCTURE = "infrastructure"  # it could not be run, or no model answered
    ASKED = "asked"  # it cannot go on without a person's answer; costs no attempt


COSTS_AN_ATTEMPT = frozenset({SessionOutcome.FAILED, SessionOutcome.STOPPED})
"""A lost, killed or handed-off session is no fault of the task's, nor is one that could not be run."""

FREE = frozenset({SessionOutcome.LOST, SessionOutcome.HANDED_OFF, SessionOutcome.INFRASTRUCTURE})
"""Outcomes that cost no attempt, but only so many times (see policy.retry)."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Caps of one session. None means that only the accounts above it bound it; time is always bounded."""

    wall_s: float = 900.0
    idle_s: float = 120.0  # no event and no model call for this long: stalled
    tokens: int | None = None
    cost_nano_usd: int | None = None
    calls: int = 100
    output_tokens_per_call: int = 8_192


@dataclass(frozen=True, slots=True)
class Session:
    id: SessionId
    swarm_id: SwarmId
    task_id: TaskId
    fence: int
    attempt: int
    agent_id: AgentId
    worker_id: WorkerId
    account_id: AccountId
    model: str
    state: SessionState
    base_commit: str
    claimed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: SessionOutcome | None = None
    reason: str | None = None
