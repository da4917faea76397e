"""The skeleton of every background chore: level-triggered, safe to repeat, woken early by events.

A chore reads the truth, decides, writes conditionally, and says whether there may be more to do. Being woken is only a
hint: a chore that is never woken still runs every `every_s`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

FAILURES_BEFORE_SLOW = 5


class Chore:
    """Runs `once` on waking and every `every_s` seconds. `once` returns True to be run again at once."""

    def __init__(self, name: str, once: Callable[[], Awaitable[bool]], *, every_s: float) -> None:
        self.name = name
        self.failures = 0
        self._once = once
        self._every_s = every_s
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        """Runs until cancelled. The one place where a chore's errors are caught: counted, logged, tried again."""
        while True:
            self._woken.clear()
            pause = self._every_s
            try:
                if await self._once():
                    pause = 0.0
                self.failures = 0
            except asyncio.CancelledError:
                raise
            except Exception:  # the labelled boundary of this loop
                self.failures += 1
                log.exception("chore %s failed (%d in a row)", self.name, self.failures)
                pause = self._every_s * min(self.failures, FAILURES_BEFORE_SLOW)
                self._woken.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._woken.wait()
