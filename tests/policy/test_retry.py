import pytest

from swarmworks.domain.session import SessionLimits, SessionOutcome
from swarmworks.policy.retry import HeldUp, held_up_by_providers


@pytest.mark.parametrize(
    ("outcome", "reason", "held_up", "spared"),
    [
        (SessionOutcome.FAILED, "model_error: HTTP 403", HeldUp(0, unanswered=True), True),
        (SessionOutcome.FAILED, "loop: the same call", HeldUp(500, unanswered=False), False),
        (SessionOutcome.STOPPED, "time limit of 900 s reached", HeldUp(90, unanswered=False), True),
        (SessionOutcome.STOPPED, "time limit of 900 s reached", HeldUp(89, unanswered=False), False),
        (SessionOutcome.FAILED, "deadline: the session's 900 s are over", HeldUp(300, unanswered=False), True),
        (SessionOutcome.STOPPED, "stalled: no event for 120 s", HeldUp(12, unanswered=False), True),
        (SessionOutcome.STOPPED, "stalled: no event for 120 s", HeldUp(11, unanswered=False), False),
        (SessionOutcome.SUBMITTED, "handed in", HeldUp(900, unanswered=True), False),
        (SessionOutcome.HANDED_OFF, "context", HeldUp(900, unanswered=True), False),
    ],
)
def test_a_session_that_providers_held_up_is_no_fault_of_the_tasks(outcome, reason, held_up, spared):
    assert held_up_by_providers(outcome, reason, held_up, SessionLimits(wall_s=900.0, idle_s=120.0)) is spared
