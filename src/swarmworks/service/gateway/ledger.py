"""The gateway's dealings with the store: who calls, what is held for a call, what it is settled at.

A reservation is opened as `sent` in one commit before a byte goes upstream, so that a crash at any later point is charged
in full. Whatever ends a call, `settle` runs exactly once.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import (
    BudgetExceededError,
    ConflictError,
    NotFoundError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from swarmworks.base.ids import ReservationId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.session import SessionState
from swarmworks.service.gateway.queue import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.base.ids import AccountId, IdSource
    from swarmworks.domain.budget import Reservation, Usage
    from swarmworks.domain.session import Session, SessionLimits
    from swarmworks.policy.bound import Billed
    from swarmworks.store.protocol import Reader, Store, Totals, Tx

_log = logging.getLogger(__name__)
SETTLE_TRIES = 3
TREES = 20_000  # remembered


class AccountClosedError(ConflictError):
    """The session's account takes no more reservations: closed with the session, or frozen."""

    code = "account_closed"


class SessionCapError(BudgetExceededError):
    """The session's own cap, which nothing can free."""

    code = "session_cap"


@dataclass(frozen=True, slots=True)
class Caller:
    """A session that showed its token. `accounts` from its own up to the root."""

    session: Session
    token_sha256: str
    limits: SessionLimits
    accounts: tuple[AccountId, ...]


class Ledger:
    def __init__(self, store: Store, ids: IdSource, limits: Callable[[Session], SessionLimits]) -> None:
        self._store = store
        self._ids = ids
        self._limits = limits
        self._trees: dict[AccountId, tuple[AccountId, ...]] = {}

    async def caller(self, token: str) -> Caller:
        """UnauthenticatedError for a token that is unknown, revoked or of a session that does not run."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        return await self._store.read(lambda reader: self._caller(reader, digest))

    def _caller(self, reader: Reader, digest: str) -> Caller:
        session = _running(reader, digest)
        return Caller(session, digest, self._limits(session), self._tree(reader, session.account_id))

    def _tree(self, reader: Reader, account_id: AccountId) -> tuple[AccountId, ...]:
        """From the leaf to the root. An account never changes its parent, so this is looked up once."""
        if account_id not in self._trees:
            if len(self._trees) >= TREES:
                self._trees.clear()
            found: list[AccountId] = []
            at: AccountId | None = account_id
            while at is not None:
                found.append(at)
                at = reader.account(at).parent_id
            self._trees[account_id] = tuple(found)
        return self._trees[account_id]

    async def settled_calls(self, caller: Caller) -> int:
        return (await self._store.read(lambda reader: reader.totals(caller.session.account_id))).calls

    async def money_is_bounded(self, caller: Caller) -> bool:
        """Whether any account above the session, or the session itself, has a limit in money."""
        if caller.limits.cost_nano_usd is not None:
            return True
        found = await self._store.read(lambda reader: [reader.account(account) for account in caller.accounts])
        return any(account.limit.nano_usd is not None for account in found)

    async def reserve(self, caller: Caller, model: str, amount: Amount) -> Reservation:
        """A reservation that is already `sent`. BudgetExceededError when it can never fit, BusyError when it may later."""
        reservation_id = ReservationId(self._ids.new("res"))

        def step(tx: Tx) -> Reservation:
            session = _running(tx, caller.token_sha256)
            if caller.limits.cost_nano_usd is not None or caller.limits.tokens is not None:
                _check_caps(tx.totals(session.account_id), caller, amount)
            return tx.reserve(reservation_id, session.id, model, amount, sent=True)

        commit = asyncio.ensure_future(self._store.transact(step))
        try:
            return await asyncio.shield(commit)
        except asyncio.CancelledError:
            # The commit may still happen; nothing was sent, so it costs nothing.
            reservation = await commit
            await self.settle(reservation, Amount())
            raise
        except SessionCapError:
            raise
        except BudgetExceededError as refusal:
            raise await self._later_or_never(refusal, caller, amount) from refusal
        except ConflictError as error:
            raise AccountClosedError(
                f"the budget account of this session takes no more calls: {error.what}", where=str(caller.session.id)
            ) from error

    async def _later_or_never(
        self, refusal: BudgetExceededError, caller: Caller, amount: Amount
    ) -> BudgetExceededError | BusyError:
        """Never, when what is spent leaves no room even with nothing held; later in all other cases."""
        totals = await self._store.read(lambda reader: [(a, reader.totals(a)) for a in caller.accounts])
        if not all(_fits(now.spent.plus(amount), now.limit) for _account_id, now in totals):
            return refusal
        full = (account_id for account_id, now in totals if not _fits(now.spent.plus(now.held).plus(amount), now.limit))
        return BusyError(
            f"{refusal.what}; calls under way hold the rest",
            account_id=next(full, caller.accounts[-1]),
            mend="try again when they are done, or raise the budget",
        )

    async def settle(
        self,
        reservation: Reservation,
        amount: Amount | None,
        billed: Billed | None = None,
        provider_request_id: str | None = None,
    ) -> Reservation | None:
        """Booked, durably; in full when `amount` is None. None when the store is not to be reached: the reservation stays
        `sent` and is charged in full when the store recovers.
        """
        usage: Usage | None = billed.usage if billed else None
        for attempt in range(SETTLE_TRIES):
            try:
                return await self._store.transact(
                    lambda tx: tx.settle(reservation.id, amount, usage, provider_request_id)
                )
            except ConflictError as error:
                _log.warning("%s was settled by somebody else: %s", reservation.id, error.what)
                return await self._store.read(lambda reader: reader.reservation(reservation.id))
            except StoreUnavailableError as error:
                _log.warning("settling %s, try %d: %s", reservation.id, attempt + 1, error)
        _log.error("%s stays open and will be charged in full", reservation.id)
        return None


def _running(reader: Reader, digest: str) -> Session:
    session_id = reader.token_session(digest)
    if session_id is None:
        raise UnauthenticatedError("this token is not valid, or was revoked", mend="use the token of a running session")
    try:
        session = reader.session(session_id)
    except NotFoundError as error:
        raise UnauthenticatedError("this token belongs to no session") from error
    if session.state is not SessionState.RUNNING:
        raise UnauthenticatedError(f"the session of this token is {session.state}", where=str(session.id))
    return session


def _check_caps(now: Totals, caller: Caller, amount: Amount) -> None:
    """The session's own caps, where they are tighter than its account."""
    caps = Limit(caller.limits.cost_nano_usd, caller.limits.tokens)
    if not _fits(now.spent.plus(amount), caps):
        raise SessionCapError(
            f"the session's own limit does not hold this call: spent {now.spent.nano_usd} nano-dollars and "
            f"{now.spent.tokens} tokens, this call needs up to {amount.nano_usd} and {amount.tokens}",
            where=str(caller.session.id),
            mend="raise the limit of a session, or make the task smaller",
        )
    if not _fits(now.spent.plus(now.held).plus(amount), caps):
        raise BusyError("another call of this session holds the rest of its limit", account_id=caller.accounts[0])


def _fits(amount: Amount, limit: Limit) -> bool:
    money = limit.nano_usd is None or amount.nano_usd <= limit.nano_usd
    return money and (limit.tokens is None or amount.tokens <= limit.tokens)
