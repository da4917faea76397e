"""When a provider's account that failed is asked again: a circuit breaker, told the time, touching nothing.

Every call that goes carries the breaker's `epoch`; what it reports counts only while that epoch lasts, so that an answer to
a call from before an outage does not end it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from swarmworks.domain.provider import BREAKER_TABLE, NEEDS_A_PERSON, BreakerEvent, BreakerState, Outage

FAILURES = 5
"""So many in a row open it; a refusal for rate, load, key or credit opens it at once."""

FIRST_PAUSE_S = {Outage.RATE_LIMITED: 1.0, Outage.OVERLOADED: 1.0, Outage.FAILING: 5.0}
"""When the provider names no time; doubled for each time in a row."""

LONGEST_PAUSE_S = {Outage.RATE_LIMITED: 60.0, Outage.OVERLOADED: 60.0, Outage.FAILING: 300.0}
PERSON_PAUSE_S = 600.0
LEAST_TOLD_S = 1.0
"""Sooner than that a provider that says "now" each time would be asked without end."""
MOST_TOLD_S = 3_600.0
"""A provider that names a later time is asked after this long all the same: quotas are raised, clocks are wrong."""

LONG_S = 60.0
"""An outage at least this long is told to people."""

_MOST_DOUBLINGS = 10


@dataclass(frozen=True, slots=True)
class Breaker:
    """`until`: when the next probe may go. `failures` in a row while closed; `outages` without a success between them."""

    state: BreakerState = BreakerState.CLOSED
    reason: Outage | None = None
    until: float = 0.0
    failures: int = 0
    outages: int = 0
    epoch: int = 0


def opens_in(breaker: Breaker, now: float) -> float:
    """Seconds until a call may go: 0.0 now, infinity while a probe is under way."""
    if breaker.state is BreakerState.CLOSED:
        return 0.0
    return math.inf if breaker.state is BreakerState.HALF_OPEN else max(0.0, breaker.until - now)


def begun(breaker: Breaker) -> Breaker:
    """A call goes, where `opens_in` said 0.0: the first one after a pause is the probe."""
    if breaker.state is BreakerState.CLOSED:
        return breaker
    return _moved(breaker, BreakerEvent.PROBE)


def answered(breaker: Breaker, epoch: int) -> Breaker:
    """The provider answered a call of this epoch."""
    if epoch != breaker.epoch:
        return breaker
    if breaker.state is BreakerState.HALF_OPEN:
        return replace(_moved(breaker, BreakerEvent.SUCCEED), reason=None, failures=0)
    if breaker.failures or breaker.outages:
        return replace(breaker, failures=0, outages=0)
    return breaker


def failed(breaker: Breaker, epoch: int, outage: Outage, wait_s: float | None, now: float) -> Breaker:
    """A call of this epoch failed; `wait_s` as the provider asked for."""
    if epoch != breaker.epoch:
        return _prolonged(breaker, outage, wait_s, now)
    if breaker.state is BreakerState.CLOSED and outage is Outage.FAILING and breaker.failures + 1 < FAILURES:
        return replace(breaker, failures=breaker.failures + 1)
    until = now + pause_s(outage, wait_s, breaker.outages)
    return replace(
        _moved(breaker, BreakerEvent.TRIP), reason=outage, until=until, failures=0, outages=breaker.outages + 1
    )


def withdrawn(breaker: Breaker, epoch: int, now: float) -> Breaker:
    """A call of this epoch ended without saying anything of the provider; if it was the probe, the next one may go."""
    if epoch != breaker.epoch or breaker.state is not BreakerState.HALF_OPEN:
        return breaker
    return replace(_moved(breaker, BreakerEvent.WITHDRAW), until=now)


def renewed(breaker: Breaker) -> Breaker:
    """The account has another key. Calls under way with the one before say nothing of this one; an outage that is not the
    key's or the credit's lasts as long as it did.
    """
    if breaker.state is BreakerState.OPEN and breaker.reason not in NEEDS_A_PERSON:
        return breaker
    return replace(_moved(breaker, BreakerEvent.RENEW), reason=None, until=0.0, failures=0, outages=0)


def pause_s(outage: Outage, wait_s: float | None, outages: int) -> float:
    if wait_s is not None and LEAST_TOLD_S <= wait_s < math.inf:
        return min(wait_s, MOST_TOLD_S)
    if outage in NEEDS_A_PERSON:
        return PERSON_PAUSE_S
    return min(FIRST_PAUSE_S[outage] * 2 ** min(outages, _MOST_DOUBLINGS), LONGEST_PAUSE_S[outage])


def worth_telling(breaker: Breaker, now: float) -> bool:
    """Whether an open breaker is news for a person: a provider that limits the rate for seconds is not."""
    if breaker.state is not BreakerState.OPEN or breaker.reason is None:
        return False
    slow = breaker.reason in {Outage.RATE_LIMITED, Outage.OVERLOADED}
    return not slow or breaker.until - now >= LONG_S


def _prolonged(breaker: Breaker, outage: Outage, wait_s: float | None, now: float) -> Breaker:
    """A call from before the outage learned that it lasts longer."""
    if breaker.state is not BreakerState.OPEN or wait_s is None:
        return breaker
    return replace(breaker, until=max(breaker.until, now + pause_s(outage, wait_s, 0)))


def _moved(breaker: Breaker, event: BreakerEvent) -> Breaker:
    return replace(breaker, state=BREAKER_TABLE.next(breaker.state, event), epoch=breaker.epoch + 1)
