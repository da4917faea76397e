"""Again or blocked: what follows a failed attempt."""

from __future__ import annotations

from dataclasses import dataclass

from swarmworks.domain.session import COSTS_AN_ATTEMPT, FREE, SessionLimits, SessionOutcome
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


HELD_UP_SHARE = 0.1
_OUT_OF_TIME = ("time limit", "deadline")
_SILENT = "stalled"


@dataclass(frozen=True, slots=True)
class HeldUp:
    """What the gateway knows of a session: how long its calls waited for providers, and whether the last one got no answer
    for the provider's sake; `failed`: why the last one failed at all, empty when it did not.
    """

    waited_s: float = 0.0
    unanswered: bool = False
    failed: str = ""


def held_up_by_providers(outcome: SessionOutcome, reason: str, held_up: HeldUp, limits: SessionLimits) -> bool:
    """Whether a session that came to nothing is no fault of the task's: no model answered it, or it passed a limit of time of
    which it spent a tenth or more waiting for its turn at a provider.
    """
    if outcome not in {SessionOutcome.FAILED, SessionOutcome.STOPPED}:
        return False
    if held_up.unanswered:
        return True
    late = reason.startswith(_OUT_OF_TIME) and held_up.waited_s >= HELD_UP_SHARE * limits.wall_s
    return late or (reason.startswith(_SILENT) and held_up.waited_s >= HELD_UP_SHARE * limits.idle_s)


NOTHING_CHANGED = "it handed in a change, and nothing is changed"
NO_HANDOFF = "it ended without a handoff"
"""What a worker says of a program that ended with success and has nothing to show for it."""

HANDED_IN = "handed in"
"""How the reason of a session begins whose handoff the platform accepted."""


def corrected(
    outcome: SessionOutcome, reason: str, *, stopped: str | None, held_up: HeldUp
) -> tuple[SessionOutcome, str]:
    """What a session came to, by what the gateway knows of it: one that was ended for a limit (`stopped` says for which) is
    stopped, whatever its program said; and a program that simply ended, with success, has done nothing worth handing in
    when its last call failed.
    """
    claims = outcome in {SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO} and not reason.startswith(HANDED_IN)
    empty = outcome is SessionOutcome.FAILED and reason.startswith((NOTHING_CHANGED, NO_HANDOFF))
    if stopped is not None and (claims or outcome is SessionOutcome.FAILED):
        return SessionOutcome.STOPPED, stopped
    if (claims or empty) and held_up.failed:
        return SessionOutcome.FAILED, f"its last model call failed ({held_up.failed}), and it ended as if all were well"
    return outcome, reason


def after_failure(attempts_used: int, max_attempts: int) -> TaskEvent:
    """`attempts_used` includes the one that just failed."""
    return TaskEvent.EXHAUST if attempts_used >= max_attempts else TaskEvent.REWORK
