"""How providers' accounts stand, for people: what holds each up, until when, and how many calls wait for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swarmworks.domain.provider import BreakerState, Outage
from swarmworks.policy.provider_breaker import opens_in
from swarmworks.wire.api import ProviderStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.policy.provider_breaker import Breaker
    from swarmworks.service.gateway.lanes import Account, Accounts
    from swarmworks.service.gateway.turns import Turns


def standing(accounts: Accounts, turns: Turns, now: float) -> tuple[ProviderStatus, ...]:
    """One row for each account, and one for each of its models that does not answer for its own sake."""
    return tuple(
        row
        for of_provider in accounts.by_provider.values()
        for account in of_provider
        for row in _rows(account, turns, now)
    )


def _rows(account: Account, turns: Turns, now: float) -> Iterator[ProviderStatus]:
    waiting = turns.waiting_for(account.name)
    yield _row(account, None, account.breaker, waiting, now)
    for lane in account.lanes.values():
        wait_s = lane.ready_in(1, now)
        if lane.breaker.state is not BreakerState.CLOSED:
            yield _row(account, lane.model, lane.breaker, waiting, now)
        elif account.breaker.state is BreakerState.CLOSED and wait_s > 0.0:
            yield ProviderStatus(
                account=account.name,
                model=lane.model,
                state=Outage.RATE_LIMITED,
                retry_in_s=wait_s,
                waiting=waiting,
                in_flight=account.in_flight,
            )


def _row(account: Account, model: str | None, breaker: Breaker, waiting: int, now: float) -> ProviderStatus:
    wait_s = opens_in(breaker, now)
    return ProviderStatus(
        account=account.name,
        model=model,
        state="answers" if breaker.state is BreakerState.CLOSED else str(breaker.reason),
        retry_in_s=None if breaker.state is BreakerState.CLOSED or math.isinf(wait_s) else wait_s,
        waiting=waiting,
        in_flight=account.in_flight,
    )
