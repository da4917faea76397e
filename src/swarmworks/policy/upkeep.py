"""When the project's hub is tidied up: often enough that it stays quick, never while that would keep anybody waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

PACK_AT = 6_700
"""Loose objects, as git itself counts them before it packs."""

PACK_AT_ALL_COSTS = 50_000
MOST_PACKS = 50
MOST_PACKS_AT_ALL_COSTS = 500
"""git looks for an object in one pack after the other."""

FULL_EVERY = timedelta(days=1)
RETENTION = timedelta(days=14)
"""How long what nothing refers to any more is kept, and the references of a swarm that has ended."""


class Upkeep(Enum):
    NOTHING = "nothing"
    PACK = "pack"  # loose objects become a pack; nothing is given up
    JOIN = "join"  # many packs become one; nothing is given up
    FULL = "full"  # one pack, references of long ended swarms dropped, what nothing refers to for long given up


@dataclass(frozen=True, slots=True)
class HubFacts:
    """`busy`: work is under way. `since`: how long ago the last full upkeep was. `over`: references that can be dropped."""

    loose: int
    packs: int
    busy: bool
    since: timedelta
    over: int = 0


def due(facts: HubFacts) -> Upkeep:
    if facts.busy:
        if facts.loose >= PACK_AT_ALL_COSTS:
            return Upkeep.PACK
        return Upkeep.JOIN if facts.packs > MOST_PACKS_AT_ALL_COSTS else Upkeep.NOTHING
    if facts.packs > MOST_PACKS or (facts.since >= FULL_EVERY and (facts.over or facts.loose + facts.packs > 1)):
        return Upkeep.FULL
    return Upkeep.PACK if facts.loose >= PACK_AT else Upkeep.NOTHING
