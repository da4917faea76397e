"""No window of any provider's meter ever holds more than its limits, whichever moment of a call the meter takes."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.subscription import Drawn, PastCall, Window, fits, never, wait_s

START = datetime(2026, 11, 1, tzinfo=UTC)
CALLS = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0.001, 60), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1)),
    min_size=1,
    max_size=40,
)


@given(
    calls=CALLS,
    seconds=st.floats(1, 100),
    requests=st.none() | st.integers(1, 8),
    tokens=st.none() | st.integers(40, 200),
)
def test_no_window_is_ever_above_its_limits(calls, seconds, requests, tokens):
    """Each call: a pause before it, how long it takes, the most it may use, how much of that it used, and the moment of its
    time at which the provider counts it.
    """
    window = Window(seconds, requests, tokens)
    now, let_in, counted = START, [], []
    for pause, takes, most, share, when in calls:
        now += timedelta(seconds=pause)
        since = window.since(now)
        drawn = [used if ended <= now else reserved for ended, reserved, used in let_in if ended > now or ended > since]
        if not fits(window, Drawn(len(drawn), sum(drawn)), most):
            continue
        ended, used = now + timedelta(seconds=takes), int(most * share)
        let_in.append((ended, most, used))
        counted.append((now + (ended - now) * when, used))
    for end, _used in counted:
        inside = [used for at, used in counted if end - timedelta(seconds=seconds) < at <= end]
        assert requests is None or len(inside) <= requests
        assert tokens is None or sum(inside) <= tokens


def test_a_call_larger_than_the_window_never_fits():
    assert never(Window(60, tokens=100), 101)
    assert not never(Window(60, tokens=100), 100)
    assert not never(Window(60, requests=1), 10**9)


def test_the_wait_is_until_enough_has_left_the_window():
    window, now = Window(3_600, requests=3, tokens=100), START + timedelta(seconds=1_000)
    oldest = [PastCall(START, 20), PastCall(START + timedelta(seconds=100), 50)]
    assert wait_s(window, Drawn(3, 70), oldest, 10, now) == 2_601
    assert wait_s(window, Drawn(3, 90), oldest, 60, now) == 2_701
    assert wait_s(window, Drawn(3, 90), [PastCall(None, 90)], 60, now) == 3_600
