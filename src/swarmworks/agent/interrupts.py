"""The session's deadline and SIGTERM, turned into exceptions that end whatever is going on.

A signal is the one mechanism that also ends a blocked read, a wait between retries and a runaway regular expression.
"""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


class SessionInterrupt(BaseException):
    """Not an Exception, so that no handler for ordinary failures can keep the session going."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TookTooLongError(Exception):
    """A part of the session used up the time that `within` gave it."""


class Interrupts:
    def __init__(self, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._deadline = time.monotonic() + deadline_s
        self._part_deadline: float | None = None
        self._holding = False
        self._held_back: SessionInterrupt | None = None

    def install(self) -> None:
        signal.signal(signal.SIGTERM, self._on_term)
        signal.signal(signal.SIGALRM, self._on_alarm)
        self._arm()

    def disarm(self) -> None:
        """From here on nothing interrupts: the end is being written."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)

    def remaining_s(self) -> float:
        return max(0.0, self._deadline - time.monotonic())

    @contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """TookTooLongError when the block takes longer."""
        self._part_deadline = time.monotonic() + seconds
        self._arm()
        try:
            yield
        finally:
            self._part_deadline = None
            self._arm()

    @contextmanager
    def held_back(self) -> Generator[None]:
        """An interrupt in the block is raised at its end: for short steps that must not be half done."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._held_back is not None:
            raise self._held_back

    def _interrupt(self, reason: str) -> None:
        self.disarm()
        interrupt = SessionInterrupt(reason)
        if not self._holding:
            raise interrupt
        self._held_back = interrupt

    def _arm(self) -> None:
        nearest = self._deadline if self._part_deadline is None else min(self._deadline, self._part_deadline)
        signal.setitimer(signal.ITIMER_REAL, max(0.001, nearest - time.monotonic()))

    def _on_term(self, _signal: int, _frame: FrameType | None) -> None:
        self._interrupt("terminated: the agent was told to stop (SIGTERM)")

    def _on_alarm(self, _signal: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now >= self._deadline:
            self._interrupt(f"deadline: the session's {self._deadline_s:g} s are over")
        elif self._part_deadline is not None and now >= self._part_deadline:
            self._part_deadline = None
            self._arm()
            raise TookTooLongError
        else:
            self._arm()
