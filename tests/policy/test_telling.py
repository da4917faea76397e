from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmworks.domain.notice import Severity
from swarmworks.policy.quiet import QuietHours
from swarmworks.policy.telling import (
    MOST_TRIES,
    MOST_WAITING,
    ChannelRule,
    Ledger,
    Rules,
    done,
    due_at,
    escalate,
    given_up,
    next_due,
    put_off,
    take,
)
from swarmworks.wire.telling import dump, load
from tests.notify.fakes import notice

NOW = datetime(2026, 3, 1, 23, tzinfo=UTC)
MORNING = datetime(2026, 3, 2, 7, tzinfo=UTC)
DESK = ChannelRule("desk", Severity.WARNING)
BOSS = ChannelRule("boss", Severity.INFO, only_again=True)
PLAIN = Rules((DESK,))
QUIET = Rules((DESK,), QuietHours(time(22), time(7), UTC))
ESCALATING = Rules((DESK, BOSS), escalate_after_s=900.0, escalate_to=("boss",))


def told(ledger, channel, now):
    return [one.notice.seq for one in due_at(ledger, channel, now)]


def test_only_what_is_severe_enough_and_asked_for_is_told():
    picky = ChannelRule("picky", Severity.INFO, frozenset({"swarm.landed"}))
    rules = Rules((DESK, picky))
    landed = notice(1, Severity.INFO, kind="swarm.landed", item=None)
    ledger = take(Ledger(), [landed, notice(2)], 2, rules, NOW)
    assert told(ledger, "desk", NOW) == [2]
    assert told(ledger, "picky", NOW) == [1]
    assert ledger.cursor == 2


def test_in_quiet_hours_only_what_is_urgent_passes_and_the_rest_comes_together():
    ledger = take(Ledger(), [notice(n) for n in (1, 2, 3, 4)], 4, QUIET, NOW)
    ledger = take(ledger, [notice(5, Severity.URGENT)], 5, QUIET, NOW)
    assert told(ledger, "desk", NOW) == [5]
    ledger = done(ledger, due_at(ledger, "desk", NOW))
    assert told(ledger, "desk", MORNING - timedelta(seconds=1)) == []
    assert next_due(ledger) == MORNING
    assert told(ledger, "desk", MORNING) == [1, 2, 3, 4]


def test_the_most_severe_is_told_first():
    ledger = take(Ledger(), [notice(1), notice(2, Severity.URGENT)], 2, PLAIN, NOW)
    assert told(ledger, "desk", NOW) == [2]


def test_what_nobody_answered_is_told_once_elsewhere():
    ledger = take(Ledger(), [notice(1), notice(2)], 2, ESCALATING, NOW)
    assert told(ledger, "boss", NOW) == []
    early = escalate(ledger, ESCALATING, NOW + timedelta(seconds=899), lambda _: True)
    assert early == ledger
    late = NOW + timedelta(seconds=900)
    ledger = escalate(ledger, ESCALATING, late, lambda one: one.seq == 2)
    assert told(ledger, "boss", late) == [2]
    assert due_at(ledger, "boss", late)[0].again
    assert ledger.unanswered == ()


def test_at_night_the_time_to_answer_begins_in_the_morning():
    rules = Rules((DESK, BOSS), QUIET.quiet, 900.0, ("boss",))
    ledger = take(Ledger(), [notice(1)], 1, rules, NOW)
    assert ledger.unanswered[0].due == MORNING + timedelta(seconds=900)


def test_a_channel_that_is_no_more_holds_nothing_up():
    ledger = take(Ledger(), [notice(1)], 1, PLAIN, NOW)
    assert next_due(take(ledger, [], 1, Rules(()), NOW)) is None


def test_a_failing_channel_is_tried_later_each_time_and_then_given_up():
    ledger, now, pauses = take(Ledger(), [notice(1)], 1, PLAIN, NOW), NOW, []
    while not given_up(due_at(ledger, "desk", now), again=True):
        ledger = put_off(ledger, due_at(ledger, "desk", now), PLAIN, now)
        due = next_due(ledger)
        assert due is not None
        pauses.append((due - now).total_seconds())
        now = due
    assert pauses == [5, 30, 120, 600]
    assert len(pauses) == MOST_TRIES - 1


def test_a_channel_is_not_told_that_it_does_not_work():
    failed = notice(1, not_through="desk")
    assert take(Ledger(), [failed], 1, PLAIN, NOW).waiting == ()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(list(Severity)), max_size=300))
def test_however_much_happens_the_ledger_is_bounded_nothing_urgent_is_first_to_go_and_all_is_counted(severities):
    rules = Rules((ChannelRule("desk", Severity.INFO),), QUIET.quiet, 900.0, ("desk",))
    notices = [notice(n, severity, text="😀" * 1000) for n, severity in enumerate(severities, start=1)]
    ledger = Ledger()
    for one in notices:
        ledger = take(ledger, [one], one.seq, rules, NOW)
    assert len(ledger.waiting) <= MOST_WAITING
    assert len(ledger.waiting) + ledger.left_out.get("desk", 0) == len(notices)
    urgent = sum(1 for one in severities if one is Severity.URGENT)
    assert sum(1 for one in ledger.waiting if one.notice.severity is Severity.URGENT) == min(urgent, MOST_WAITING)
    stored = dump(ledger)
    assert len(stored) < 1 << 20
    assert load(stored) == ledger
