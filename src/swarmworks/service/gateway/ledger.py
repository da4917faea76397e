"""The gateway's dealings with the store: who calls, what is held for a call, what it is settled at.

A reservation is opened as `sent` in one commit before a byte goes upstream, so that a crash at any later point is charged
in full. Whatever ends a call, `settle` runs exactly once.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from swarmworks.base.errors import (
    BudgetExceededError,
    ConflictError,
    NotFoundError,
    StoreUnavailableError,
    SwarmworksError,
    UnauthenticatedError,
)
from swarmworks.base.ids import MessageId, ReservationId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.question import PLATFORM
from swarmworks.domain.session import SessionState
from swarmworks.domain.task import TaskState
from swarmworks.policy import pricing
from swarmworks.service.gateway import throughput
from swarmworks.service.gateway.queue import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import AccountId, IdSource, ReplicaId
    from swarmworks.domain.budget import Reservation, Usage
    from swarmworks.domain.session import Session, SessionLimits
    from swarmworks.policy.bound import Billed, Price
    from swarmworks.policy.clamp import Offer
    from swarmworks.policy.subscription import Subscription
    from swarmworks.service.gateway.approved import ApprovedPrices
    from swarmworks.store.protocol import Reader, Store, Totals, Tx

_log = logging.getLogger(__name__)
SETTLE_TRIES = 3
SETTLE_AGAIN_S = 1.0
TREES = 20_000  # remembered
PRICES = 1_000  # remembered


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


@dataclass(frozen=True, slots=True)
class Terms:
    """What a reservation is priced by, which is put on record with it, and the subscription it draws on."""

    price: Price | None = None
    subscription: Subscription | None = None


class Ledger:
    """`replica_id`: the control plane whose calls these are; when it is gone, others charge what it left open."""

    def __init__(
        self,
        store: Store,
        ids: IdSource,
        clock: Clock,
        limits: Callable[[Session], SessionLimits],
        approved: ApprovedPrices,
        replica_id: ReplicaId | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._approved = approved
        self._recorded: dict[Price, str] = {}
        self._replica_id = replica_id
        self._ids = ids
        self._limits = limits
        self._trees: dict[AccountId, tuple[AccountId, ...]] = {}
        self._later: set[asyncio.Task[None]] = set()

    async def caller(self, token: str) -> Caller:
        """UnauthenticatedError for a token that is unknown, revoked or of a session that does not run."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        return await self._store.read(lambda reader: self._caller(reader, digest))

    def _caller(self, reader: Reader, digest: str) -> Caller:
        session = _running(reader, digest)
        self._approved.look(reader)
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

    async def before(self, caller: Caller) -> tuple[int, str | None]:
        """The calls of the session that are settled, and why it was stopped, if it was."""
        session = caller.session

        def look(reader: Reader) -> tuple[int, str | None]:
            return reader.answered_calls(session.id), reader.session_stops([session.id]).get(session.id)

        return await self._store.read(look)

    async def stop(self, caller: Caller, reason: str) -> None:
        """On record, so that its worker ends it and no replica serves it; for as long as the store is away, only here."""
        session = caller.session

        def write(tx: Tx) -> None:
            if tx.session(session.id).state is SessionState.ENDED:
                return  # a call that came after its end
            tx.stop_session(session.id, reason)
            data = {"reason": reason}
            tx.append(session.swarm_id, NewEvent("session.stopping", "platform", data, session.task_id, session.id))

        try:
            await self._store.transact(write)
        except StoreUnavailableError as error:
            _log.warning("that %s is stopped is not on record: %s", session.id, error)

    async def ask_to_hand_over(self, caller: Caller, tokens: int, window: int) -> None:
        """A message to the session of a task that is worked on. Another replica may have asked before, and the session may
        have ended.
        """
        session = caller.session
        message_id = MessageId(self._ids.new("msg"))
        text = f"{tokens * 100 // window} % of the model's window are used"

        def write(tx: Tx) -> None:
            ended = tx.session(session.id).state is SessionState.ENDED
            works = tx.task(session.swarm_id, session.task_id).state is TaskState.RUNNING
            asked = any(message.sender == PLATFORM for message in tx.messages(session.id))
            if ended or asked or not works:
                return
            tx.insert_message(message_id, session.id, PLATFORM, text)
            data: dict[str, object] = {"message": message_id, "tokens": tokens, "window": window}
            tx.append(session.swarm_id, NewEvent("session.context_full", PLATFORM, data, session.task_id, session.id))

        try:
            await self._store.transact(write)
        except StoreUnavailableError as error:
            _log.warning("%s could not be asked to hand over: %s", session.id, error)

    async def money_is_bounded(self, caller: Caller) -> bool:
        """Whether anything the session's calls are held on, or the session itself, has a limit in money."""
        if caller.limits.cost_nano_usd is not None:
            return True
        drawn = await self._store.read(lambda reader: reader.totals_of_session(caller.session.id))
        return any(now.limit.nano_usd is not None for _account_id, now in drawn)

    async def room(self, caller: Caller) -> Limit:
        """What a call may hold now, by the session's own caps and every account it is held on."""
        return await self._store.read(lambda reader: _room(reader, caller))

    async def reserve(
        self, caller: Caller, model: str, amount: Amount, offer: Offer | None = None, terms: Terms | None = None
    ) -> Reservation:
        """A reservation that is already `sent`. Where `amount` does not fit, the most of `offer` that does, looked up and
        reserved in one transaction. BudgetExceededError when it can never fit, BusyError when it may later.
        """
        terms = terms or Terms()
        try:
            return await self._open(caller, model, lambda _tx: amount, terms)
        except (BudgetExceededError, BusyError) as refusal:
            if offer is None or offer.least == amount:
                await self._refuse(refusal, caller, amount)
        try:
            return await self._open(caller, model, lambda tx: offer.fitting(_room(tx, caller)) or offer.least, terms)
        except (BudgetExceededError, BusyError) as refusal:
            await self._refuse(refusal, caller, offer.least)

    async def _open(self, caller: Caller, model: str, choose: Callable[[Tx], Amount], terms: Terms) -> Reservation:
        price, subscription = terms.price, terms.subscription
        reservation_id = ReservationId(self._ids.new("res"))
        digest = self._recorded.get(price) if price is not None else None
        document = pricing.written(price) if price is not None and digest is None else None
        digest = pricing.digest(document) if document is not None else digest

        def step(tx: Tx) -> Reservation:
            session = _running(tx, caller.token_sha256)
            amount = choose(tx)
            if caller.limits.cost_nano_usd is not None or caller.limits.tokens is not None:
                _check_caps(tx.totals(session.account_id), caller, amount)
            if subscription is not None:
                throughput.check(tx, subscription, amount.tokens, self._clock.now())
            if document is not None and digest is not None:
                tx.record_price(digest, document)
            return tx.reserve(
                reservation_id,
                session.id,
                model,
                amount,
                sent=True,
                replica_id=self._replica_id,
                price=digest,
                subscription=subscription.provider if subscription is not None else None,
            )

        commit = asyncio.ensure_future(self._store.transact(step))
        try:
            made = await asyncio.shield(commit)
        except asyncio.CancelledError:
            await self._undo(commit, reservation_id, caller)
            raise
        except StoreUnavailableError:
            self._undo_later(reservation_id, caller)
            raise
        except (BudgetExceededError, BusyError):
            raise
        except ConflictError as error:
            raise AccountClosedError(
                f"the budget account of this session takes no more calls: {error.what}", where=str(caller.session.id)
            ) from error
        if price is not None and digest is not None:
            self._remember(price, digest)
        return made

    def _remember(self, price: Price, digest: str) -> None:
        """That it is on record, so that the next call by the same price need not put it there."""
        if len(self._recorded) >= PRICES:
            self._recorded.clear()
        self._recorded[price] = digest

    async def _undo(self, commit: asyncio.Future[Reservation], reservation_id: ReservationId, caller: Caller) -> None:
        """The commit may still happen; nothing was sent, so it costs nothing."""
        try:
            reservation = await commit
        except StoreUnavailableError:
            self._undo_later(reservation_id, caller)
        except SwarmworksError as refusal:
            _log.debug("%s was refused to a client that had left: %s", reservation_id, refusal)
        else:
            await self.settle(reservation, Amount())

    def _undo_later(self, reservation_id: ReservationId, caller: Caller) -> None:
        """Whether the reservation was made is unknown, and nobody else knows its id: it would hold its money for as long as
        this control plane lives, and be charged in full at the end. Nothing was sent.
        """

        def step(tx: Tx) -> Reservation:
            tx.swarm(
                caller.session.swarm_id
            )  # under whose lock it was made: a commit that is still on its way is waited for
            return tx.settle(reservation_id, Amount(), None, None)

        self._begin_later(reservation_id, step)

    async def _refuse(self, refusal: BudgetExceededError | BusyError, caller: Caller, amount: Amount) -> NoReturn:
        if isinstance(refusal, SessionCapError | throughput.NeverFitsError | BusyError):
            raise refusal
        raise await self._later_or_never(refusal, caller, amount) from refusal

    async def _later_or_never(
        self, refusal: BudgetExceededError, caller: Caller, amount: Amount
    ) -> BudgetExceededError | BusyError:
        """Never, when what is spent leaves no room even with nothing held; later in all other cases."""
        totals = await self._store.read(lambda reader: reader.totals_of_session(caller.session.id))
        if not all(_fits(now.spent.plus(amount), now.limit, now.calls + 1) for _account_id, now in totals):
            return refusal
        full = (
            account_id
            for account_id, now in totals
            if not _fits(now.spent.plus(now.held).plus(amount), now.limit, now.calls + now.held_calls + 1)
        )
        line = next(full, caller.accounts[-1])
        return BusyError(
            f"{refusal.what}; calls under way hold the rest",
            # a day's or an agent's line is the project's: calls still to come know only the accounts of the tree
            account_id=line if line is not None and line in caller.accounts else caller.accounts[-1],
            mend="try again when they are done, or raise the budget",
        )

    async def settle(
        self,
        reservation: Reservation,
        amount: Amount | None,
        billed: Billed | None = None,
        provider_request_id: str | None = None,
    ) -> Reservation | None:
        """Booked, durably; in full when `amount` is None. None when the store takes nothing now: it is tried again until it
        does, or this control plane ends, and the reservation, which is still `sent`, is charged in full.
        """
        usage: Usage | None = billed.usage if billed else None

        def step(tx: Tx) -> Reservation:
            return tx.settle(reservation.id, amount, usage, provider_request_id)

        for attempt in range(SETTLE_TRIES):
            try:
                return await self._store.transact(step)
            except ConflictError as error:
                _log.warning("%s was settled by somebody else: %s", reservation.id, error.what)
                return await self._as_it_is(reservation.id)
            except StoreUnavailableError as error:
                _log.warning("settling %s, try %d: %s", reservation.id, attempt + 1, error)
        _log.error("%s stays open until the store takes it", reservation.id)
        self._begin_later(reservation.id, step)
        return None

    async def _as_it_is(self, reservation_id: ReservationId) -> Reservation | None:
        try:
            return await self._store.read(lambda reader: reader.reservation(reservation_id))
        except StoreUnavailableError as error:
            _log.warning("what %s was settled at is not known: %s", reservation_id, error)
            return None

    def _begin_later(self, reservation_id: ReservationId, step: Callable[[Tx], Reservation]) -> None:
        later = asyncio.create_task(self._settle_later(reservation_id, step))
        self._later.add(later)
        later.add_done_callback(self._later.discard)

    async def _settle_later(self, reservation_id: ReservationId, step: Callable[[Tx], Reservation]) -> None:
        while True:
            await asyncio.sleep(SETTLE_AGAIN_S)
            try:
                await self._store.transact(step)
            except StoreUnavailableError:
                continue
            except ConflictError as error:
                _log.warning("%s was settled by somebody else: %s", reservation_id, error.what)
            except NotFoundError:
                _log.info("%s was never made", reservation_id)
            return

    async def close(self) -> None:
        """What could not be settled by now is charged in full by whoever comes next."""
        for task in self._later:
            task.cancel()
        await asyncio.gather(*self._later, return_exceptions=True)


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


def _room(reader: Reader, caller: Caller) -> Limit:
    """By every account a call is held on, and the session's own caps."""
    left = reader.headroom(caller.session.account_id)
    for account_id, now in reader.totals_of_session(caller.session.id):
        if account_id is None or account_id not in caller.accounts:  # beside the tree
            left = _within(left, now.limit, now)
    caps = Limit(caller.limits.cost_nano_usd, caller.limits.tokens)
    return left if caps == Limit() else _within(left, caps, reader.totals(caller.session.account_id))


def _within(left: Limit, limit: Limit, now: Totals) -> Limit:
    used = now.spent.plus(now.held)
    return replace(
        left,
        nano_usd=_less(left.nano_usd, limit.nano_usd, used.nano_usd),
        tokens=_less(left.tokens, limit.tokens, used.tokens),
    )


def _less(left: int | None, cap: int | None, used: int) -> int | None:
    if cap is None:
        return left
    own = max(0, cap - used)
    return own if left is None else min(left, own)


def _check_caps(now: Totals, caller: Caller, amount: Amount) -> None:
    """The session's own caps, where they are tighter than its account."""
    caps = Limit(caller.limits.cost_nano_usd, caller.limits.tokens)
    if not _fits(now.spent.plus(amount), caps, 1):
        raise SessionCapError(
            f"the session's own limit does not hold this call: spent {now.spent.nano_usd} nano-dollars and "
            f"{now.spent.tokens} tokens, this call needs up to {amount.nano_usd} and {amount.tokens}",
            where=str(caller.session.id),
            mend="raise the limit of a session, or make the task smaller",
        )
    if not _fits(now.spent.plus(now.held).plus(amount), caps, 1):
        raise BusyError("another call of this session holds the rest of its limit", account_id=caller.accounts[0])


def _fits(amount: Amount, limit: Limit, calls: int) -> bool:
    money = limit.nano_usd is None or amount.nano_usd <= limit.nano_usd
    tokens = limit.tokens is None or amount.tokens <= limit.tokens
    return money and tokens and (limit.calls is None or calls <= limit.calls)
