"""Ends a session by what its model calls look like to the gateway, whatever its budget still holds. Pure: fed with every call
that ended. The worker's own breaker (`breaker.py`) sees tools; this one sees requests and what they cost.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from swarmworks.domain.budget import NANO, Amount, Limit

RATE_OVER_S = 60.0
LEAST_SHARE = 4
"""Of its limit a session may spend at least one in so many parts within RATE_OVER_S, however long it may take in all."""
MOST_CALLS = 10_000
_OWN_FAULTS = frozenset({"rejected", "budget", "unpriced", "calls", "closed"})
_NOT_ITS_FAULT = frozenset({401, 408, 409, 429})
"""A provider that is away or busy says nothing about the session. 403 is said to its content; a session for which the
platform's key is refused has been stopped by then.
"""


@dataclass(frozen=True, slots=True)
class CircuitRules:
    """0: no such rule. `rate_factor`: times the pace that would use up a limit in the whole of a session's time;
    `same_calls` and `failed_calls`: in a row.
    """

    rate_factor: float = 0.0
    same_calls: int = 0
    failed_calls: int = 0


NO_RULES = CircuitRules()


@dataclass(frozen=True, slots=True)
class Ended:
    """A call that is over. `at` in seconds of a monotonic clock; `request` stands for its body; `refusal` as in the gateway's
    record of the call, None when it was answered.
    """

    at: float
    request: str
    used: Amount
    refusal: str | None


@dataclass(slots=True)
class Circuit:
    """Of one session, with the `limit` and the time it may take. `ended` answers with the reason to stop it, for good."""

    rules: CircuitRules
    limit: Limit
    wall_s: float
    _recent: deque[Ended] = field(default_factory=lambda: deque[Ended](maxlen=MOST_CALLS))
    _request: str = ""
    _same: int = 0
    _failed: int = 0

    def ended(self, call: Ended) -> str | None:
        return self._fails(call) or self._repeats(call) or self._spends(call)

    def _fails(self, call: Ended) -> str | None:
        if call.refusal is None:
            self._failed = 0
        elif own_fault(call.refusal):
            self._failed += 1
        if not self.rules.failed_calls or self._failed < self.rules.failed_calls:
            return None
        return f"loop: {self._failed} model calls failed one after the other, the last one: {call.refusal}"

    def _repeats(self, call: Ended) -> str | None:
        if call.refusal is not None:
            return None  # to ask again what was not answered is no loop
        self._same = self._same + 1 if call.request == self._request else 1
        self._request = call.request
        if not self.rules.same_calls or self._same < self.rules.same_calls:
            return None
        return f"loop: the same request was sent to the model {self._same} times in a row, and answered each time"

    def _spends(self, call: Ended) -> str | None:
        self._recent.append(call)
        while self._recent[0].at <= call.at - RATE_OVER_S:
            self._recent.popleft()
        if not self.rules.rate_factor or len(self._recent) < 2:
            return None
        used = {
            "nano_usd": sum(each.used.nano_usd for each in self._recent),
            "tokens": sum(each.used.tokens for each in self._recent),
        }
        for unit, limit in (("nano_usd", self.limit.nano_usd), ("tokens", self.limit.tokens)):
            if limit is not None and used[unit] > allowed(limit, self.wall_s, self.rules.rate_factor):
                spent = f"${used[unit] / NANO:.2f}" if unit == "nano_usd" else f"{used[unit]:,} tokens"
                return f"spending: {spent} within {RATE_OVER_S:g} s, far faster than its limit and its time allow"
        return None


def allowed(limit: int, wall_s: float, factor: float) -> float:
    """What may be used within RATE_OVER_S of a limit meant for `wall_s`."""
    return max(limit * factor * RATE_OVER_S / wall_s, limit / LEAST_SHARE)


def own_fault(refusal: str) -> bool:
    """Whether the session's request itself was wrong, or came after its limits were used up."""
    kind, _, status = refusal.partition("_")
    if kind == "provider" and status.isdecimal():
        return 400 <= int(status) < 500 and int(status) not in _NOT_ITS_FAULT
    return refusal in _OWN_FAULTS
