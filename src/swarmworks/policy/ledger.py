"""How money moves between an account and its parent. Pure integers of one dimension (nano-dollars or tokens).

A child's limit is carved out of its parent. Carving a chunk instead of the exact need spares the parent's row a write per
call; a chunk is taken, and kept, only while it is a small share of what the parent still has free. What lies unused in
siblings is reclaimed by the store before it refuses anybody, so a chunk never starves a small budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.domain.budget import Amount, Limit

CHUNK = 8  # calls of the present size that one top-up pays for
PLENTY = 1024  # how many times the need the parent must have free before a chunk is taken
SHARE = 64  # unused limit is kept while it is at most one in so many of the parent's free room

UNBOUNDED = 2**31
"""How many sessions an unbounded budget pays for."""


def room(limit: int | None, spent: int, held: int, allocated: int) -> int | None:
    """What an account may still hold or hand down; None when it is not bounded."""
    return None if limit is None else limit - spent - held - allocated


def top_up(need: int, parent_room: int | None, cap_room: int | None) -> int:
    """How much to carve for a child short of `need`. At least `need`, which the caller made sure fits both rooms."""
    plenty = parent_room is None or parent_room >= PLENTY * need
    wanted = CHUNK * need if plenty else need
    return wanted if cap_room is None else max(need, min(wanted, cap_room))


def give_back(unused: int, parent_room: int | None) -> int:
    """How much of a child's unused limit flows back to its parent: all of it, or nothing while the parent has plenty."""
    if parent_room is None or unused * SHARE <= parent_room:
        return 0
    return unused


def calls_booked(amount: Amount | None) -> int:
    """A request counts unless it was settled at nothing: refused before it was billed, or never sent. `amount` None: charged
    in full, whatever that was.
    """
    return 0 if amount is not None and amount.nano_usd == 0 and amount.tokens == 0 else 1


def affordable(headroom: Limit, least: Amount) -> int:
    """How many times `least` fits into `headroom`."""
    pairs = ((headroom.nano_usd, least.nano_usd), (headroom.tokens, least.tokens), (headroom.calls, 1))
    fits = [max(0, have) // each for have, each in pairs if have is not None and each > 0]
    return min(fits, default=UNBOUNDED)


def used_percent(limit: Limit, spent: Amount, calls: int = 0) -> int:
    """Of the dimension that is nearest to its limit, rounded down; 0 where nothing is limited. A limit of 0 is used up."""
    pairs = ((limit.nano_usd, spent.nano_usd), (limit.tokens, spent.tokens), (limit.calls, calls))
    return max((used * 100 // most if most > 0 else 100 for most, used in pairs if most is not None), default=0)
