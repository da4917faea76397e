"""Which control plane a client talks to, of those it knows. Any of them serves any request, so a client stays with one until
that one fails, and then moves on as a whole.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Coroutine, Sequence
from typing import Any, TypeVar

from swarmworks.base.concurrency import end_all

T = TypeVar("T")


class LeftError(Exception):
    """The client moved on to another control plane while this one still owed an answer."""


class Addresses:
    """`given` are kept for good, as the last to be tried; `learn` says which others live. `find` is asked for addresses
    when none that is known answers. `shuffle` spreads the clients of a control plane that ended over the others.
    """

    def __init__(
        self,
        given: Sequence[str],
        find: Callable[[], Sequence[str]] | None = None,
        shuffle: Callable[[list[str]], None] = random.shuffle,
    ) -> None:
        self._given = [_plain(url) for url in given]
        self._find = find
        self._shuffle = shuffle
        self._known = list(dict.fromkeys(self._given))
        self._left: dict[str, asyncio.Future[None]] = {}

    @property
    def current(self) -> str:
        return self._known[0]

    @property
    def several(self) -> bool:
        return len(self._known) > 1

    def learn(self, urls: Sequence[str]) -> None:
        """`urls`: those that live, as the current one says. When it does not name itself it is about to end."""
        others = [url for url in dict.fromkeys(map(_plain, urls)) if url != self.current]
        self._shuffle(others)
        lives = self.current in map(_plain, urls)
        known = [self.current, *others]
        self._known = known + [url for url in self._given if url not in known]
        if urls and not lives:
            self.leave(self.current)

    def following(self, tried: Collection[str]) -> str | None:
        """The one to ask next: the current one, else another that has not been `tried`; None when there is none."""
        for url in self._known:
            if url not in tried:
                return url
        found = [_plain(url) for url in self._find()] if self._find is not None else []
        new = [url for url in found if url not in self._known]
        self._known += new
        return new[0] if new else None

    def leave(self, url: str) -> None:
        """After it failed. What waits for an answer of it is let go, unless there is no other to ask."""
        if url != self.current or len(self._known) < 2:
            return
        self._known = [*self._known[1:], url]
        left = self._left.pop(url, None)
        if left is not None and not left.done():
            left.set_result(None)

    def prefer(self, url: str) -> None:
        """After it answered where the current one did not."""
        before = self.current
        if url != before:
            self._known = [before, url, *(one for one in self._known[1:] if one != url)]
            self.leave(before)

    async def unless_left(self, url: str, asking: Coroutine[Any, Any, T]) -> T:
        """The answer, or LeftError as soon as the client has left `url`."""
        if url not in self._left:
            self._left[url] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(asking)
        try:
            await asyncio.wait((task, self._left[url]), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await end_all((task,))
            raise
        if task.done():
            return task.result()
        await end_all((task,))
        raise LeftError(url)


def _plain(url: str) -> str:
    return url.rstrip("/")
