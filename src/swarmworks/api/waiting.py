"""Long polls: ask, and when there is nothing, wait for news, for the time given, or until nobody listens any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from swarmworks.service.waking import Waking

T = TypeVar("T")


async def answer_when(
    waking: Waking, request: Request, ask: Callable[[], Awaitable[T]], enough: Callable[[T], bool], wait_s: float
) -> T:
    """The first answer that is `enough`, or the latest one after `wait_s`. Nothing is asked for a client that has gone:
    what it would be given would be lost.
    """
    deadline = waking.clock() + wait_s
    gone = asyncio.create_task(_gone(request))
    try:
        while True:
            ticket = waking.ticket()
            answer = await ask()
            remaining_s = deadline - waking.clock()
            if enough(answer) or remaining_s <= 0 or waking.closing:
                ticket.cancel()
                return answer
            await asyncio.wait((ticket, gone), timeout=remaining_s, return_when=asyncio.FIRST_COMPLETED)
            ticket.cancel()
            if gone.done():
                return answer
    finally:
        gone.cancel()


async def _gone(request: Request) -> None:
    """The body has been read: the next message is the client's leaving."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
