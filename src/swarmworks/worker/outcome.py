"""How a session ended: what its program said of it, corrected by what the diff shows."""

from __future__ import annotations

from swarmworks.domain.session import SessionOutcome
from swarmworks.policy.retry import NO_HANDOFF, NOTHING_CHANGED
from swarmworks.runtime.reading import ENDED
from swarmworks.wire.session_events import End

REFUSED = "refused"


def is_own(end: End) -> bool:
    """Whether it is the program's own word: nobody has accepted a handoff with it, and the gateway has refused nothing."""
    return end.reason == ENDED or (end.handoff is None and end.outcome != REFUSED)


_OUTCOMES = {
    "submitted": SessionOutcome.SUBMITTED,
    "nothing_to_do": SessionOutcome.NOTHING_TO_DO,
    REFUSED: SessionOutcome.STOPPED,
    "handed_off": SessionOutcome.HANDED_OFF,
    "needs_answer": SessionOutcome.ASKED,
    "failed": SessionOutcome.FAILED,
}
_NEED_A_HANDOFF = frozenset({SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO, SessionOutcome.ASKED})


def outcome_of(end: End, changed: tuple[str, ...]) -> tuple[SessionOutcome, str]:
    """What the agent said, corrected by what the diff shows."""
    said = _OUTCOMES[end.outcome]
    if said in _NEED_A_HANDOFF and end.handoff is None:
        return SessionOutcome.FAILED, NO_HANDOFF
    if said is SessionOutcome.SUBMITTED and not changed:
        return SessionOutcome.FAILED, NOTHING_CHANGED
    if said is SessionOutcome.NOTHING_TO_DO and changed and end.reason == ENDED:
        return SessionOutcome.SUBMITTED, end.reason
    if said is SessionOutcome.NOTHING_TO_DO and changed:
        return SessionOutcome.SUBMITTED, "it said that nothing was to be done, and changed files"
    return said, end.reason
