"""How many gate commands run at once on a worker: so many, in the order in which they came, and one more that is known to be quick.

A test suite may hold a place for minutes. Without a place of its own a linter's verdict of a second would wait for it, and with it
the agent whose change it sends back.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

QUICK_S: Final = 5.0
_QUICK_PLACES: Final = 1


class Turns:
    """`now` gives seconds and only ever rises. A command is quick when it took at most `QUICK_S` here. A suite that cannot even start
    is quick for once: what it took before is forgotten by half each time.
    """

    def __init__(self, places: int, now: Callable[[], float]) -> None:
        self._places = asyncio.Semaphore(places)
        self._quick_places = asyncio.Semaphore(_QUICK_PLACES)
        self._now = now
        self._took_s: dict[str, float] = {}

    @asynccontextmanager
    async def turn(self, command: str) -> AsyncGenerator[None]:
        """Waits for a place; what runs within is timed."""
        async with self._place(command):
            began = self._now()
            try:
                yield
            finally:
                self._took_s[command] = max(self._now() - began, self._took_s.get(command, 0.0) / 2)

    def _place(self, command: str) -> asyncio.Semaphore:
        quick = self._took_s.get(command, QUICK_S + 1) <= QUICK_S
        return self._quick_places if quick and self._places.locked() else self._places
