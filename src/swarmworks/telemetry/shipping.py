"""The way of calls to a collector: a bounded queue, one thread, and nothing that a model call ever waits for.

A collector that hangs, refuses or is away costs the spans that do not fit the queue. They are counted and the log says so
once, until it answers again. The counts of calls are sent whole each time, so of those nothing is lost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from swarmworks.telemetry.calls import Call
from swarmworks.telemetry.counting import CallCounts, Snapshot

_log = logging.getLogger(__name__)
QUEUE_CALLS = 2_048
QUEUE_CONTENT_CALLS = 512
"""With prompts and answers a call takes up to some 100 KB."""
BATCH_CALLS = 256
SPANS_EVERY_S = 5.0
COUNTS_EVERY_S = 15.0
FLUSH_S = 2.0


class Exporter(Protocol):
    """Called from one thread, but for `stop`. Each may take its time, in bounds of its own."""

    def spans(self, calls: Sequence[Call]) -> bool:
        """Whether the collector took them."""
        ...

    def counts(self, now: Snapshot) -> bool: ...

    def stop(self) -> None:
        """Whatever it waits for between two tries ends; later calls fail at once."""
        ...


class Shipping:
    """`where` the collector is, for the log."""

    def __init__(
        self,
        exporter: Exporter,
        counts: CallCounts,
        where: str,
        *,
        queue_calls: int = QUEUE_CALLS,
        spans_every_s: float = SPANS_EVERY_S,
        counts_every_s: float = COUNTS_EVERY_S,
        flush_s: float = FLUSH_S,
    ) -> None:
        self._exporter = exporter
        self._counts = counts
        self._where = where
        self._queue_calls = queue_calls
        self._spans_every_s = spans_every_s
        self._counts_every_s = counts_every_s
        self._flush_s = flush_s
        self._queue: deque[Call] = deque()
        self._wake = threading.Condition()
        self._ending = False
        self._away = False
        self._full = False
        self._given_up = 0  # since the collector last answered
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        counts.untold(0)

    def start(self) -> None:
        self._thread.start()

    def add(self, call: Call) -> None:
        """Never waits for the collector. A call that does not fit any more is given up."""
        with self._wake:
            if len(self._queue) < self._queue_calls:
                self._queue.append(call)
                if len(self._queue) >= BATCH_CALLS:
                    self._wake.notify()
                return
            self._give_up(1)
            said, self._full = self._full, True
        if not said:
            _log.warning("the collector at %s takes fewer calls than are made: the rest are given up", self._where)

    async def close(self) -> None:
        """What is queued is sent, within `flush_s` in all. Nobody waits for a collector that is known to be away."""
        with self._wake:
            self._ending = True
            self._wake.notify()
        if self._away:
            self._exporter.stop()
        await asyncio.to_thread(self._thread.join, self._flush_s)
        if self._thread.is_alive():
            self._exporter.stop()
            _log.warning("the collector at %s did not take what was left within %g s", self._where, self._flush_s)

    def _run(self) -> None:
        counts_at = time.monotonic() + self._counts_every_s
        ending = False
        while not ending:
            with self._wake:
                self._wake.wait_for(lambda: self._ending or len(self._queue) >= BATCH_CALLS, self._spans_every_s)
                ending = self._ending
            due = ending or time.monotonic() >= counts_at
            if due:
                counts_at = time.monotonic() + self._counts_every_s
            try:
                self._ship(counts_too=due)
            except Exception as error:  # noqa: BLE001 - the loop's one boundary: later calls are told, whatever was raised
                _log.error("telling the collector at %s failed: %s", self._where, type(error).__name__)
        self._end()

    def _ship(self, *, counts_too: bool) -> None:
        while batch := self._next():
            taken = False
            try:
                taken = self._heard(taken=self._exporter.spans(batch))
            finally:
                if not taken:
                    with self._wake:
                        self._give_up(len(batch))
            if not taken:
                break
        if counts_too:
            self._heard(taken=self._exporter.counts(self._counts.snapshot()))

    def _next(self) -> list[Call]:
        with self._wake:
            return [self._queue.popleft() for _ in range(min(BATCH_CALLS, len(self._queue)))]

    def _heard(self, *, taken: bool) -> bool:
        if taken and (self._away or self._full):
            _log.info("the collector at %s answers; %d calls were given up", self._where, self._given_up)
            self._given_up, self._full = 0, False
        elif not taken and not self._away:
            _log.warning("the collector at %s takes nothing: calls go on without it", self._where)
        self._away = not taken
        return taken

    def _end(self) -> None:
        with self._wake:
            self._give_up(len(self._queue))
            self._queue.clear()
        self._exporter.stop()
        if self._given_up:
            _log.warning("of %d calls the collector at %s was not told", self._given_up, self._where)

    def _give_up(self, calls: int) -> None:
        self._given_up += calls
        self._counts.untold(calls)
