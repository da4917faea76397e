"""How much may go to a provider's account now: the configured limit of a minute, and what the provider said is left.

Both are told the time and touch nothing. `ready_in` says how many seconds until an amount may go, 0.0 when it may now.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

MINUTE_S = 60.0
SLOT_S = 1.0


class Minute:
    """In no stretch of 60 seconds goes more than `limit`. An amount above the limit goes alone, as if it were the limit.

    A token bucket lets its burst through on top of a minute's refill; this counts what went, in slots of a second, so that
    what is configured is never exceeded, and uses a bounded amount of memory.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._slots: deque[list[int]] = deque()  # (second, amount), the oldest first
        self._used = 0

    def ready_in(self, amount: int, now: float) -> float:
        self._forget(now)
        room = self._limit - self._used
        wanted = min(amount, self._limit)
        if wanted <= room:
            return 0.0
        for second, went in self._slots:
            room += went
            if wanted <= room:
                return second + SLOT_S + MINUTE_S - now
        raise AssertionError("what went is all there is")  # pragma: no cover

    def take(self, amount: int, now: float) -> int:
        """Where it was counted, for `correct`."""
        self._forget(now)
        second = math.floor(now)
        if not self._slots or self._slots[-1][0] < second:
            self._slots.append([second, 0])
        slot = self._slots[-1]
        counted = min(amount, self._limit)
        slot[1] += counted
        self._used += counted
        return slot[0]

    def correct(self, second: int, amount: int, really: int) -> None:
        """What was counted as `amount` was `really` so much."""
        change = min(really, self._limit) - min(amount, self._limit)
        for slot in reversed(self._slots):
            if slot[0] == second:
                slot[1] += change
                self._used += change
                return

    def _forget(self, now: float) -> None:
        while self._slots and self._slots[0][0] + SLOT_S + MINUTE_S <= now:
            self._used -= self._slots.popleft()[1]


@dataclass(frozen=True, slots=True)
class Bucket:
    """What a provider said is left of its own limit: `level` at the time `at`, refilled by `per_s` up to `capacity`, and
    forgotten at `until`, when it is full again whatever has happened.
    """

    capacity: int
    level: float
    per_s: float
    at: float
    until: float

    @classmethod
    def told(cls, *, limit: int | None, remaining: int, reset_s: float, now: float) -> Bucket:
        """Without a limit nothing is known of the refill before the reset."""
        most = remaining if limit is None else max(limit, remaining)
        per_s = (most - remaining) / reset_s if reset_s > 0 else 0.0
        return cls(max(most, 1), float(remaining), per_s, now, now + max(reset_s, 0.0))

    def ready_in(self, amount: int, now: float) -> float:
        if now >= self.until:
            return 0.0
        lacking = min(amount, self.capacity) - self._level(now)
        if lacking <= 0:
            return 0.0
        refilled = lacking / self.per_s if self.per_s > 0 else math.inf
        return min(refilled, self.until - now)

    def take(self, amount: int, now: float) -> Bucket:
        return replace(self, level=self._level(now) - amount, at=now)

    def _level(self, now: float) -> float:
        return min(self.level + self.per_s * max(0.0, now - self.at), float(self.capacity))
