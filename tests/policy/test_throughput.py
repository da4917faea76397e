import math

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.throughput import MINUTE_S, Bucket, Minute

STEPS = st.lists(
    st.tuples(
        st.floats(0, 40, allow_nan=False),  # seconds until the next call
        st.integers(1, 150),  # the most it may use
        st.floats(0, 1),  # how much of it was used
        st.booleans(),  # whether that is heard of
    ),
    max_size=80,
)


@given(st.integers(1, 120), STEPS)
def test_no_minute_sees_more_than_the_limit_whatever_comes(limit, steps):
    minute, now, went = Minute(limit), 0.0, []
    for pause, amount, share, heard in steps:
        now += pause
        if minute.ready_in(amount, now) > 0:
            continue
        at = minute.take(amount, now)
        used = amount
        if heard:
            used = math.floor(amount * share)
            minute.correct(at, amount, used)
        went.append((now, min(used, limit)))
    for start, _used in went:
        assert sum(used for at, used in went if start <= at < start + MINUTE_S) <= limit


@given(st.integers(1, 120), STEPS)
def test_who_waits_as_long_as_told_may_go_and_a_little_sooner_may_not(limit, steps):
    minute, now = Minute(limit), 0.0
    for pause, amount, _share, _heard in steps:
        now += pause
        wait = minute.ready_in(amount, now)
        assert wait <= MINUTE_S + 1
        if wait > 0:
            assert minute.ready_in(amount, now + wait - 1e-3) > 0
            now += wait
        assert minute.ready_in(amount, now) == 0
        minute.take(amount, now)


def test_what_turned_out_smaller_leaves_room_at_once():
    minute = Minute(100)
    at = minute.take(100, 0.0)
    assert minute.ready_in(1, 30.0) > 0
    minute.correct(at, 100, 40)
    assert minute.ready_in(60, 30.0) == 0
    assert minute.ready_in(61, 30.0) > 0


def test_a_call_above_the_limit_goes_alone():
    minute = Minute(100)
    assert minute.ready_in(1_000, 0.0) == 0
    minute.take(1_000, 0.0)
    assert minute.ready_in(1, 1.0) == 60.0


@given(
    st.integers(1, 1_000),
    st.integers(0, 1_000),
    st.floats(0, 100, allow_nan=False),
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 300)), max_size=50),
)
def test_a_bucket_lets_no_more_go_than_is_left_and_refilled(limit, remaining, reset_s, steps):
    bucket = Bucket.told(limit=limit, remaining=remaining, reset_s=reset_s, now=0.0)
    now, went = 0.0, 0
    for pause, amount in steps:
        now += pause
        if now >= bucket.until:
            assert bucket.ready_in(amount, now) == 0
            return
        fitting = min(amount, bucket.capacity)
        if bucket.ready_in(fitting, now) == 0:
            bucket = bucket.take(fitting, now)
            went += fitting
        assert went <= remaining + bucket.per_s * now + 1e-6


def test_a_bucket_without_a_limit_is_waited_for_until_its_reset():
    bucket = Bucket.told(limit=None, remaining=0, reset_s=7.0, now=100.0)
    assert bucket.ready_in(1, 100.0) == 7.0
    assert bucket.ready_in(1, 107.0) == 0.0


def test_a_bucket_is_refilled_steadily():
    bucket = Bucket.told(limit=60, remaining=0, reset_s=60.0, now=0.0)
    assert bucket.ready_in(1, 0.0) == 1.0
    assert bucket.ready_in(30, 10.0) == 20.0
