"""Where requests are read: small ones at once, large ones in a thread of their own, so that the loop goes on with everything
else that the control plane serves, workers' leases before all.

One thread, since reading is all Python and a second would only take turns with the loop as well; a session has one body
there at a time, so that nobody waits behind the sixty-four connections of another.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.base.ids import SessionId

LARGE_BYTES = 200_000
_Read = TypeVar("_Read")


class Reading:
    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "gateway-reading")
        self._lines: WeakValueDictionary[SessionId, asyncio.Lock] = WeakValueDictionary()

    async def run(self, session_id: SessionId, size: int, work: Callable[[], _Read]) -> _Read:
        """`work` on a body of `size` bytes. It must change nothing."""
        if size <= LARGE_BYTES:
            return work()
        line = self._lines.setdefault(session_id, asyncio.Lock())
        async with line:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
