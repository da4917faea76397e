"""Budget accounts and reservations. Money is integer nano-dollars, tokens are integers; nothing is ever a float.

Accounts form a tree: project, swarm, task, session. A child's limit is carved out of its parent (`allocated`), topped up
on demand and returned when the child closes. Beside the tree stand a project's days and months and a swarm's agents: what
they allow cuts across tasks and swarms, so a reservation is held there as well, whole, and settled with it. For every
account and each dimension (money, tokens, requests)

    spent + held + allocated <= limit        (a limit of None: unbounded here, so bounded by no ancestor either)

A reservation ends exactly once: `held -> sent -> settled` or `held -> freed`. Only `held` may be freed; what was sent and
never heard of again is settled in full.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import AccountId, ReservationId, SessionId, SwarmId
from swarmworks.domain.table import TransitionTable

NANO = 1_000_000_000


class AccountKind(StrEnum):
    PROJECT = "project"
    SWARM = "swarm"
    TASK = "task"
    SESSION = "session"
    AGENT = "agent"  # what one agent may use in one swarm
    DAY = "day"
    MONTH = "month"


BESIDE = (AccountKind.DAY, AccountKind.MONTH, AccountKind.AGENT)
"""Kinds without a parent and without children."""


class Period(StrEnum):
    DAY = "day"
    MONTH = "month"


class AccountState(StrEnum):
    OPEN = "open"
    FROZEN = "frozen"  # a settlement above its reservation: a bug in the bound, a person must look
    CLOSED = "closed"


class ReservationState(StrEnum):
    HELD = "held"
    SENT = "sent"
    SETTLED = "settled"
    FREED = "freed"


class ReservationEvent(StrEnum):
    SEND = "send"
    SETTLE = "settle"
    FREE = "free"


RESERVATION_TABLE: TransitionTable[ReservationState, ReservationEvent] = TransitionTable(
    name="reservation",
    start=ReservationState.HELD,
    moves={
        (ReservationState.HELD, ReservationEvent.SEND): ReservationState.SENT,
        (ReservationState.HELD, ReservationEvent.FREE): ReservationState.FREED,
        (ReservationState.SENT, ReservationEvent.SETTLE): ReservationState.SETTLED,
    },
)


@dataclass(frozen=True, slots=True)
class Amount:
    nano_usd: int = 0
    tokens: int = 0

    def plus(self, other: Amount) -> Amount:
        return Amount(self.nano_usd + other.nano_usd, self.tokens + other.tokens)


@dataclass(frozen=True, slots=True)
class Limit:
    """None in a dimension: not bounded in it. `calls`: requests to a model."""

    nano_usd: int | None = None
    tokens: int | None = None
    calls: int | None = None

    @property
    def bounds_nothing(self) -> bool:
        return self.nano_usd is None and self.tokens is None and self.calls is None


UNLIMITED = Limit()


@dataclass(frozen=True, slots=True)
class Account:
    id: AccountId
    parent_id: AccountId | None
    kind: AccountKind
    subject: (
        str  # the project's, swarm's, task's or session's id; "swarm/agent", "project/2026-11-28", "project/2026-11"
    )
    state: AccountState
    limit: Limit
    spent: Amount
    held: Amount
    allocated: Amount


@dataclass(frozen=True, slots=True)
class Window:
    """A project's day or month that is under way: from `starts_at` until `ends_at`. `account_id` None: nothing was used
    in it. `key` names it: `2026-11-28`, `2026-11`, in the project's own time zone.
    """

    period: Period
    key: str
    starts_at: datetime
    ends_at: datetime
    account_id: AccountId | None
    limit: Limit
    spent: Amount
    held: Amount
    calls: int
    held_calls: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What a provider says a call used. `input_tokens` includes cached ones."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reservation:
    """`settled` is what was booked: the exact price when `estimated` is false, the whole reservation otherwise. `beside`:
    the accounts outside the tree on which it is held too. `price` is the digest of what it was priced by, None where that
    was not recorded.
    """

    id: ReservationId
    account_id: AccountId
    session_id: SessionId
    swarm_id: SwarmId
    state: ReservationState
    model: str
    reserved: Amount
    settled: Amount | None
    usage: Usage | None
    estimated: bool
    opened_at: datetime
    ended_at: datetime | None
    provider_request_id: str | None
    beside: tuple[AccountId, ...] = ()
    price: str | None = None
