"""Calls that do not fit now wait in line for the account that is full: sessions take turns, and each session's own calls go
in the order they came.

Taking turns is what keeps a session with a hundred calls at once from starving one with a single call; that nobody passes
over the one whose turn it is keeps a large call from being passed over by small ones for ever. A line is of one process:
replicas look again every `poll_s`, and compete for what comes free.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, TypeVar

from swarmworks.base.errors import LimitReachedError
from swarmworks.service.gateway.wire import ClientGoneError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import AccountId, SessionId

T = TypeVar("T")


class BusyError(LimitReachedError):
    """Does not fit now, but would if calls under way cost less than was held for them."""

    code = "budget_busy"
    http_status = 429
    retryable = True

    def __init__(self, what: str, *, account_id: AccountId, mend: str = "", retry_after_s: int | None = None) -> None:
        super().__init__(what, where=str(account_id), mend=mend)
        self.account_id = account_id
        self.retry_after_s = retry_after_s  # where it is known when there is room again


class PassedOverError(Exception):
    """The call would have to wait in a line it does not want to stand in."""


class _Line:
    """Of one account. `first` is whose turn it is."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[SessionId, deque[asyncio.Event]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(turns) for turns in self._sessions.values())

    def of(self, session_id: SessionId) -> int:
        return len(self._sessions.get(session_id, ()))

    @property
    def first(self) -> asyncio.Event | None:
        return next(iter(self._sessions.values()))[0] if self._sessions else None

    def join(self, session_id: SessionId, turn: asyncio.Event) -> None:
        self._sessions.setdefault(session_id, deque()).append(turn)

    def leave(self, session_id: SessionId, turn: asyncio.Event) -> None:
        """Whoever had its turn, and got what it waited for or gave up, goes behind all others with its next call."""
        had_its_turn = self.first is turn
        turns = self._sessions[session_id]
        turns.remove(turn)
        if not turns:
            del self._sessions[session_id]
        elif had_its_turn:
            self._sessions.move_to_end(session_id)

    def wake(self) -> None:
        if self.first is not None:
            self.first.set()


class FairQueue:
    """`wait_s`, `poll_s`: seconds; `length`: of one line, `session_length`: of one session's calls in it."""

    def __init__(self, clock: Clock, *, wait_s: float, poll_s: float, length: int, session_length: int) -> None:
        self._clock = clock
        self._wait_s = wait_s
        self._poll_s = poll_s
        self._length = length
        self._session_length = session_length
        self._lines: dict[AccountId, _Line] = {}

    async def admit(
        self,
        session_id: SessionId,
        accounts: Collection[AccountId],
        attempt: Callable[[], Awaitable[T]],
        *,
        left: Callable[[], bool],
        passes: Collection[AccountId] = (),
    ) -> T:
        """The result of `attempt`, made again whenever money came free. BusyError after the wait, or when the line is full;
        ClientGoneError once `left` says that nobody waits for the result any more; PassedOverError instead of a wait for one
        of `passes`.

        `accounts` are those the call draws on: where a line stands for one of them, this call joins it untried.
        """
        attempt = _passing(attempt, passes) if passes else attempt
        ahead = next((account for account in accounts if account in self._lines), None)
        if ahead is None:
            try:
                return await attempt()
            except BusyError as busy:
                ahead, refusal = busy.account_id, busy
        else:
            if ahead in passes:
                raise PassedOverError
            refusal = BusyError("other calls wait for the same budget", account_id=ahead)
        line = self._lines.setdefault(ahead, _Line())
        if len(line) >= self._length or line.of(session_id) >= self._session_length:
            raise refusal
        return await self._stand(session_id, ahead, line, refusal, attempt, left)

    async def _stand(
        self,
        session_id: SessionId,
        account: AccountId,
        line: _Line,
        refusal: BusyError,
        attempt: Callable[[], Awaitable[T]],
        left: Callable[[], bool],
    ) -> T:
        turn = asyncio.Event()
        line.join(session_id, turn)
        turn.set()  # money may have come free between the attempt and now
        deadline = self._clock.monotonic() + self._wait_s
        try:
            while True:
                await self._next_wake(turn)
                if left():
                    raise ClientGoneError
                if line.first is turn:
                    try:
                        return await attempt()
                    except BusyError as busy:
                        refusal = busy
                if self._clock.monotonic() >= deadline:
                    raise refusal
        finally:
            line.leave(session_id, turn)
            line.wake()
            if not len(line) and self._lines.get(account) is line:
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
            line.wake()

    @property
    def waiting(self) -> int:
        return sum(len(line) for line in self._lines.values())


def _passing(attempt: Callable[[], Awaitable[T]], passes: Collection[AccountId]) -> Callable[[], Awaitable[T]]:
    async def passing() -> T:
        try:
            return await attempt()
        except BusyError as busy:
            if busy.account_id in passes:
                raise PassedOverError from busy
            raise

    return passing
