"""Again or blocked: what follows a failed attempt."""

from __future__ import annotations

from swarmworks.domain.session import COSTS_AN_ATTEMPT, SessionOutcome
from swarmworks.domain.task import TaskEvent


def costs_an_attempt(outcome: SessionOutcome, *, swarm_out_of_budget: bool) -> bool:
    """A session that the swarm's own empty budget ended is no fault of the task's."""
    return outcome in COSTS_AN_ATTEMPT and not (outcome is SessionOutcome.STOPPED and swarm_out_of_budget)


def after_failure(attempts_used: int, max_attempts: int) -> TaskEvent:
    """`attempts_used` includes the one that just failed."""
    return TaskEvent.EXHAUST if attempts_used >= max_attempts else TaskEvent.REWORK
