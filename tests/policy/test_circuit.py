"""The gateway's breaker: what ends a session, and what never does."""

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.domain.budget import Amount, Limit
from swarmworks.policy.circuit import RATE_OVER_S, Circuit, CircuitRules, Ended, allowed

LIMIT, WALL_S = Limit(10**9, 1_000_000), 900.0
OFF = CircuitRules(0, 0, 0)
calls = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.sampled_from("abc"),
        st.integers(0, 300_000),
        st.sampled_from(
            [None, None, "rejected", "busy", "unavailable", "provider_429", "provider_529", "provider_400"]
        ),
    ),
    max_size=60,
)


def fed(circuit, steps):
    """The number of the first call that ends the session, and why."""
    at = 0.0
    for number, (pause, request, tokens, refusal) in enumerate(steps):
        at += pause
        if (reason := circuit.ended(Ended(at, request, Amount(tokens * 500, tokens), refusal))) is not None:
            return number, reason
    return None, None


def circuit(**rules):
    return Circuit(CircuitRules(**{"rate_factor": 0, "same_calls": 0, "failed_calls": 0, **rules}), LIMIT, WALL_S)


@given(calls)
def test_without_rules_nothing_ends_a_session(steps):
    assert fed(Circuit(OFF, LIMIT, WALL_S), steps) == (None, None)


@given(calls, st.integers(1, 6))
def test_it_ends_with_the_nth_same_request_that_was_answered_and_no_sooner(steps, most):
    answered = [(number, request) for number, (_, request, _, refusal) in enumerate(steps) if refusal is None]
    runs = [
        number
        for place, (number, request) in enumerate(answered)
        if place + 1 >= most and {each for _, each in answered[place + 1 - most : place + 1]} == {request}
    ]
    number, reason = fed(circuit(same_calls=most), steps)
    assert number == (runs[0] if runs else None)
    assert reason is None or reason.startswith(f"loop: the same request was sent to the model {most} times")


@given(calls, st.integers(1, 6))
def test_it_ends_with_the_nth_failure_of_its_own_in_a_row(steps, most):
    own, wanted = 0, None
    for number, (_, _, _, refusal) in enumerate(steps):
        own = 0 if refusal is None else own + (refusal in {"rejected", "provider_400"})
        if own >= most and wanted is None:
            wanted = number
    number, reason = fed(circuit(failed_calls=most), steps)
    assert number == wanted
    assert reason is None or "failed one after the other, the last one: " in reason


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.sampled_from(["busy", "unavailable", "cut", "provider_429", "provider_503"]))
    )
)
def test_a_provider_that_is_away_ends_nobody(steps):
    rules = circuit(failed_calls=1, same_calls=1)
    assert fed(rules, [(pause, "a", 0, refusal) for pause, refusal in steps]) == (None, None)


@given(calls, st.floats(1, 20))
def test_it_ends_when_a_minute_costs_more_than_its_limit_and_time_allow(steps, factor):
    at, seen, wanted = 0.0, [], None
    for number, (pause, _, tokens, _) in enumerate(steps):
        at += pause
        seen.append((at, tokens))
        recent = [each for when, each in seen if when > at - RATE_OVER_S]
        over = sum(recent) > allowed(LIMIT.tokens, WALL_S, factor) or sum(recent) * 500 > allowed(
            LIMIT.nano_usd, WALL_S, factor
        )
        if over and len(recent) > 1 and wanted is None:
            wanted = number
    number, reason = fed(circuit(rate_factor=factor), steps)
    assert number == wanted
    assert reason is None or "far faster than its limit" in reason


@given(st.integers(1, 10**15), st.floats(1, 86_400), st.floats(0.1, 100))
def test_a_quarter_of_the_limit_in_a_minute_is_always_allowed(limit, wall_s, factor):
    assert allowed(limit, wall_s, factor) >= limit / 4


def test_a_single_call_is_no_pace():
    assert fed(circuit(rate_factor=1), [(0, "a", 10**6, None)]) == (None, None)
