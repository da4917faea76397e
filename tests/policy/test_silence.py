"""Whoever stands still for its TTL is silent; a slow or absent watcher kills nobody."""

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.policy.silence import Sign, Silence

TTL_S = 3.0


def look(silence, at, **counters):
    return silence.look(at, at, {name: Sign(counter, TTL_S) for name, counter in counters.items()})


def test_who_stands_still_for_a_ttl_is_silent_and_who_moves_is_not():
    silence = Silence(1.5)
    for step in range(3):
        assert look(silence, float(step), still=7, moving=step) == []
    assert look(silence, 3.0, still=7, moving=3) == ["still"]


def test_a_restarted_watcher_begins_to_count_anew():
    assert look(Silence(1.5), 100.0, still=7) == []


def test_a_watcher_that_was_away_counts_no_silence_from_before():
    silence = Silence(1.5)
    look(silence, 0.0, still=7)
    assert look(silence, 60.0, still=7) == []
    assert [look(silence, 60.0 + step, still=7) for step in (1, 2)] == [[], []]
    assert look(silence, 63.0, still=7) == ["still"]


def test_a_look_that_took_long_is_counted_against_nobody():
    silence = Silence(10.0)
    silence.look(0.0, 3.0, {"still": Sign(7, TTL_S)})
    assert silence.look(3.0, 3.1, {"still": Sign(7, TTL_S)}) == []


@given(st.lists(st.tuples(st.floats(0.01, 1.4), st.booleans()), min_size=1, max_size=60))
def test_nobody_is_silent_whose_counter_moved_within_its_ttl(steps):
    silence, now, counter, moved = Silence(1.5), 0.0, 0, 0.0
    look(silence, now, one=counter)
    for pause, beats in steps:
        now += pause
        if beats:
            counter, moved = counter + 1, now
        silent = look(silence, now, one=counter)
        assert silent == (["one"] if now - moved >= TTL_S else [])
