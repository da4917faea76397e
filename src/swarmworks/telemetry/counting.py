"""The counts of model calls: the one set of numbers that `/metrics` and a collector are both told.

Added to on the event loop, read by whoever asks, from any thread. Nothing is labelled by session or task, and how many
series there can be is bounded.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from threading import Lock

from swarmworks.telemetry.calls import Call, Outcome, Target
from swarmworks.telemetry.names import DURATION_BOUNDS_S, TOKEN_BOUNDS

MOST_TARGETS = 200
OTHER = "other"
_STATUS = re.compile(r"provider_(\d)\d\d")
_OWN_STATUSES = frozenset(
    f"provider_{status}" for status in (400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 529)
)


class Histogram:
    """`counts[i]` is of the values above `bounds[i-1]` up to `bounds[i]`, the last of those above all. `least` and `most`
    are of no meaning while `count` is zero.
    """

    __slots__ = ("bounds", "count", "counts", "least", "most", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.sum: float = 0
        self.least: float = 0
        self.most: float = 0

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.least = min(self.least, value) if self.count else value
        self.most = max(self.most, value) if self.count else value
        self.count += 1
        self.sum += value

    def copy(self) -> Histogram:
        made = Histogram(self.bounds)
        made.counts = self.counts.copy()
        made.count, made.sum, made.least, made.most = self.count, self.sum, self.least, self.most
        return made


def _durations() -> Histogram:
    return Histogram(DURATION_BOUNDS_S)


def _tokens() -> Histogram:
    return Histogram(TOKEN_BOUNDS)


@dataclass(slots=True)
class Tally:
    """Of one target. Durations by outcome and reason: as many as there were calls."""

    durations: dict[tuple[Outcome, str | None], Histogram] = field(
        default_factory=dict[tuple[Outcome, str | None], Histogram]
    )
    first_bytes: Histogram = field(default_factory=_durations)
    input_tokens: Histogram = field(default_factory=_tokens)
    output_tokens: Histogram = field(default_factory=_tokens)
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    exact_nano_usd: int = 0
    estimated_nano_usd: int = 0

    def add(self, call: Call, reason: str | None) -> None:
        key = (call.outcome, reason)
        if key not in self.durations:
            self.durations[key] = _durations()
        self.durations[key].add(call.duration_s)
        if call.first_byte_s is not None:
            self.first_bytes.add(call.first_byte_s)
        if call.tokens is not None:
            self.input_tokens.add(call.tokens.input)
            self.output_tokens.add(call.tokens.output)
            self.cache_read_tokens += call.tokens.cache_read
            self.cache_write_tokens += call.tokens.cache_write
        if call.estimated:
            self.estimated_nano_usd += call.cost_nano_usd or 0
        else:
            self.exact_nano_usd += call.cost_nano_usd or 0

    def copy(self) -> Tally:
        return replace(
            self,
            durations={key: each.copy() for key, each in self.durations.items()},
            first_bytes=self.first_bytes.copy(),
            input_tokens=self.input_tokens.copy(),
            output_tokens=self.output_tokens.copy(),
        )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`untold`: calls whose span was given up; None where no collector is told of calls at all."""

    tallies: Mapping[Target, Tally]
    untold: int | None


class CallCounts:
    def __init__(self) -> None:
        self._tallies: dict[Target, Tally] = {}
        self._untold: int | None = None
        self._lock = Lock()

    def add(self, call: Call) -> None:
        target = call.target
        with self._lock:
            if target not in self._tallies and len(self._tallies) >= MOST_TARGETS:
                target = Target(OTHER, OTHER, OTHER, target.operation)
            tally = self._tallies.get(target)
            if tally is None:
                tally = self._tallies[target] = Tally()
            tally.add(call, bounded(call.reason))

    def untold(self, calls: int) -> None:
        """So many calls were given up on the way to the collector; zero once, when there is one."""
        with self._lock:
            self._untold = (self._untold or 0) + calls

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot({target: tally.copy() for target, tally in self._tallies.items()}, self._untold)


def bounded(reason: str | None) -> str | None:
    """A provider may answer with any status: those that mean nothing special are counted by their hundred."""
    match = _STATUS.fullmatch(reason or "")
    return f"provider_{match[1]}xx" if match and reason not in _OWN_STATUSES else reason
