"""Accounts beside the tree: a project's days and months, a swarm's agents. A reservation is held on each of them, whole, in
the transaction that makes it, and settled there whenever it ends: in the window in which it was made.

They are changed by increments on the condition that these fit, so that nobody has to read them before: one statement for all
of a reservation's, whatever number there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import AccountId
from swarmworks.domain.budget import AccountKind, AccountState, Amount, Limit, Period
from swarmworks.policy import windows
from swarmworks.store import accounts, rows
from swarmworks.store.account_writes import AccountWrites
from swarmworks.store.accounts import bounds, by_unit
from swarmworks.store.connection import load
from swarmworks.store.scope import found
from swarmworks.store.writer import RunAgainError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from swarmworks.store.connection import Row

_SQL = load("ledger")
_NAMES = ("day_account", "month_account", "agent_account")
_ATTACH = {Period.DAY: _SQL["attach_to_day"], Period.MONTH: _SQL["attach_to_month"]}


class BesideWrites(AccountWrites):
    def set_windows(self, project: str, zone: str, limits: Mapping[Period, Limit]) -> None:
        for period in Period:
            limit = limits.get(period, Limit())
            self.db.change(_SQL["put_window"], project=project, period=period, zone=zone)
            row = found(self.db.row(_SQL["window"], project=project, period=period), "window", period)
            if rows.window_limit(row) == limit and row["zone"] == zone:
                continue
            account_id = None if limit.bounds_nothing else row["account_id"]
            values = {f"limit_{unit}": bound for unit, bound in bounds(limit).items()}
            self.db.change(
                _SQL["save_window"],
                project=project,
                period=period,
                zone=zone,
                newest=row["newest"],
                account_id=account_id,
                **values,
            )
            if account_id is not None:
                self._bound_beside(account_id, limit)

    def _beside(self, drawing: Row, now: datetime) -> dict[str, AccountId | None]:
        """The accounts a reservation made now is held on, by the reservation's columns."""
        return {
            "day_account": self._window_account(drawing, Period.DAY, now),
            "month_account": self._window_account(drawing, Period.MONTH, now),
            "agent_account": self._agent_account(drawing),
        }

    def _agent_account(self, drawing: Row) -> AccountId | None:
        if drawing["agent_limit"] is None or drawing["agent_account"] is not None:
            return drawing["agent_account"]
        subject = f"{drawing['swarm_id']}/{drawing['agent_id']}"
        return self.open_account(None, AccountKind.AGENT, subject, rows.limit(drawing["agent_limit"]))

    def _window_account(self, drawing: Row, period: Period, now: datetime) -> AccountId | None:
        zone = drawing[f"{period}_zone"]
        if zone is None:
            return None
        newest, account_id = drawing[f"{period}_newest"], drawing[f"{period}_account"]
        if account_id is not None and windows.present(period, now, zone, newest).key == newest:
            return account_id
        return self._begin_window(drawing["project"], period, now)

    def _begin_window(self, project: str, period: Period, now: datetime) -> AccountId:
        """Under the lock of the row that says which window is the newest: another process may have begun it."""
        row = found(self.db.row(_SQL["window"], project=project, period=period), "window", period)
        span = windows.present(period, now, row["zone"], row["newest"])
        if row["account_id"] is not None and span.key == row["newest"]:
            return row["account_id"]
        limit = rows.window_limit(row)
        account_id = self.open_account(None, AccountKind(period), f"{project}/{span.key}", limit)
        self._attach(project, period, account_id, span)
        self._bound_beside(account_id, limit)
        begun = {"project": project, "period": period, "zone": row["zone"], "newest": span.key}
        values = {f"limit_{unit}": bound for unit, bound in bounds(limit).items()}
        self.db.change(_SQL["save_window"], **begun, account_id=account_id, **values)
        return account_id

    def _attach(self, project: str, period: Period, account_id: AccountId, span: windows.Span) -> None:
        """Calls of this window from before it had a limit count in it. Nobody settles one of them meanwhile."""
        starts_at = span.starts_at.isoformat()
        swarms = [row["id"] for row in self.db.rows(_SQL["swarms_since"], project=project, since=starts_at)]
        if not swarms:
            return
        for swarm_id in swarms:
            self.db.hold(swarm_id, wait=True)
        attached = self.db.rows(_ATTACH[period], account_id=account_id, since=starts_at, swarms=swarms)
        if not attached:
            return
        node = self._nodes([account_id])[0]
        for unit, purse in node.purses.items():
            for row in attached:
                if row["settled_calls"] is not None:
                    purse.spent += row[f"settled_{unit}"]
                else:
                    purse.held += 1 if unit == "calls" else row[f"reserved_{unit}"]
            purse.limit = None if purse.cap is None else max(purse.cap, purse.used)
        self._save([node])

    def _bound_beside(self, account_id: AccountId, limit: Limit) -> None:
        """A limit below what is used already lets nothing more through: the `limit` of the row is what the CHECK holds, its
        `cap` is what a reservation has to fit.
        """
        node = self._nodes([account_id])[0]
        for unit, bound in bounds(limit).items():
            purse = node.purses[unit]
            purse.cap, purse.overrun = bound, 0
            purse.limit = None if bound is None else max(bound, purse.used)
        node.state = AccountState.OPEN
        self._save([node])

    def _hold_beside(self, beside: Sequence[AccountId], amount: Amount) -> None:
        if not beside:
            return
        if self.db.change(_SQL["hold_beside"], **_three(beside), **by_unit(amount, 1)) == len(beside):
            return
        for node in self._nodes(beside):
            if node.state is not AccountState.OPEN:
                raise ConflictError(
                    f"the account of {node.kind} {node.subject} is {node.state}",
                    where=f"{node.kind} {node.subject}",
                    mend="look at what was booked above its reservation, then raise the limit",
                )
            for unit, asked in by_unit(amount, 1).items():
                purse = node.purses[unit]
                if purse.cap is not None and purse.used + asked > purse.cap:
                    raise self._exceeded(node, unit, asked)
        raise RunAgainError("an account beside the tree moved meanwhile")

    def _end_beside(self, beside: Sequence[AccountId], reserved: Amount, booked: Amount, calls: int) -> None:
        """What was held there is booked, or free again with nothing booked."""
        if not beside:
            return
        if booked.nano_usd > reserved.nano_usd or booked.tokens > reserved.tokens:
            self._book_anyhow(beside, reserved, booked, calls)
            return
        held = {f"held_{unit}": each for unit, each in by_unit(reserved, 1).items()}
        spent = {f"spent_{unit}": each for unit, each in by_unit(booked, calls).items()}
        self.db.change(_SQL["end_beside"], **_three(beside), **held, **spent)

    def _book_anyhow(self, beside: Sequence[AccountId], reserved: Amount, booked: Amount, calls: int) -> None:
        """A settlement above its reservation is booked whatever the limits say; who ends up above his is frozen."""
        nodes = self._nodes(beside)
        for node in nodes:
            for unit, before in by_unit(reserved, 1).items():
                purse = node.purses[unit]
                purse.held -= before
                purse.spent += by_unit(booked, calls)[unit]
                above = 0 if purse.limit is None else purse.used - purse.limit
                if above > purse.overrun:
                    purse.overrun = above
                    node.freeze()
        self._save(nodes)

    def _nodes(self, ids: Sequence[AccountId]) -> list[accounts.Node]:
        return [accounts.node(row) for row in self.db.rows(_SQL["accounts_by_id"], ids=ids)]


def _three(beside: Sequence[AccountId]) -> dict[str, AccountId | None]:
    """As many as there can be, so that the statement is always the same."""
    return {name: beside[place] if place < len(beside) else None for place, name in enumerate(_NAMES)}
