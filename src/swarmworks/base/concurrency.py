"""What asyncio leaves to whoever starts tasks: that they have ended, and that nothing they raised is told as forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any


def leave_unheard(task: asyncio.Task[Any]) -> None:
    """A done callback, for a task that others await: when nobody does any more, what it raised is not to be reported as forgotten."""
    if not task.cancelled():
        task.exception()


async def end_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Returns when all have ended. What one raised on the way is nobody's any more; asyncio would report it with its traceback
    as never retrieved, on the standard error of a command.
    """
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
