"""A provider's account: what it is limited to, and why it may be unable to answer for a while."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from swarmworks.domain.table import TransitionTable


class BreakerState(StrEnum):
    CLOSED = "closed"  # calls go through
    OPEN = "open"  # none does
    HALF_OPEN = "half_open"  # one does, and decides


class BreakerEvent(StrEnum):
    TRIP = "trip"
    PROBE = "probe"
    SUCCEED = "succeed"
    WITHDRAW = "withdraw"  # the probe ended without saying anything of the provider
    RENEW = "renew"  # the account has another key


BREAKER_TABLE: TransitionTable[BreakerState, BreakerEvent] = TransitionTable(
    name="breaker",
    start=BreakerState.CLOSED,
    moves={
        (BreakerState.CLOSED, BreakerEvent.TRIP): BreakerState.OPEN,
        (BreakerState.OPEN, BreakerEvent.PROBE): BreakerState.HALF_OPEN,
        (BreakerState.HALF_OPEN, BreakerEvent.TRIP): BreakerState.OPEN,
        (BreakerState.HALF_OPEN, BreakerEvent.WITHDRAW): BreakerState.OPEN,
        (BreakerState.HALF_OPEN, BreakerEvent.SUCCEED): BreakerState.CLOSED,
        (BreakerState.CLOSED, BreakerEvent.RENEW): BreakerState.CLOSED,
        (BreakerState.OPEN, BreakerEvent.RENEW): BreakerState.CLOSED,
        (BreakerState.HALF_OPEN, BreakerEvent.RENEW): BreakerState.CLOSED,
    },
)


class Outage(StrEnum):
    """Why an account does not answer. The last two need a person."""

    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    FAILING = "failing"  # no connection, silence, server errors
    KEY_REFUSED = "key_refused"
    NO_CREDIT = "no_credit"


NEEDS_A_PERSON = frozenset({Outage.KEY_REFUSED, Outage.NO_CREDIT})


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """Of a provider's account, for a minute. None: only what the provider says bounds it."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


UNLIMITED = AccountLimits()
