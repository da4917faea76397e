"""Providers' accounts and what stands in the way of a call to each: outages, limits of a minute, what the provider said.

In memory, of this process: every replica reads the same headers, and learns of an outage by its own calls.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmworks.domain.provider import NEEDS_A_PERSON, BreakerState, Outage
from swarmworks.policy import provider_breaker as breakers
from swarmworks.policy.provider_breaker import Breaker
from swarmworks.policy.throughput import Bucket, Minute

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from swarmworks.base.clock import Clock
    from swarmworks.provider.rate_limits import Told
    from swarmworks.service.gateway.record import ProviderAccount, Upstream

_log = logging.getLogger(__name__)
BYTES_PER_TOKEN = 4
"""Usual for text. A guess is enough where an error costs a wait, or a refusal that is free; never used for money."""

OF_THE_MODEL = frozenset({Outage.RATE_LIMITED, Outage.OVERLOADED})
"""Providers limit each model by itself; everything else is the account's."""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """An account, or one of its models, stopped answering (`outage`, for `wait_s`), or answers again (None)."""

    account: str
    model: str | None
    outage: Outage | None
    wait_s: float


class Account:
    """One key at one provider. `name` is the provider's, with the account's own where there are several."""

    def __init__(self, upstream: Upstream, account: ProviderAccount, clock: Clock) -> None:
        self.name = f"{upstream.name}/{account.name}" if account.name else upstream.name
        self.upstream = replace(upstream, key=account.key, accounts=())
        self.breaker = Breaker()
        self.in_flight = 0
        self.lanes: dict[str, Lane] = {}
        self._clock = clock
        limits = account.limits
        self.requests = None if limits.requests_per_minute is None else Minute(limits.requests_per_minute)
        self.tokens = None if limits.tokens_per_minute is None else Minute(limits.tokens_per_minute)

    def lane(self, model: str) -> Lane:
        if model not in self.lanes:
            self.lanes[model] = Lane(self, model)
        return self.lanes[model]

    def ready_in(self, tokens: int, now: float) -> float:
        waits = [breakers.opens_in(self.breaker, now)]
        if self.requests is not None:
            waits.append(self.requests.ready_in(1, now))
        if self.tokens is not None:
            waits.append(self.tokens.ready_in(tokens, now))
        return max(waits)


@dataclass(slots=True)
class Turn:
    """The right to make one call at one account; whoever has it ends it once. `tokens` is the most the call may use."""

    lane: Lane
    tokens: int
    number: int
    guessed: int
    epochs: tuple[int, int]
    counted: tuple[int, int]
    over: bool = False


class Lane:
    """One model at one account."""

    def __init__(self, account: Account, model: str) -> None:
        self.account = account
        self.model = model
        self.breaker = Breaker()
        self._told: dict[str, Bucket] = {}
        self.taken = 0
        self._guessed = 0

    def ready_in(self, tokens: int, now: float) -> float:
        """Seconds until a call of so many tokens may go, as far as is known."""
        wait = max(self.account.ready_in(tokens, now), breakers.opens_in(self.breaker, now))
        for unit, bucket in self._told.items():
            wait = max(wait, bucket.ready_in(_guess(unit, tokens), now))
        return wait

    def outage_s(self, now: float) -> float:
        """Seconds until the outage of the account or the model is probed again; 0.0 while a probe is under way."""
        waits = (breakers.opens_in(one, now) for one in (self.account.breaker, self.breaker))
        return max(0.0 if math.isinf(wait) else wait for wait in waits)

    def take(self, tokens: int, now: float) -> Turn:
        """Only where `ready_in` said 0.0."""
        account = self.account
        account.breaker, self.breaker = breakers.begun(account.breaker), breakers.begun(self.breaker)
        account.in_flight += 1
        self.taken += 1
        self._guessed += tokens // BYTES_PER_TOKEN
        if self._told:
            self._told = {unit: bucket.take(_guess(unit, tokens), now) for unit, bucket in self._told.items()}
        counted = (
            0 if account.requests is None else account.requests.take(1, now),
            0 if account.tokens is None else account.tokens.take(tokens, now),
        )
        return Turn(self, tokens, self.taken, self._guessed, (account.breaker.epoch, self.breaker.epoch), counted)

    def hear(self, turn: Turn, told: Iterable[Told], now: float) -> None:
        """What the provider said is left, less what was sent to it since this turn began."""
        for one in told:
            since = self._guessed - turn.guessed if one.unit.endswith("tokens") else self.taken - turn.number
            since = 0 if one.unit == "output tokens" else since
            bucket = Bucket.told(limit=one.limit, remaining=one.remaining, reset_s=one.reset_s, now=now)
            self._told[one.unit] = bucket.take(since, now) if since else bucket


class Accounts:
    """All accounts of all providers. Every turn is taken and ended here; `changed` is told when one stops answering, or
    answers again, once each; `news` after anything that may let a waiting call go.
    """

    def __init__(self, upstreams: Mapping[str, Upstream], clock: Clock) -> None:
        self._clock = clock
        self._announced: set[tuple[str, str | None]] = set()
        self.by_provider = {
            name: tuple(Account(upstream, one, clock) for one in upstream.all_accounts())
            for name, upstream in upstreams.items()
        }
        self.changed: Callable[[AccountChange], None] = lambda _change: None
        self.news: Callable[[], None] = lambda: None

    def lanes(self, provider: str, model: str) -> tuple[Lane, ...]:
        return tuple(account.lane(model) for account in self.by_provider.get(provider, ()))

    def rekey(self, upstream: Upstream) -> None:
        """The accounts of the provider have these keys from now on. One whose key was refused may be asked again."""
        for account, given in zip(self.by_provider[upstream.name], upstream.all_accounts(), strict=True):
            if account.upstream.key != given.key:
                account.upstream = replace(account.upstream, key=given.key)
                account.breaker = breakers.renewed(account.breaker)
                self._announce(account.name, None, account.breaker)
                _log.info("%s has another key", account.name)
        self.news()

    def alive(self, turn: Turn) -> None:
        """The provider began to answer: an outage is over, although the call goes on."""
        account, lane = turn.lane.account, turn.lane
        of_account = breakers.answered(account.breaker, turn.epochs[0])
        of_lane = breakers.answered(lane.breaker, turn.epochs[1])
        if of_account is account.breaker and of_lane is lane.breaker:
            return
        turn.epochs = (
            of_account.epoch if turn.epochs[0] == account.breaker.epoch else turn.epochs[0],
            of_lane.epoch if turn.epochs[1] == lane.breaker.epoch else turn.epochs[1],
        )
        account.breaker, lane.breaker = of_account, of_lane
        self._look(lane)
        self.news()

    def answered(self, turn: Turn, used_tokens: int | None) -> None:
        """The provider answered; `used_tokens` None: unknown, so the most is counted."""
        if self._end(turn, used_tokens):
            self.alive(turn)
            if turn.lane.account.tokens is not None:
                self.news()

    def failed(
        self, turn: Turn, outage: Outage, wait_s: float | None, used_tokens: int | None, *, sent: bool = True
    ) -> None:
        """`sent` False: the provider was not reached, so it cannot have counted a request."""
        if not self._end(turn, used_tokens):
            return
        account, lane, now = turn.lane.account, turn.lane, self._clock.monotonic()
        if not sent:
            _uncount(turn)
        if outage in OF_THE_MODEL:  # so it answers, as far as the account goes
            account.breaker = breakers.answered(account.breaker, turn.epochs[0])
            lane.breaker = breakers.failed(lane.breaker, turn.epochs[1], outage, wait_s, now)
        else:
            lane.breaker = breakers.withdrawn(lane.breaker, turn.epochs[1], now)
            account.breaker = breakers.failed(account.breaker, turn.epochs[0], outage, wait_s, now)
        self._look(lane)
        self.news()

    def withdrawn(self, turn: Turn, *, sent: bool) -> None:
        """The call says nothing of the provider: its client left, its money was not there."""
        if not self._end(turn, None if sent else 0):
            return
        account, lane, now = turn.lane.account, turn.lane, self._clock.monotonic()
        account.breaker = breakers.withdrawn(account.breaker, turn.epochs[0], now)
        lane.breaker = breakers.withdrawn(lane.breaker, turn.epochs[1], now)
        if not sent:
            _uncount(turn)
        self.news()

    def _end(self, turn: Turn, used_tokens: int | None) -> bool:
        if turn.over:
            return False
        turn.over = True
        account = turn.lane.account
        account.in_flight -= 1
        if account.tokens is not None and used_tokens is not None:
            account.tokens.correct(turn.counted[1], turn.tokens, used_tokens)
        return True

    def _look(self, lane: Lane) -> None:
        self._announce(lane.account.name, None, lane.account.breaker)
        self._announce(lane.account.name, lane.model, lane.breaker)

    def _announce(self, account: str, model: str | None, breaker: Breaker) -> None:
        now, key = self._clock.monotonic(), (account, model)
        if breaker.state is BreakerState.CLOSED and key in self._announced:
            self._announced.discard(key)
            _log.info("%s%s answers again", account, f" with {model}" if model else "")
            self.changed(AccountChange(account, model, None, 0.0))
        elif key not in self._announced and breakers.worth_telling(breaker, now):
            assert breaker.reason is not None
            self._announced.add(key)
            _log.warning("%s%s does not answer: %s", account, f" with {model}" if model else "", breaker.reason)
            self.changed(AccountChange(account, model, breaker.reason, breaker.until - now))


def _uncount(turn: Turn) -> None:
    """The request that was never made."""
    requests = turn.lane.account.requests
    if requests is not None:
        requests.correct(turn.counted[0], 1, 0)


def needs_a_person(lane: Lane) -> bool:
    """The account is out for its key or its credit, not for a time."""
    breaker = lane.account.breaker
    return breaker.state is not BreakerState.CLOSED and breaker.reason in NEEDS_A_PERSON


def _guess(unit: str, tokens: int) -> int:
    return max(1, tokens // BYTES_PER_TOKEN) if unit in {"tokens", "input tokens"} else 1
