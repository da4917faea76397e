"""Wake-ups: who waits for news of the store is told after each commit. A wake-up is a hint, never the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from swarmworks.base.clock import Clock
from swarmworks.store.protocol import Store


class Waking:
    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self.clock = clock.monotonic
        self.closing = False
        self._waiters: set[asyncio.Future[None]] = set()
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """`listener` is called after every commit, on the event loop; it must return at once."""
        self._listeners.append(listener)

    async def run(self) -> None:
        """Until cancelled or the store closes."""
        async for committed in self._store.commits():
            if committed.swarms or committed.unsure:  # a worker's renewal is no news for anybody
                self.wake()

    def close(self) -> None:
        """Whoever waits is let go, and finds that there is nothing more to wait for."""
        self.closing = True
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
        waiter.add_done_callback(self._waiters.discard)
        return waiter
