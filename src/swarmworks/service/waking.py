"""Wake-ups: who waits for news of the store is told after each commit. A wake-up is a hint, never the truth."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from swarmworks.base.clock import Clock
from swarmworks.store.protocol import Store


class Waking:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self.clock = clock.monotonic
        self._waiters: set[asyncio.Future[None]] = set()
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """`listener` is called after every commit, on the event loop; it must return at once."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Until cancelled or the store closes."""
        async for _ in self._store.commits():
            self.wake()

    def wake(self) -> None:
        for listener in self._listeners:
            listener()
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def ticket(self) -> asyncio.Future[None]:
        """Take one before looking, wait on it after finding nothing: news in between is not missed."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        return waiter

    async def wait(self, ticket: asyncio.Future[None], timeout_s: float) -> bool:
        """True when there was news."""
        try:
            async with asyncio.timeout(timeout_s):
                await ticket
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(ticket)
            with contextlib.suppress(asyncio.InvalidStateError):
                ticket.cancel()
        return True
