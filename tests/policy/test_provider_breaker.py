import math

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from swarmworks.domain.provider import NEEDS_A_PERSON, BreakerState, Outage
from swarmworks.policy.provider_breaker import (
    FAILURES,
    LONGEST_PAUSE_S,
    MOST_TOLD_S,
    PERSON_PAUSE_S,
    Breaker,
    answered,
    begun,
    failed,
    opens_in,
    pause_s,
    renewed,
    withdrawn,
    worth_telling,
)

OUTAGES = st.sampled_from(list(Outage))
WAITS = st.none() | st.floats(0, 10_000)


class BreakerMachine(RuleBasedStateMachine):
    """Calls that begin when they may and end in any order, in virtual time."""

    def __init__(self):
        super().__init__()
        self.breaker, self.now, self.calls = Breaker(), 0.0, []

    @rule(seconds=st.floats(0, 700))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def a_call_goes_if_it_may(self):
        if opens_in(self.breaker, self.now) > 0:
            return
        probes = self.breaker.state is not BreakerState.CLOSED
        self.breaker = begun(self.breaker)
        assert (self.breaker.state is BreakerState.HALF_OPEN) == probes
        self.calls.append(self.breaker.epoch)

    @rule(data=st.data(), outage=OUTAGES, wait=WAITS)
    def one_fails(self, data, outage, wait):
        if self.calls:
            self.breaker = failed(self.breaker, self._one(data), outage, wait, self.now)

    @rule(data=st.data())
    def one_is_answered(self, data):
        if self.calls:
            epoch, before = self._one(data), self.breaker
            self.breaker = answered(self.breaker, epoch)
            if before.state is not BreakerState.CLOSED and epoch != before.epoch:
                assert self.breaker is before  # news from before the outage

    @rule(data=st.data())
    def one_says_nothing(self, data):
        if self.calls:
            self.breaker = withdrawn(self.breaker, self._one(data), self.now)

    def _one(self, data):
        return self.calls.pop(data.draw(st.integers(0, len(self.calls) - 1)))

    @invariant()
    def at_most_one_probe_and_none_is_lost(self):
        probes = [epoch for epoch in self.calls if epoch == self.breaker.epoch]
        if self.breaker.state is BreakerState.HALF_OPEN:
            assert len(probes) == 1
            assert opens_in(self.breaker, self.now) == math.inf

    @invariant()
    def an_outage_has_a_reason_and_an_end(self):
        assert (self.breaker.state is BreakerState.CLOSED) == (self.breaker.reason is None)
        if self.breaker.state is BreakerState.OPEN:
            assert opens_in(self.breaker, self.now) <= MOST_TOLD_S + 1e-6
            assert opens_in(self.breaker, self.breaker.until) == 0


TestBreaker = BreakerMachine.TestCase


def test_failures_in_a_row_open_it_and_an_answer_between_them_begins_anew():
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker = failed(breaker, breaker.epoch, Outage.FAILING, None, 0.0)
    breaker = answered(breaker, breaker.epoch)
    for _ in range(FAILURES - 1):
        breaker = failed(breaker, breaker.epoch, Outage.FAILING, None, 0.0)
        assert breaker.state is BreakerState.CLOSED
    breaker = failed(breaker, breaker.epoch, Outage.FAILING, None, 0.0)
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, 5.0)


@given(OUTAGES.filter(lambda outage: outage is not Outage.FAILING))
def test_what_the_provider_says_itself_opens_it_at_once(outage):
    breaker = failed(Breaker(), 0, outage, 12.0, 100.0)
    assert (breaker.state, breaker.reason, breaker.until) == (BreakerState.OPEN, outage, 112.0)


def test_a_probe_that_fails_doubles_the_pause_and_one_that_is_answered_ends_it():
    breaker, pauses, now = failed(Breaker(), 0, Outage.RATE_LIMITED, None, 0.0), [], 0.0
    for _ in range(9):
        pauses.append(breaker.until - now)
        now = breaker.until
        probe = begun(breaker)
        breaker = failed(probe, probe.epoch, Outage.RATE_LIMITED, None, now)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    probe = begun(breaker)
    assert answered(probe, probe.epoch).state is BreakerState.CLOSED


def test_a_call_from_before_the_outage_may_prolong_it_and_never_ends_it():
    breaker = failed(Breaker(), 0, Outage.RATE_LIMITED, 5.0, 0.0)
    assert answered(breaker, 0) is breaker
    assert failed(breaker, 0, Outage.RATE_LIMITED, 30.0, 1.0).until == 31.0
    assert failed(breaker, 0, Outage.RATE_LIMITED, 2.0, 1.0).until == 5.0


@given(OUTAGES, st.integers(0, 10_000))
def test_a_pause_is_bounded(outage, outages):
    assert 0 < pause_s(outage, None, outages) <= LONGEST_PAUSE_S.get(outage, PERSON_PAUSE_S)
    assert pause_s(outage, 1e12, outages) == MOST_TOLD_S
    for too_soon in (0.0, 0.25):
        assert pause_s(outage, too_soon, outages) == pause_s(outage, None, outages) >= 1.0


def test_people_hear_of_what_lasts_or_needs_them():
    for outage in NEEDS_A_PERSON:
        assert worth_telling(failed(Breaker(), 0, outage, None, 0.0), 0.0)
    assert not worth_telling(failed(Breaker(), 0, Outage.RATE_LIMITED, 10.0, 0.0), 0.0)
    assert worth_telling(failed(Breaker(), 0, Outage.RATE_LIMITED, 600.0, 0.0), 0.0)
    assert not worth_telling(Breaker(), 0.0)


def test_another_key_ends_an_outage_of_the_key_alone_and_calls_from_before_it_do_not_count():
    for outage in NEEDS_A_PERSON:
        out = failed(Breaker(), 0, outage, None, 0.0)
        for before in (Breaker(), out, begun(out)):
            new = renewed(before)
            assert opens_in(new, 0.0) == 0.0
            assert opens_in(failed(new, before.epoch, Outage.KEY_REFUSED, None, 0.0), 0.0) == 0.0
            assert opens_in(failed(new, new.epoch, Outage.KEY_REFUSED, None, 0.0), 0.0) == PERSON_PAUSE_S
    away = failed(Breaker(), 0, Outage.OVERLOADED, 9.0, 0.0)
    assert renewed(away) == away
