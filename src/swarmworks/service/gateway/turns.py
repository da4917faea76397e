"""Whose turn it is to call a provider. Calls for accounts that cannot take them now wait in one line, first come first
served; a call never passes an earlier one that waits for the same account.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import ProviderUnavailableError, UnavailableError
from swarmworks.domain.provider import NEEDS_A_PERSON, Outage
from swarmworks.service.gateway.lanes import needs_a_person
from swarmworks.service.gateway.wire import ClientGoneError

if TYPE_CHECKING:
    from swarmworks.base.clock import Clock
    from swarmworks.service.gateway.client import Client
    from swarmworks.service.gateway.lanes import Account, Accounts, Lane, Turn

PATIENCE_S = 5.0
"""A model that can be asked so soon is waited for; otherwise the next one of its chain is asked."""


class NoTurnError(ProviderUnavailableError):
    """No account could take the call while it waited. `retry_after_s` until one may, None when that is not known."""

    code = "provider_no_turn"

    def __init__(self, outage: Outage, wait_s: float, *, where: str) -> None:
        super().__init__(f"{_WORDS[outage]}; the call waited for its turn in vain", where=where, mend="try again later")
        self.retry_after_s = max(1, math.ceil(wait_s)) if math.isfinite(wait_s) else None


class RateLimitedError(NoTurnError):
    code = "provider_rate_limited"
    http_status = 429


class CredentialsRefusedError(ProviderUnavailableError):
    """Every account that could answer is out for its key or its credit."""

    code = "provider_credentials"


_WORDS = {
    Outage.RATE_LIMITED: "the provider limits the rate of calls",
    Outage.OVERLOADED: "the provider is overloaded",
    Outage.FAILING: "the provider does not answer",
    Outage.KEY_REFUSED: "the provider refused the platform's credentials",
    Outage.NO_CREDIT: "the provider's account is out of credit",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A call as the line sees it: the lanes of each model that may answer, the first choice first; the most tokens it may
    use; until when (on the monotonic clock) it waits.
    """

    choices: tuple[tuple[Lane, ...], ...]
    tokens: int
    began: float
    deadline: float


@dataclass(slots=True, eq=False)
class _Waiting:
    wish: Wish
    turn: asyncio.Future[Turn]


class Turns:
    """`poll_s`: how long is waited at most before the line is looked at again. `length`: of the line."""

    def __init__(self, clock: Clock, accounts: Accounts, *, poll_s: float, length: int) -> None:
        self._clock = clock
        self._accounts = accounts
        self._poll_s = poll_s
        self._length = length
        self._line: list[_Waiting] = []
        self._timer: asyncio.TimerHandle | None = None
        accounts.news = self.wake

    @property
    def waiting(self) -> int:
        return len(self._line)

    def waiting_for(self, account: str) -> int:
        return sum(
            any(lane.account.name == account for lanes in one.wish.choices for lane in lanes) for one in self._line
        )

    async def take(self, wish: Wish, client: Client) -> Turn:
        """A turn, at once or after a wait. NoTurnError, CredentialsRefusedError; ClientGoneError when the client leaves."""
        now = self._clock.monotonic()
        wanted: set[Lane | Account] = set()
        for one in self._line:
            wanted |= _in_the_way(one.wish, now)
        turn = self._offer(wish, now, wanted)
        if turn is not None:
            return turn
        hopeless = self._hopeless(wish, now)
        if hopeless is not None:
            raise hopeless
        if len(self._line) >= self._length:
            raise _refusal(wish, now)
        return await self._stand(_Waiting(wish, asyncio.get_running_loop().create_future()), client)

    async def _stand(self, waiting: _Waiting, client: Client) -> Turn:
        def leave() -> None:
            if not waiting.turn.done():
                waiting.turn.set_exception(ClientGoneError())

        self._line.append(waiting)
        client.when_gone(leave)
        self.wake()
        try:
            return await waiting.turn
        except asyncio.CancelledError:
            if waiting.turn.done() and not waiting.turn.cancelled() and waiting.turn.exception() is None:
                self._accounts.withdrawn(waiting.turn.result(), sent=False)
            raise
        finally:
            client.when_gone(None)
            if waiting in self._line:
                self._line.remove(waiting)
            self.wake()

    def close(self) -> None:
        """Nobody waits here any more."""
        if self._timer is not None:
            self._timer.cancel()
        for one in self._line:
            if not one.turn.done():
                one.turn.set_exception(UnavailableError("the gateway is shutting down", mend="try again"))

    def wake(self) -> None:
        """Go through the line soon: what happens now may be one of several things at once."""
        if self._line:
            self._arm(0.0)

    def _arm(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            if self._timer.when() <= loop.time() + seconds:
                return
            self._timer.cancel()
        self._timer = loop.call_later(seconds, self._go_through)

    def _go_through(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        wanted: set[Lane | Account] = set()
        soonest = math.inf
        for waiting in list(self._line):
            if waiting.turn.done():
                continue
            wish = waiting.wish
            turn = self._offer(wish, now, wanted)
            if turn is not None:
                self._line.remove(waiting)
                waiting.turn.set_result(turn)
                continue
            refusal = _refusal(wish, now) if now >= wish.deadline else self._hopeless(wish, now)
            if refusal is not None:
                self._line.remove(waiting)
                waiting.turn.set_exception(refusal)
                continue
            wanted |= _in_the_way(wish, now)
            soonest = min(soonest, wish.deadline - now, _ready_in(wish, now))
        if self._line:
            self._arm(min(max(soonest, 0.001), self._poll_s))

    def _offer(self, wish: Wish, now: float, wanted: set[Lane | Account]) -> Turn | None:
        """A turn that is to be had now, without what earlier calls wait for."""
        for lanes in wish.choices:
            free = lanes
            if wanted:
                free = tuple(lane for lane in lanes if lane not in wanted and lane.account not in wanted)
            ready = [lane for lane in free if lane.ready_in(wish.tokens, now) <= 0.0]
            if ready:
                best = ready[0] if len(ready) == 1 else min(ready, key=_busyness)
                return best.take(wish.tokens, now)
            soon = min((lane.ready_in(wish.tokens, now) for lane in free), default=math.inf)
            if now + soon <= wish.began + PATIENCE_S:
                return None
        return None

    def _hopeless(self, wish: Wish, now: float) -> ProviderUnavailableError | None:
        """Nothing can come of waiting: every account is out beyond the deadline, and no probe is under way. A limit of a minute
        is no such reason: calls under way may turn out smaller.
        """
        lanes = [lane for choice in wish.choices for lane in choice]
        if lanes and all(needs_a_person(lane) for lane in lanes):
            return _refusal(wish, now)
        if all(now + lane.outage_s(now) > wish.deadline for lane in lanes):
            return _refusal(wish, now)
        return None


def _in_the_way(wish: Wish, now: float) -> set[Lane | Account]:
    """What the call waits for: lanes, and accounts where these themselves are full. What it only passes over, because its
    first choice is ready soon, is free for others.
    """
    found: set[Lane | Account] = set()
    for lanes in wish.choices:
        for lane in lanes:
            if lane.ready_in(wish.tokens, now) > 0.0:
                found.add(lane)
            if lane.account.ready_in(wish.tokens, now) > 0.0:
                found.add(lane.account)
    return found


def _ready_in(wish: Wish, now: float) -> float:
    return min(
        (wait for lanes in wish.choices for lane in lanes if (wait := lane.ready_in(wish.tokens, now)) > 0.0),
        default=math.inf,
    )


def _busyness(lane: Lane) -> tuple[int, int]:
    """Several accounts of one model share its calls."""
    return lane.account.in_flight, lane.taken


def _refusal(wish: Wish, now: float) -> ProviderUnavailableError:
    """In the name of the account that is ready first."""
    lanes = [lane for choice in wish.choices for lane in choice]
    lane = min(lanes, key=lambda one: one.ready_in(wish.tokens, now))
    outage = lane.account.breaker.reason or lane.breaker.reason or Outage.RATE_LIMITED
    if outage in NEEDS_A_PERSON:
        return CredentialsRefusedError(f"{_WORDS[outage]}: a person must look", where=lane.account.name)
    kind = RateLimitedError if outage is Outage.RATE_LIMITED else NoTurnError
    return kind(outage, lane.ready_in(wish.tokens, now), where=lane.account.name)
