import pytest

from swarmworks.domain.session import SessionLimits, SessionOutcome
from swarmworks.policy.retry import HeldUp, corrected, held_up_by_providers


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


FULL = "the budget of swarm s is full"
CALL_FAILED = HeldUp(failed="provider_400")


@pytest.mark.parametrize(
    ("outcome", "reason", "stopped", "held_up", "found"),
    [
        (SessionOutcome.FAILED, "model_error: HTTP 400", FULL, HeldUp(), (SessionOutcome.STOPPED, FULL)),
        (SessionOutcome.SUBMITTED, "ended by itself", FULL, HeldUp(), (SessionOutcome.STOPPED, FULL)),
        (SessionOutcome.SUBMITTED, "handed in", FULL, HeldUp(), (SessionOutcome.SUBMITTED, "handed in")),
        (
            SessionOutcome.KILLED,
            "the worker is stopping",
            FULL,
            HeldUp(),
            (SessionOutcome.KILLED, "the worker is stopping"),
        ),
        (SessionOutcome.SUBMITTED, "handed in", None, CALL_FAILED, (SessionOutcome.SUBMITTED, "handed in")),
        (SessionOutcome.SUBMITTED, "ended by itself", None, HeldUp(), (SessionOutcome.SUBMITTED, "ended by itself")),
    ],
)
def test_what_a_program_says_of_its_end_is_corrected_by_what_the_gateway_knows(
    outcome, reason, stopped, held_up, found
):
    assert corrected(outcome, reason, stopped=stopped, held_up=held_up) == found


def test_a_program_that_ends_with_success_after_its_last_call_failed_has_failed():
    for outcome in (SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO):
        now, why = corrected(outcome, "ended by itself", stopped=None, held_up=CALL_FAILED)
        assert (now, "provider_400" in why) == (SessionOutcome.FAILED, True)
    for said in (
        "it handed in a change, and nothing is changed",
        "it ended without a handoff, although it was reminded",
    ):
        now, why = corrected(SessionOutcome.FAILED, said, stopped=None, held_up=CALL_FAILED)
        assert (now, "provider_400" in why) == (SessionOutcome.FAILED, True)
        assert corrected(SessionOutcome.FAILED, said, stopped=None, held_up=HeldUp()) == (SessionOutcome.FAILED, said)
