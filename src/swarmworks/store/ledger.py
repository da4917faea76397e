"""Reservations: no call is forwarded without one, and none ends twice. Each is held on its session's account, for which room
is made up the tree, and on the accounts beside it; each step is entered into the history from which the peak is computed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import BudgetExceededError, ConflictError, RejectedError
from swarmworks.domain.budget import (
    RESERVATION_TABLE,
    AccountState,
    Amount,
    ReservationEvent,
    ReservationState,
)
from swarmworks.policy import ledger as policy
from swarmworks.store import accounts, rows
from swarmworks.store.accounts import UNITS, Node, by_unit
from swarmworks.store.beside import BesideWrites
from swarmworks.store.connection import load
from swarmworks.store.scope import found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.base.ids import ReplicaId, ReservationId, SessionId, SwarmId, TaskId
    from swarmworks.domain.budget import Reservation, Usage

_SQL = load("ledger")


def task_subject(swarm_id: SwarmId, task_id: TaskId) -> str:
    """The subject of a task's account: task ids are unique within their swarm only."""
    return f"{swarm_id}/{task_id}"


class LedgerWrites(BesideWrites):
    def reserve(
        self,
        reservation_id: ReservationId,
        session_id: SessionId,
        model: str,
        amount: Amount,
        *,
        sent: bool,
        replica_id: ReplicaId | None = None,
        price: str | None = None,
        subscription: str | None = None,
    ) -> Reservation:
        if min(amount.nano_usd, amount.tokens) < 0:
            raise RejectedError("a reservation cannot be negative", where=reservation_id)
        drawing = found(self.db.row(_SQL["drawing"], id=session_id), "session", session_id)
        chain = self.chain(drawing["account_id"])
        _refuse_unless_open(chain)
        for unit, asked in by_unit(amount, 1).items():
            self._make_room(chain, unit, asked)
            chain[0].purses[unit].held += asked
        self._save(chain)
        now = self.clock.now()
        beside = self._beside(drawing, now)
        self._hold_beside([each for each in beside.values() if each is not None], amount)
        state = RESERVATION_TABLE.start
        [row] = self.db.rows(
            _SQL["insert_reservation"],
            id=reservation_id,
            account_id=chain[0].id,
            session_id=session_id,
            swarm_id=drawing["swarm_id"],
            state=RESERVATION_TABLE.next(state, ReservationEvent.SEND) if sent else state,
            model=model,
            reserved_nano_usd=amount.nano_usd,
            reserved_tokens=amount.tokens,
            opened_at=now.isoformat(),
            replica_id=replica_id,
            **beside,
            price=price,
            subscription=subscription,
        )
        self._enter(drawing["swarm_id"], reservation_id, amount, Amount())
        return rows.reservation(row)

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
        if min(booked.nano_usd, booked.tokens) < 0:
            raise RejectedError("a settlement cannot be negative", where=reservation_id)
        calls = policy.calls_booked(amount)
        settled = self._move(
            present,
            ReservationEvent.SETTLE,
            booked=booked,
            calls=calls,
            usage=usage,
            estimated=amount is None,
            provider_request_id=provider_request_id,
        )
        self._book(settled, booked, calls)
        self._enter(settled.swarm_id, settled.id, booked, settled.reserved)
        return settled

    def recover_reservations(self) -> list[Reservation]:
        return self._charge(self.orphaned_reservations())

    def charge_calls_of(self, replica_id: ReplicaId) -> list[Reservation]:
        """What a replica that is gone left open: HELD freed, SENT settled in full."""
        return self._charge([rows.reservation(row) for row in self.db.rows(_SQL["reservations_by"], by=replica_id)])

    def _charge(self, found_open: Sequence[Reservation]) -> list[Reservation]:
        """Each is looked at again, under its swarm's lock: who opened it may be settling it at this moment. A swarm that
        another process is at is left out: nobody opens the call's replica again, so a later look charges it.
        """
        ended: list[Reservation] = []
        for number, each in enumerate(found_open):
            if not self.db.hold(each.swarm_id, wait=number == 0):
                continue
            state = self.reservation(each.id).state
            if state is ReservationState.HELD:
                ended.append(self.free(each.id))
            elif state is ReservationState.SENT:
                ended.append(self.settle(each.id, None))
        return ended

    def _move(
        self,
        present: Reservation,
        event: ReservationEvent,
        *,
        booked: Amount | None = None,
        calls: int | None = None,
        usage: Usage | None = None,
        estimated: bool = False,
        provider_request_id: str | None = None,
    ) -> Reservation:
        state = RESERVATION_TABLE.next(present.state, event)
        moved = self.db.rows(
            _SQL["move_reservation"],
            id=present.id,
            state=state,
            expected=present.state,
            settled_nano_usd=booked.nano_usd if booked else None,
            settled_tokens=booked.tokens if booked else None,
            settled_calls=calls,
            input_tokens=usage.input_tokens if usage else None,
            output_tokens=usage.output_tokens if usage else None,
            cache_read_tokens=usage.cache_read_tokens if usage else None,
            cache_write_tokens=usage.cache_write_tokens if usage else None,
            estimated=estimated,
            ended_at=self.now() if state in RESERVATION_TABLE.terminal else None,
            provider_request_id=provider_request_id,
        )
        if not moved:
            raise ConflictError("the reservation moved meanwhile", where=present.id)
        return rows.reservation(moved[0])

    def _release(self, ended: Reservation) -> None:
        chain = self.chain(ended.account_id)
        for unit, reserved in by_unit(ended.reserved, 1).items():
            chain[0].purses[unit].held -= reserved
        self._ease(chain)
        self._end_beside(ended.beside, ended.reserved, Amount(), 0)

    def _book(self, ended: Reservation, booked: Amount, calls: int) -> None:
        chain = self.chain(ended.account_id)
        reserved, actual = by_unit(ended.reserved, 1), by_unit(booked, calls)
        for unit in UNITS:
            if actual[unit] > reserved[unit]:
                self._make_room_anyhow(chain, unit, actual[unit] - reserved[unit])
                chain[0].freeze()
            purse = chain[0].purses[unit]
            purse.held -= reserved[unit]
            purse.spent += actual[unit]
        self._ease(chain)
        self._end_beside(ended.beside, ended.reserved, booked, calls)

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
