from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import SwarmLog
from swarmworks.policy.retention import Retention, due

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def log(name, days, events):
    return SwarmLog(SwarmId(name), None if days is None else NOW - timedelta(days=days), 1, events, events)


def test_what_ended_long_ago_goes_and_what_goes_on_stays():
    logs = [log("new", 1, 5), log("old", 90, 5), log("older", 400, 5), log("open", None, 5)]
    assert due(logs, NOW, Retention(timedelta(days=90), 1_000)) == ["older", "old"]


def test_when_there_are_too_many_the_first_to_end_go_until_there_is_room():
    logs = [log("a", 3, 40), log("b", 2, 40), log("c", 1, 40), log("open", None, 30)]
    assert due(logs, NOW, Retention(timedelta(days=90), 150)) == []
    assert due(logs, NOW, Retention(timedelta(days=90), 100)) == ["a", "b"]
    assert due(logs, NOW, Retention(timedelta(days=90), 0)) == ["a", "b", "c"]


@given(
    st.lists(st.tuples(st.none() | st.integers(0, 200), st.integers(1, 50)), max_size=20),
    st.integers(0, 200),
    st.integers(0, 500),
)
def test_what_stays_is_open_or_young_and_no_more_than_allowed(kinds, keep_days, most):
    logs = {SwarmId(f"s{n}"): log(f"s{n}", days, events) for n, (days, events) in enumerate(kinds)}
    found = due(list(logs.values()), NOW, Retention(timedelta(days=keep_days), most))
    assert len(set(found)) == len(found)
    staying = [one for name, one in logs.items() if name not in found]
    ended = [one for one in staying if one.ended_at is not None]
    assert all(logs[name].ended_at is not None for name in found)
    assert all(NOW - one.ended_at < timedelta(days=keep_days) for one in ended)
    assert not ended or sum(one.events for one in staying) <= most
