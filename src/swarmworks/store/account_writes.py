"""Accounts opened, closed and bounded; room made in them. Rows are read and written within one transaction, in the order of
the tree from the leaf up; the CHECKs of the table hold whatever happens here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import BudgetExceededError, ConflictError
from swarmworks.base.ids import AccountId
from swarmworks.domain.budget import AccountKind, AccountState
from swarmworks.policy.purse import refusal
from swarmworks.store import accounts
from swarmworks.store.accounts import WHOLE, FullError, Node, bounds, by_unit, worded
from swarmworks.store.connection import load
from swarmworks.store.ledger_reads import LedgerReads
from swarmworks.store.writer import RunAgainError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swarmworks.domain.budget import Account, Limit

_SQL = load("ledger")
_MENDS = {
    AccountKind.DAY: "wait until the day is over, or raise day_usd, day_tokens or day_calls in [budget] of swarm.toml",
    AccountKind.MONTH: "wait until the month is over, or raise month_usd, month_tokens or month_calls in [budget]",
}


class AccountWrites(LedgerReads):
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
            whole = bound if kind in WHOLE and bound is not None else 0
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

    def put_project_account(self, project: str) -> None:
        """Without a conflict when another process makes it at the same time."""
        self.db.change(_SQL["put_project_account"], id=self.ids.new("acc"), project=project)

    def open_accounts(self, kind: AccountKind, parents: Mapping[str, AccountId], cap: Limit) -> dict[str, AccountId]:
        """Those of many tasks or sessions at once, by subject; made under their parents where there are none yet. They get
        nothing of what is above them until a call needs it.
        """
        there = self.db.rows(_SQL["accounts_of"], kind=kind, subjects=sorted(parents))
        opened = {str(row["subject"]): AccountId(row["id"]) for row in there}
        above = {row["id"]: row for row in self.db.rows(_SQL["bounds"], ids=sorted(set(parents.values())))}
        new: list[dict[str, object]] = []
        for subject, parent_id in parents.items():
            if subject in opened:
                continue
            opened[subject] = AccountId(self.ids.new("acc"))
            values: dict[str, object] = {"id": opened[subject], "parent_id": parent_id, "kind": kind}
            values |= {"subject": subject, "state": AccountState.OPEN}
            for unit, bound in bounds(cap).items():
                bounded = bound is not None or above[parent_id][f"limit_{unit}"] is not None
                values |= {f"cap_{unit}": bound, f"limit_{unit}": 0 if bounded else None}
            new.append(values)
        self.db.post(_SQL["insert_account"], new)
        return opened

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
        spent, held = by_unit(totals.spent, totals.calls)[unit], by_unit(totals.held, totals.held_calls)[unit]
        purse = full.purses[unit]
        limit = purse.limit if purse.cap is None else purse.cap
        return BudgetExceededError(
            f"{refusal(full.kind, full.subject)}: asked {worded(unit, asked)}, limit {worded(unit, limit)}, "
            f"spent {worded(unit, spent)}, held {worded(unit, held)}",
            where=f"{full.kind} {full.subject}",
            mend=_MENDS.get(full.kind, "raise its limit, or wait until a call that is under way settles"),
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
        whole = node.kind in WHOLE
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
                moved = RunAgainError(f"account {node.id} moved meanwhile")
                self.db.post(_SQL["save_account"], [{**values, "version": node.version}], lambda moved=moved: moved)
                node.stored = values
                node.version += 1

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
