"""Who has fallen silent: counters that stood still for a lease's time, by the watcher's own monotonic clock.

A wall clock that jumps kills nobody, and neither does a watcher that was away itself (suspended, starved, or without a
database): while it did not look, nobody could have reached it, so no silence from before counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

Name = TypeVar("Name", bound=str)


class Sign(NamedTuple):
    """`counter` grows with every sign of life; `ttl_s` is how long it may stand still."""

    counter: int
    ttl_s: float


class Silence(Generic[Name]):
    """`away_s`: a longer time between two looks means that the watcher was away."""

    def __init__(self, away_s: float) -> None:
        self._away_s = away_s
        self._seen: dict[Name, tuple[int, float]] = {}
        self._looked: float | None = None

    def look(self, began: float, ended: float, signs: Mapping[Name, Sign]) -> list[Name]:
        """Those that were silent for their TTL. `signs` is what a look brought that `began` and `ended` at these monotonic
        times: a slow one is counted against nobody.
        """
        if self._looked is not None and ended - self._looked > self._away_s:
            self._seen.clear()
        self._looked = ended
        before, self._seen = self._seen, {}
        silent: list[Name] = []
        for name, sign in signs.items():
            count, since = before.get(name, (None, ended))
            self._seen[name] = (sign.counter, since if count == sign.counter else ended)
            if count == sign.counter and began - since >= sign.ttl_s:
                silent.append(name)
        return silent
