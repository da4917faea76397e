"""The counts of calls, and the text Prometheus reads."""

from __future__ import annotations

from bisect import bisect_left

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.telemetry.calls import Linked, Outcome, Target, linked_by
from swarmworks.telemetry.counting import MOST_TARGETS, CallCounts, Histogram, bounded
from swarmworks.telemetry.prometheus import text
from tests.telemetry.collector import call

LABELS = 'provider="local",model="real-model",operation="chat"'


def counted(*calls):
    counts = CallCounts()
    for each in calls:
        counts.add(each)
    return counts


def lines(counts) -> list[str]:
    return text(counts.snapshot()).splitlines()


def test_calls_tokens_and_cost_are_told_to_the_nano_dollar():
    refused = {"outcome": Outcome.REFUSED, "reason": "budget", "tokens": None, "first_byte_s": None}
    cut = {"outcome": Outcome.FAILED, "reason": "cut", "tokens": None, "estimated": True, "cost_nano_usd": 900_000}
    counts = counted(call(), call(1), call(**refused, cost_nano_usd=None, reserved_nano_usd=None), call(**cut))
    found = lines(counts)
    for line in (
        f'llm_calls_total{{{LABELS},outcome="answered"}} 2',
        f'llm_calls_total{{{LABELS},outcome="refused",reason="budget"}} 1',
        f'llm_calls_total{{{LABELS},outcome="failed",reason="cut"}} 1',
        f'llm_tokens_total{{{LABELS},type="input"}} 20',
        f'llm_tokens_total{{{LABELS},type="output"}} 10',
        f'llm_cached_tokens_total{{{LABELS},type="read"}} 8',
        f'llm_cached_tokens_total{{{LABELS},type="write"}} 4',
        f'llm_cost_dollars{{{LABELS},estimated="false"}} 0.000210002',
        f'llm_cost_dollars{{{LABELS},estimated="true"}} 0.000900000',
        f'llm_call_duration_seconds_bucket{{{LABELS},outcome="answered",le="1.28"}} 0',
        f'llm_call_duration_seconds_bucket{{{LABELS},outcome="answered",le="2.56"}} 2',
        f'llm_call_duration_seconds_count{{{LABELS},outcome="answered"}} 2',
        f"llm_time_to_first_byte_seconds_count{{{LABELS}}} 3",
    ):
        assert line in found, line


def test_no_sum_of_money_is_rounded_by_a_float():
    counts = counted(*(call(cost_nano_usd=123_456_789_012_345_678) for _ in range(3)))
    assert f'llm_cost_dollars{{{LABELS},estimated="false"}} 370370367.037037034' in lines(counts)


def test_every_line_is_a_comment_or_a_sample_and_every_sample_has_a_type():
    counts = counted(call(), call(target=Target('a"b\\c\nd', "openai", "m", "chat")))
    counts.untold(3)
    found = lines(counts)
    types = {line.split()[2] for line in found if line.startswith("# TYPE")}
    samples = [line for line in found if not line.startswith("#")]
    names = {line.partition("{")[0].split()[0] for line in samples}
    assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in names} == types
    assert len(samples) == len({line.rpartition(" ")[0] for line in samples})
    assert any(r'provider="a\"b\\c\nd"' in line for line in samples)
    assert "telemetry_untold_calls_total 3" in samples


def test_a_provider_that_answers_with_every_status_there_is_makes_few_series():
    counts = counted(*(call(outcome=Outcome.FAILED, reason=f"provider_{status}") for status in range(100, 1_000)))
    assert sum(line.startswith("llm_calls_total") for line in lines(counts)) < 25
    assert bounded("provider_529") == "provider_529"
    assert bounded("provider_418") == "provider_4xx"
    assert bounded("budget") == "budget"


def test_more_models_than_anybody_has_are_counted_together_and_no_call_is_lost():
    counts = counted(*(call(target=Target("p", "openai", f"m{n}", "chat")) for n in range(2 * MOST_TARGETS)))
    found = counts.snapshot().tallies
    assert len(found) == MOST_TARGETS + 1
    assert sum(each.count for tally in found.values() for each in tally.durations.values()) == 2 * MOST_TARGETS


def test_what_was_read_does_not_change_with_what_comes_later():
    counts = counted(call())
    before = counts.snapshot()
    shown = text(before)
    counts.add(call(status=500, outcome=Outcome.FAILED, reason="cut"))
    counts.add(call())
    assert text(before) == shown
    assert text(counts.snapshot()) != shown


@given(st.lists(st.floats(0, 1_000) | st.sampled_from([0.01, 0.02, 81.92])))
def test_a_histogram_holds_each_value_once_below_its_bound(values):
    bounds = (0.01, 0.02, 0.5, 81.92)
    histogram = Histogram(bounds)
    for value in values:
        histogram.add(value)
    assert histogram.count == len(values) == sum(histogram.counts)
    for at, bound in enumerate(bounds):
        assert sum(histogram.counts[: at + 1]) == sum(value <= bound for value in values)
        assert bisect_left(bounds, bound) == at
    if values:
        assert (histogram.least, histogram.most) == (min(values), max(values))


def test_only_a_traceparent_to_the_letter_links():
    good = f"00-{'a' * 32}-{'b' * 16}-01"
    assert linked_by(good) == Linked(int("a" * 32, 16), int("b" * 16, 16))
    for bad in (None, "", good.upper(), f"{good}-x", good[:-1], f"00-{'0' * 32}-{'b' * 16}-01", f"ff{good[2:]}"):
        assert linked_by(bad) is None, bad
    assert linked_by(f"00-{'a' * 32}-{'0' * 16}-01") is None
