"""A limit on each of many short waits, with one timer for all of them.

`asyncio.timeout` makes and drops a timer for every wait; a streamed answer waits twice for each of its events.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Patience:
    """`with patience:` around one wait: TimeoutError when it takes longer than `limit_s`. Waits follow one another, in one
    task at a time; `close` when there will be no more.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._until: float | None = None
        self._ends_at = math.inf
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task can wait")
        loop = asyncio.get_running_loop()
        self._task, self._cancelling = task, task.cancelling()
        self._until = min(loop.time() + self._limit_s, self._ends_at)
        if self._timer is None:
            self._timer = loop.call_at(self._until, self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        task, self._task, self._until = self._task, None, None
        if not self._over or task is None:
            return
        self._over = False
        if task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _look(self) -> None:
        """The timer stands for a wait that may be long over: it goes on to the end of the one under way, if there is one."""
        self._timer = None
        if self._until is None or self._task is None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._timer = loop.call_at(self._until, self._look)
        else:
            self._over = True
            self._task.cancel()

    def end_in(self, seconds: float) -> None:
        """All waits from now on together take no longer than that, however often it is said again."""
        self._ends_at = min(self._ends_at, asyncio.get_running_loop().time() + seconds)
        self.close()  # the timer stands for a later moment

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
