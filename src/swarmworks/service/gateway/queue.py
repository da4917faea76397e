"""Calls that do not fit now wait in line for the account that is full, first come first served.

Strict order is what keeps a large call from being passed over by small ones for ever.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from swarmworks.base.errors import LimitReachedError
from swarmworks.service.gateway.wire import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import AccountId

T = TypeVar("T")


class BusyError(LimitReachedError):
    """Does not fit now, but would if calls under way cost less than was held for them."""

    code = "budget_busy"
    http_status = 429
    retryable = True

    def __init__(self, what: str, *, account_id: AccountId, mend: str = "") -> None:
        super().__init__(what, where=str(account_id), mend=mend)
        self.account_id = account_id


class FairQueue:
    """`wait_s`, `poll_s`: seconds; `length`: of one line."""

    def __init__(self, clock: Clock, *, wait_s: float, poll_s: float, length: int) -> None:
        self._clock = clock
        self._wait_s = wait_s
        self._poll_s = poll_s
        self._length = length
        self._lines: dict[AccountId, deque[asyncio.Event]] = {}

    async def admit(
        self, accounts: Collection[AccountId], attempt: Callable[[], Awaitable[T]], *, left: Callable[[], bool]
    ) -> T:
        """The result of `attempt`, made again whenever money came free. BusyError after the wait, or when the line is full;
        ClientGoneError once `left` says that nobody waits for the result any more.

        `accounts` are those the call draws on: where a line stands for one of them, this call joins its end untried.
        """
        ahead = next((account for account in accounts if account in self._lines), None)
        if ahead is None:
            try:
                return await attempt()
            except BusyError as busy:
                ahead, refusal = busy.account_id, busy
        else:
            refusal = BusyError("other calls wait for the same budget", account_id=ahead)
        line = self._lines.setdefault(ahead, deque())
        if len(line) >= self._length:
            raise refusal
        return await self._stand(ahead, line, refusal, attempt, left)

    async def _stand(
        self,
        account: AccountId,
        line: deque[asyncio.Event],
        refusal: BusyError,
        attempt: Callable[[], Awaitable[T]],
        left: Callable[[], bool],
    ) -> T:
        turn = asyncio.Event()
        line.append(turn)
        turn.set()  # money may have come free between the attempt and now
        deadline = self._clock.monotonic() + self._wait_s
        try:
            while True:
                await self._next_wake(turn)
                if left():
                    raise ClientGoneError
                if line[0] is turn:
                    try:
                        return await attempt()
                    except BusyError as busy:
                        refusal = busy
                if self._clock.monotonic() >= deadline:
                    raise refusal
        finally:
            line.remove(turn)
            if line:
                line[0].set()
            elif self._lines.get(account) is line:
                del self._lines[account]

    async def _next_wake(self, turn: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await turn.wait()
        except TimeoutError:
            return
        turn.clear()

    def money_came_free(self) -> None:
        for line in self._lines.values():
            if line:
                line[0].set()

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())
