from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.breaker import Breaker

calls = st.tuples(st.sampled_from(["read", "write", "run"]), st.sampled_from(["a", "b"]))


def feed(breaker: Breaker, *made: tuple[str, str]) -> list[str]:
    return [reason for call in made if (reason := breaker.called(*call)) is not None]


def test_the_same_call_again_and_again_ends_the_session_and_not_one_call_earlier():
    breaker = Breaker(same_calls=4)
    assert feed(breaker, *[("read", "a")] * 3) == []
    assert feed(breaker, ("read", "a")) == ["loop: read was called 4 times in a row with the same arguments"]


def test_another_argument_in_between_begins_the_count_anew():
    breaker = Breaker(same_calls=4, cycles=9)
    assert feed(breaker, *[("read", "a")] * 3, ("read", "b"), *[("read", "a")] * 3) == []


def test_a_cycle_of_two_or_three_calls_is_a_loop_as_well():
    assert (
        feed(Breaker(cycles=3), *[("read", "a"), ("run", "b")] * 3)[-1]
        == "loop: the calls read, run went round 3 times"
    )
    three = [("read", "a"), ("write", "a"), ("run", "b")]
    assert feed(Breaker(cycles=3), *three * 3)[-1] == "loop: the calls read, write, run went round 3 times"
    assert feed(Breaker(cycles=3), *three * 2) == []


@given(st.lists(calls, max_size=60), st.integers(2, 6), st.integers(2, 6))
def test_it_ends_exactly_what_repeats(made, same, cycles):
    breaker = Breaker(same_calls=same, cycles=cycles)
    for number, call in enumerate(made, start=1):
        so_far = made[:number]
        loops = len(so_far) >= same and len(set(so_far[-same:])) == 1
        for length in (2, 3):
            span = so_far[-length * cycles :]
            if len(span) == length * cycles and len(set(span[-length:])) > 1:
                loops |= span == span[-length:] * cycles
        assert (breaker.called(*call) is not None) == loops


@given(st.lists(st.booleans(), max_size=80))
def test_failures_count_only_one_after_the_other(results):
    breaker, running = Breaker(failed_calls=5), 0
    for ok in results:
        running = 0 if ok else running + 1
        assert (breaker.answered(ok=ok) is not None) == (running >= 5)


def test_endless_garbage_is_ended():
    breaker = Breaker(most_garbage=3)
    assert [breaker.babbled() for _ in range(3)] == [None, None, "loop: 3 lines that are no events"]
