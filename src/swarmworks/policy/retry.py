"""Again or blocked: what follows a failed attempt."""

from __future__ import annotations

from swarmworks.domain.session import COSTS_AN_ATTEMPT, FREE, SessionOutcome
from swarmworks.domain.task import TaskEvent

MOST_FREE = 5
"""How many lost, handed-off or never-run sessions of a task cost no attempt; what follows them does, so that none goes on
for ever."""


def costs_an_attempt(outcome: SessionOutcome, *, swarm_out_of_budget: bool = False, free_before: int = 0) -> bool:
    """`free_before` sessions of the task cost nothing already. A session that the swarm's own empty budget ended is no
    fault of the task's.
    """
    if outcome in FREE:
        return free_before >= MOST_FREE
    return outcome in COSTS_AN_ATTEMPT and not (outcome is SessionOutcome.STOPPED and swarm_out_of_budget)


def after_failure(attempts_used: int, max_attempts: int) -> TaskEvent:
    """`attempts_used` includes the one that just failed."""
    return TaskEvent.EXHAUST if attempts_used >= max_attempts else TaskEvent.REWORK
