"""Wake-ups after commits, coalesced for each listener. Lives on the event loop; never the truth, only a hint to look."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING

from swarmworks.store.protocol import Committed

if TYPE_CHECKING:
    from swarmworks.base.ids import SwarmId


class Commits:
    def __init__(self) -> None:
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._closed = False

    def listen(self) -> Listener:
        """From now on: what is committed before the first `async for` step is not missed."""
        listener = Listener()
        if self._closed:
            listener.end()
        self._listeners.add(listener)
        return listener

    def publish(self, swarms: frozenset[SwarmId], *, unsure: bool = False) -> None:
        for listener in list(self._listeners):
            listener.add(swarms, unsure=unsure)

    def close(self) -> None:
        self._closed = True
        for listener in list(self._listeners):
            listener.end()


class Listener:
    """An async iterator. It is forgotten when nobody holds it any more."""

    def __init__(self) -> None:
        self._swarms: set[SwarmId] = set()
        self._unsure = False
        self._pending = False
        self._ended = False
        self._wake = asyncio.Event()

    def add(self, swarms: frozenset[SwarmId], *, unsure: bool = False) -> None:
        self._swarms |= swarms
        self._unsure |= unsure
        self._pending = True
        self._wake.set()

    def end(self) -> None:
        self._ended = True
        self._wake.set()

    def __aiter__(self) -> Listener:
        return self

    async def __anext__(self) -> Committed:
        await self._wake.wait()
        if not self._pending:
            raise StopAsyncIteration
        committed = Committed(frozenset(self._swarms), self._unsure)
        self._swarms.clear()
        self._unsure = self._pending = False
        if not self._ended:
            self._wake.clear()
        return committed
