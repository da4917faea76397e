"""The account tree while a transaction works on it: limits carved out of parents, reclaimed, given back, overrun.

Accounts of projects and swarms with a limit of their own have it whole from the start, as those beside the tree (see
`beside.py`); all others get theirs carved out of their parent as they need it, never above their cap. Whoever cannot be helped is refused only after everything that lies
unused below the full account was reclaimed, so that a reservation fails exactly when

    spent + held of the subtree + asked > limit

for one of the accounts above it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from swarmworks.domain.budget import BESIDE, NANO, AccountKind, AccountState
from swarmworks.policy import ledger as policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.base.ids import AccountId
    from swarmworks.domain.budget import Amount, Limit
    from swarmworks.store.connection import Row

WHOLE = frozenset({AccountKind.PROJECT, AccountKind.SWARM, *BESIDE})
"""Kinds that have their whole limit from the start."""
UNITS = ("nano_usd", "tokens", "calls")


_COLUMNS = {
    unit: tuple(f"{name}_{unit}" for name in ("limit", "cap", "spent", "held", "allocated", "overrun"))
    for unit in UNITS
}


class FullError(Exception):
    """Inside this package only: the account at this place of the chain has no room for what was asked."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


@dataclass(slots=True)
class Purse:
    """One dimension of an account. `fixed`: it has its whole limit from the start."""

    limit: int | None
    cap: int | None
    spent: int
    held: int
    allocated: int
    overrun: int
    fixed: bool

    @property
    def used(self) -> int:
        return self.spent + self.held + self.allocated

    @property
    def room(self) -> int | None:
        return policy.room(self.limit, self.spent, self.held, self.allocated)

    @property
    def unused(self) -> int:
        """What it could hand back."""
        return 0 if self.fixed else max(0, self.room or 0)


@dataclass(slots=True)
class Node:
    id: AccountId
    parent_id: AccountId | None
    kind: AccountKind
    subject: str
    state: AccountState
    closing: bool
    version: int
    purses: dict[str, Purse]
    stored: dict[str, object] = field(default_factory=dict[str, object])  # the row as the database has it

    def values(self) -> dict[str, object]:
        """The row, for the UPDATE."""
        values: dict[str, object] = {"id": self.id, "state": self.state, "closing": self.closing}
        for unit, (limit, cap, spent, held, allocated, overrun) in _COLUMNS.items():
            purse = self.purses[unit]
            values[limit] = purse.limit
            values[cap] = purse.cap
            values[spent] = purse.spent
            values[held] = purse.held
            values[allocated] = purse.allocated
            values[overrun] = purse.overrun
        return values

    @property
    def is_bounded(self) -> bool:
        return any(purse.cap is not None for purse in self.purses.values())

    def freeze(self) -> None:
        self.state = AccountState.FROZEN


def node(row: Row) -> Node:
    kind = AccountKind(row["kind"])
    whole = kind in WHOLE
    purses: dict[str, Purse] = {}
    for unit, (limit, cap, spent, held, allocated, overrun) in _COLUMNS.items():
        bound = row[cap]
        fixed = whole and bound is not None
        purses[unit] = Purse(row[limit], bound, row[spent], row[held], row[allocated], row[overrun], fixed)
    found = Node(
        id=row["id"],
        parent_id=row["parent_id"],
        kind=kind,
        subject=row["subject"],
        state=AccountState(row["state"]),
        closing=bool(row["closing"]),
        version=row["version"],
        purses=purses,
    )
    found.stored = found.values()
    return found


def by_unit(amount: Amount, calls: int) -> dict[str, int]:
    return {"nano_usd": amount.nano_usd, "tokens": amount.tokens, "calls": calls}


def bounds(limit: Limit) -> dict[str, int | None]:
    return {"nano_usd": limit.nano_usd, "tokens": limit.tokens, "calls": limit.calls}


def carve(chain: Sequence[Purse], need: int, at: int = 0) -> None:
    """Raise the limit of `chain[at]` by at least `need`, out of the purses after it. FullError, and nothing changed,
    when it cannot be had.
    """
    purse = chain[at]
    if purse.limit is None:
        return
    if purse.fixed or at + 1 == len(chain):
        raise FullError(at)
    cap_room = None if purse.cap is None else purse.cap - purse.limit
    if cap_room is not None and need > cap_room:
        raise FullError(at)
    parent = chain[at + 1]
    if parent.room is not None and parent.room < need:
        carve(chain, need - parent.room, at + 1)
    chunk = policy.top_up(need, parent.room, cap_room)
    parent.allocated += chunk
    purse.limit += chunk


def force(chain: Sequence[Node], unit: str, need: int) -> None:
    """Give `chain[0]` `need` more although somebody above is full: money that was spent is spent. Who ends up above its
    bound is frozen. An overrun counts as allocated in the account above, so that nobody spends that money again.
    """
    for child, parent in pairwise(chain):
        purse, above = child.purses[unit], parent.purses[unit]
        if purse.limit is None:
            return
        if purse.fixed:
            purse.overrun += need
            child.freeze()
        else:
            purse.limit += need
            if purse.cap is not None and purse.limit > purse.cap:
                child.freeze()
        spare = above.room
        above.allocated += need
        if spare is None or spare >= need:
            return
        need -= max(0, spare)
    root = chain[-1]
    if root.purses[unit].limit is not None:
        root.purses[unit].overrun += need
        root.freeze()


def shrink(chain: Sequence[Node]) -> None:
    """An overrun is never more than what is used above the limit now: what was settled meanwhile makes up for it."""
    for place, each in enumerate(chain):
        for unit, purse in each.purses.items():
            drop = purse.overrun - max(0, purse.used - (purse.limit or 0))
            if drop > 0:
                purse.overrun -= drop
                if place + 1 < len(chain):
                    chain[place + 1].purses[unit].allocated -= drop


def reclaim(subtree: Sequence[Node], unit: str) -> list[Node]:
    """What lies unused below the last of `subtree` (deepest first) goes back up. The nodes that changed."""
    nodes = {each.id: each for each in subtree}
    changed: dict[AccountId, Node] = {}
    for child in subtree[:-1]:
        unused = child.purses[unit].unused
        parent = nodes.get(child.parent_id) if child.parent_id else None
        if unused and parent:
            child.purses[unit].limit = child.purses[unit].used
            parent.purses[unit].allocated -= unused
            changed |= {child.id: child, parent.id: parent}
    return list(changed.values())


def give_back(chain: Sequence[Node]) -> None:
    """What the first no longer needs flows up, as far as each parent wants it."""
    for child, parent in pairwise(chain):
        for unit in UNITS:
            purse, above = child.purses[unit], parent.purses[unit]
            back = policy.give_back(purse.unused, above.room)
            if back and purse.limit is not None:
                purse.limit -= back
                above.allocated -= back


def fold(chain: Sequence[Node]) -> None:
    """Close `chain[0]` into its parent: what it spent is now the parent's own, the rest of its limit is free again."""
    child, parent = chain[0], chain[1]
    for unit in UNITS:
        purse, above = child.purses[unit], parent.purses[unit]
        above.allocated -= (purse.limit or 0) + purse.overrun
        above.spent += purse.spent
        purse.overrun = 0
        if purse.limit is not None:
            purse.limit = purse.spent
    child.state, child.closing = AccountState.CLOSED, False


def bind(subtree: Sequence[Node], unit: str) -> None:
    """An unbounded account becomes bounded: everything below it (deepest first, it comes last) gets the limit it uses."""
    nodes = {each.id: each for each in subtree}
    for child in subtree[:-1]:
        purse = child.purses[unit]
        parent = nodes.get(child.parent_id) if child.parent_id else None
        if purse.limit is None and parent:
            purse.limit = purse.used
            parent.purses[unit].allocated += purse.limit


def worded(unit: str, value: int | None) -> str:
    """An amount for a person: `$1.50`, `1,200 tokens`, `3 calls`, `no limit`."""
    if value is None:
        return "no limit"
    if unit in {"tokens", "calls"}:
        return f"{value:,} {unit if value != 1 else unit.removesuffix('s')}"
    dollars, nano = divmod(abs(value), NANO)
    cents = f"{nano:09d}".rstrip("0").ljust(2, "0")
    return f"{'-' if value < 0 else ''}${dollars:,}.{cents}"
