"""The ledger: accounts, reservations, and the history from which the peak is computed.

No call is forwarded without a reservation here, and none ends twice. Rows of accounts are read and written within one
transaction, in the order of the tree from the leaf up; the CHECKs of the table hold whatever happens here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import BudgetExceededError, ConflictError, RejectedError
from swarmworks.base.ids import AccountId
from swarmworks.domain.budget import (
    RESERVATION_TABLE,
    AccountKind,
    AccountState,
    Amount,
    Limit,
    ReservationEvent,
    ReservationState,
)
from swarmworks.store import accounts, rows
from swarmworks.store.accounts import UNITS, FullError, Node, bounds, by_unit, worded
from swarmworks.store.connection import load
from swarmworks.store.protocol import Peak, SessionUsage, Totals
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.base.ids import ReservationId, SessionId, SwarmId, TaskId
    from swarmworks.domain.budget import Account, Reservation, Usage

_SQL = load("ledger")


def task_subject(swarm_id: SwarmId, task_id: TaskId) -> str:
    """The subject of a task's account: task ids are unique within their swarm only."""
    return f"{swarm_id}/{task_id}"


class LedgerReads(Scope):
    def account(self, account_id: AccountId) -> Account:
        return rows.account(found(self.db.row(_SQL["account"], id=account_id), "account", account_id))

    def account_of(self, kind: AccountKind, subject: str) -> Account:
        row = self.db.row(_SQL["account_of"], kind=kind, subject=subject)
        return rows.account(found(row, f"account of a {kind}", subject))

    def totals(self, account_id: AccountId) -> Totals:
        """`limit` is the account's own bound; None where only the accounts above bound it."""
        account = accounts.node(found(self.db.row(_SQL["account"], id=account_id), "account", account_id))
        row = found(self.db.row(_SQL["totals"], id=account_id), "account", account_id)
        return Totals(
            limit=Limit(**{unit: purse.cap for unit, purse in account.purses.items()}),
            spent=Amount(row["spent_nano_usd"], row["spent_tokens"]),
            held=Amount(row["held_nano_usd"], row["held_tokens"]),
            calls=row["calls"],
        )

    def headroom(self, account_id: AccountId) -> Limit:
        """What everything below the account may still hold together, by its own bound and those above it."""
        left: dict[str, int | None] = dict.fromkeys(UNITS)
        for node in self.chain(account_id):
            if node.state is not AccountState.OPEN or node.closing:
                return Limit(0, 0)
            caps = {unit: purse.cap for unit, purse in node.purses.items() if purse.cap is not None}
            if not caps:
                continue
            totals = self.totals(node.id)
            used = by_unit(totals.spent.plus(totals.held))
            for unit, cap in caps.items():
                room, present = max(0, cap - used[unit]), left[unit]
                left[unit] = room if present is None else min(present, room)
        return Limit(**left)

    def peak(self, swarm_id: SwarmId) -> Peak:
        highest = found(self.db.row(_SQL["peak"], swarm_id=swarm_id), "swarm", swarm_id)
        settled = found(self.db.row(_SQL["settled"], swarm_id=swarm_id), "swarm", swarm_id)
        return Peak(
            peak=Amount(highest["nano_usd"], highest["tokens"]),
            spent=Amount(settled["nano_usd"], settled["tokens"]),
            calls=settled["calls"],
            estimated_calls=settled["estimated_calls"],
        )

    def session_usage(self, swarm_id: SwarmId) -> list[SessionUsage]:
        return [
            SessionUsage(
                session_id=row["session_id"],
                task_id=row["task_id"],
                agent_id=row["agent_id"],
                model=row["model"],
                calls=row["calls"],
                spent=Amount(row["nano_usd"], row["tokens"]),
                input_tokens=row["input_tokens"],
                output_tokens=row["output_tokens"],
            )
            for row in self.db.rows(_SQL["session_usage"], swarm_id=swarm_id)
        ]

    def reservation(self, reservation_id: ReservationId) -> Reservation:
        row = self.db.row(_SQL["reservation"], id=reservation_id)
        return rows.reservation(found(row, "reservation", reservation_id))

    def open_reservations(self, swarm_id: SwarmId | None = None) -> list[Reservation]:
        if swarm_id is None:
            return [rows.reservation(row) for row in self.db.rows(_SQL["open_reservations"])]
        return [rows.reservation(row) for row in self.db.rows(_SQL["open_reservations_of"], swarm_id=swarm_id)]

    def chain(self, account_id: AccountId) -> list[Node]:
        """The account and those above it, itself first."""
        return [accounts.node(row) for row in self.db.rows(_SQL["chain"], id=account_id)]

    def subtree(self, account_id: AccountId) -> list[Node]:
        """The account and what is not closed below it, deepest first, itself last."""
        return [accounts.node(row) for row in self.db.rows(_SQL["subtree"], id=account_id)]


class LedgerWrites(LedgerReads):
    def reserve(
        self, reservation_id: ReservationId, session_id: SessionId, model: str, amount: Amount, *, sent: bool
    ) -> Reservation:
        if min(by_unit(amount).values()) < 0:
            raise RejectedError("a reservation cannot be negative", where=reservation_id)
        session = found(self.db.row(_SQL["session"], id=session_id), "session", session_id)
        chain = self.chain(session["account_id"])
        _refuse_unless_open(chain)
        for unit, asked in by_unit(amount).items():
            self._make_room(chain, unit, asked)
            chain[0].purses[unit].held += asked
        self._save(chain)
        state = RESERVATION_TABLE.start
        self.db.change(
            _SQL["insert_reservation"],
            id=reservation_id,
            account_id=chain[0].id,
            session_id=session_id,
            swarm_id=session["swarm_id"],
            state=RESERVATION_TABLE.next(state, ReservationEvent.SEND) if sent else state,
            model=model,
            reserved_nano_usd=amount.nano_usd,
            reserved_tokens=amount.tokens,
            opened_at=self.now(),
        )
        self._enter(session["swarm_id"], reservation_id, amount, Amount())
        return self.reservation(reservation_id)

    def send(self, reservation_id: ReservationId) -> Reservation:
        return self._move(self.reservation(reservation_id), ReservationEvent.SEND)

    def free(self, reservation_id: ReservationId) -> Reservation:
        present = self.reservation(reservation_id)
        freed = self._move(present, ReservationEvent.FREE)
        self._release(freed)
        self._enter(freed.swarm_id, freed.id, Amount(), freed.reserved)
        return freed

    def settle(
        self,
        reservation_id: ReservationId,
        amount: Amount | None,
        usage: Usage | None = None,
        provider_request_id: str | None = None,
    ) -> Reservation:
        present = self.reservation(reservation_id)
        booked = present.reserved if amount is None else amount
        if min(by_unit(booked).values()) < 0:
            raise RejectedError("a settlement cannot be negative", where=reservation_id)
        settled = self._move(
            present,
            ReservationEvent.SETTLE,
            booked=booked,
            usage=usage,
            estimated=amount is None,
            provider_request_id=provider_request_id,
        )
        self._book(settled, booked)
        self._enter(settled.swarm_id, settled.id, booked, settled.reserved)
        return settled

    def recover_reservations(self) -> list[Reservation]:
        held = ReservationState.HELD
        return [
            self.free(each.id) if each.state is held else self.settle(each.id, None)
            for each in self.open_reservations()
        ]

    def raise_limit(self, account_id: AccountId, limit: Limit) -> Account:
        if self.account(account_id).state is AccountState.CLOSED:
            raise ConflictError("the account is closed", where=account_id)
        root = self.chain(account_id)[-1].id
        for unit, new in bounds(limit).items():
            self._reclaim(root, unit)
            self._set_bound(account_id, unit, new)
        chain = self.chain(account_id)
        if chain[0].state is AccountState.FROZEN:
            chain[0].state = AccountState.OPEN
            self._save(chain[:1])
        return self.account(account_id)

    # Accounts

    def open_account(self, parent_id: AccountId | None, kind: AccountKind, subject: str, cap: Limit) -> AccountId:
        """The account of that subject, made when there is none yet. A swarm with a limit gets it whole, now:
        BudgetExceededError when the project's account does not have it.
        """
        row = self.db.row(_SQL["account_of"], kind=kind, subject=subject)
        if row is not None:
            return AccountId(row["id"])
        account_id = AccountId(self.ids.new("acc"))
        above = self.chain(parent_id) if parent_id else []
        values: dict[str, int | None] = {}
        for unit, bound in bounds(cap).items():
            bounded = bound is not None or (bool(above) and above[0].purses[unit].limit is not None)
            whole = bound if kind is AccountKind.SWARM and bound is not None else 0
            values |= {f"cap_{unit}": bound, f"limit_{unit}": whole if bounded else None}
            if above and whole:
                self._make_room(above, unit, whole)
                above[0].purses[unit].allocated += whole
        self._save(above)
        self.db.change(
            _SQL["insert_account"],
            id=account_id,
            parent_id=parent_id,
            kind=kind,
            subject=subject,
            state=AccountState.OPEN,
            **values,
        )
        return account_id

    def close_account(self, kind: AccountKind, subject: str) -> None:
        """Now, or with the last reservation and child that are still open in it."""
        row = self.db.row(_SQL["account_of"], kind=kind, subject=subject)
        if row is None or row["state"] == AccountState.CLOSED:
            return
        chain = self.chain(AccountId(row["id"]))
        chain[0].closing = True
        self._ease(chain)

    def _ease(self, chain: list[Node]) -> None:
        """After something in `chain[0]` ended: close what was waiting for that, hand back what is not needed, save."""
        accounts.shrink(chain)
        self._save(chain)
        while len(chain) > 1 and chain[0].closing and self._may_close(chain[0]):
            accounts.fold(chain)
            self._save(chain)
            chain = chain[1:]
        accounts.give_back(chain)
        self._save(chain)

    def _may_close(self, node: Node) -> bool:
        if any(purse.held for purse in node.purses.values()):
            return False
        row = self.db.row(_SQL["open_children"], id=node.id)
        return row is not None and row["children"] == 0

    def _make_room(self, chain: list[Node], unit: str, asked: int) -> None:
        """See that `chain[0]` has room for `asked`. BudgetExceededError, naming the account that is full."""
        while True:
            room = chain[0].purses[unit].room
            if room is None or room >= asked:
                return
            try:
                accounts.carve([node.purses[unit] for node in chain], asked - room)
            except FullError as full:
                self._save(chain)
                if not self._reclaim(chain[full.at].id, unit):
                    raise self._exceeded(chain[full.at], unit, asked) from None
                chain[:] = self.chain(chain[0].id)

    def _reclaim(self, account_id: AccountId, unit: str) -> bool:
        changed = accounts.reclaim(self.subtree(account_id), unit)
        self._save(changed)
        return bool(changed)

    def _exceeded(self, full: Node, unit: str, asked: int) -> BudgetExceededError:
        totals = self.totals(full.id)
        spent, held = by_unit(totals.spent)[unit], by_unit(totals.held)[unit]
        purse = full.purses[unit]
        limit = purse.limit if purse.cap is None else purse.cap
        return BudgetExceededError(
            f"the budget of {full.kind} {full.subject} is full: asked {worded(unit, asked)}, limit {worded(unit, limit)}, "
            f"spent {worded(unit, spent)}, held {worded(unit, held)}",
            where=f"{full.kind} {full.subject}",
            mend="raise its limit, or wait until a call that is under way settles",
        )

    def _set_bound(self, account_id: AccountId, unit: str, new: int | None) -> None:
        chain = self.chain(account_id)
        node, purse = chain[0], chain[0].purses[unit]
        if new is not None and purse.limit is None:
            subtree = self.subtree(account_id)
            accounts.bind(subtree, unit)
            self._save(subtree)
            chain = self.chain(account_id)
            node, purse = chain[0], chain[0].purses[unit]
        if new is not None and new < purse.used:
            raise ConflictError(
                f"a limit of {worded(unit, new)} is below what is spent and held already, {worded(unit, purse.used)}",
                where=f"{node.kind} {node.subject}",
            )
        whole = node.kind in {AccountKind.PROJECT, AccountKind.SWARM}
        above = chain[1].purses[unit] if len(chain) > 1 else None
        before = (purse.limit or 0) + purse.overrun
        purse.cap, purse.fixed = new, whole and new is not None
        if new is None:
            free = purse.limit is None or (whole and (above is None or above.limit is None))
            after = None if free else max(purse.limit or 0, purse.used)
        else:
            carved = purse.used if purse.limit is None else min(before, new)
            after = new if whole else carved
        purse.limit, purse.overrun = after, 0
        grown = (after or 0) - before
        if above is not None:
            if grown > 0:
                self._save_bounded(chain, unit, grown)
                return
            above.allocated += grown
        self._save(chain)

    def _save_bounded(self, chain: list[Node], unit: str, grown: int) -> None:
        parents = chain[1:]
        self._make_room(parents, unit, grown)
        parents[0].purses[unit].allocated += grown
        self._save([chain[0], *parents])

    def _save(self, nodes: Sequence[Node]) -> None:
        """Only the rows that changed: mostly one, so that accounts high up are not written by every call."""
        for node in nodes:
            values = node.values()
            if values != node.stored:
                self.db.change(_SQL["save_account"], **values)
                node.stored = values

    # Reservations

    def _move(
        self,
        present: Reservation,
        event: ReservationEvent,
        *,
        booked: Amount | None = None,
        usage: Usage | None = None,
        estimated: bool = False,
        provider_request_id: str | None = None,
    ) -> Reservation:
        state = RESERVATION_TABLE.next(present.state, event)
        touched = self.db.change(
            _SQL["move_reservation"],
            id=present.id,
            state=state,
            expected=present.state,
            settled_nano_usd=booked.nano_usd if booked else None,
            settled_tokens=booked.tokens if booked else None,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            cache_read_tokens=usage.cache_read_tokens if usage else None,
            cache_write_tokens=usage.cache_write_tokens if usage else None,
            estimated=estimated,
            ended_at=self.now() if state in RESERVATION_TABLE.terminal else None,
            provider_request_id=provider_request_id,
        )
        if not touched:
            raise ConflictError("the reservation moved meanwhile", where=present.id)
        return self.reservation(present.id)

    def _release(self, ended: Reservation) -> None:
        chain = self.chain(ended.account_id)
        for unit, reserved in by_unit(ended.reserved).items():
            chain[0].purses[unit].held -= reserved
        self._ease(chain)

    def _book(self, ended: Reservation, booked: Amount) -> None:
        chain = self.chain(ended.account_id)
        reserved, actual = by_unit(ended.reserved), by_unit(booked)
        for unit in UNITS:
            if actual[unit] > reserved[unit]:
                self._make_room_anyhow(chain, unit, actual[unit] - reserved[unit])
                chain[0].freeze()
            purse = chain[0].purses[unit]
            purse.held -= reserved[unit]
            purse.spent += actual[unit]
        chain[0].calls += 1
        self._ease(chain)

    def _make_room_anyhow(self, chain: list[Node], unit: str, extra: int) -> None:
        """A settlement above its reservation is booked whatever the limits say."""
        try:
            self._make_room(chain, unit, extra)
        except BudgetExceededError:
            self._reclaim(chain[-1].id, unit)
            chain[:] = self.chain(chain[0].id)
            room = chain[0].purses[unit].room
            if room is not None and extra > room:
                accounts.force(chain, unit, extra - max(0, room))

    def _enter(self, swarm_id: SwarmId, reservation_id: ReservationId, plus: Amount, minus: Amount) -> None:
        """One step of the history of `spent + held`."""
        self.touched.add(swarm_id)
        self.db.change(
            _SQL["insert_entry"],
            swarm_id=swarm_id,
            reservation_id=reservation_id,
            nano_usd=plus.nano_usd - minus.nano_usd,
            tokens=plus.tokens - minus.tokens,
        )


def _refuse_unless_open(chain: Sequence[Node]) -> None:
    for node in chain:
        if node.state is AccountState.OPEN and not node.closing:
            continue
        state = "closing" if node.closing else node.state
        raise ConflictError(
            f"the account of {node.kind} {node.subject} is {state}",
            where=f"{node.kind} {node.subject}",
            mend="look at what was booked above its reservation, then raise the limit" if state == "frozen" else "",
        )
