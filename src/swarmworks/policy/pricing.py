"""Which of the approved prices holds for a model at a moment, and how a price is written down so that a bill can be explained.

Prices are dated and never change: a new price is a new row. Among the rows that fit, the one with the latest `valid_from`
that has come holds; of several with the same, the one approved last; within one list, the first.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from swarmworks.policy.bound import Price, Rates, Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RATES = ("input", "output", "cache_read", "cache_write", "cache_write_1h")


class PriceVerdict(StrEnum):
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """What models of one name, or of names alike, cost at one place: at a provider as it is called in swarm.toml, or at the
    `hosts` of a vendor; one of the two is given. `match` holds a sign and a pattern each, see `fits`.
    """

    label: str
    match: tuple[str, ...]
    valid_from: datetime
    price: Price
    provider: str | None = None
    hosts: frozenset[str] = frozenset()

    def covers(self, provider: str, host: str, model: str) -> bool:
        here = provider == self.provider if self.provider is not None else host in self.hosts
        return here and any(fits(pattern, model) for pattern in self.match)


@dataclass(frozen=True, slots=True)
class PriceDecision:
    verdict: PriceVerdict
    decided_by: str
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class PriceList:
    """One import. Proposed until a person decided; only approved ones are used. `entries` says how many it has."""

    id: str
    source: str
    imported_by: str
    imported_at: datetime
    entries: int
    decision: PriceDecision | None


@dataclass(frozen=True, slots=True)
class ApprovedPrice:
    """`number` counts approvals; `position` is the entry's in its list."""

    list_id: str
    number: int
    position: int
    entry: PriceEntry


def fits(pattern: str, model: str) -> bool:
    """`=` equals, `^` begins with, `$` ends with, `*` contains, `~` regular expression."""
    sign, text = pattern[:1], pattern[1:]
    match sign:
        case "=":
            return model == text
        case "^":
            return model.startswith(text)
        case "$":
            return model.endswith(text)
        case "*":
            return text in model
        case _:
            return re.search(text, model) is not None


def ranked(approved: Iterable[ApprovedPrice], provider: str, host: str, model: str) -> tuple[ApprovedPrice, ...]:
    """Those that fit, the one that holds first: of them the first whose day has come is the price."""
    covering = [each for each in approved if each.entry.covers(provider, host, model)]
    covering.sort(key=lambda each: (each.entry.valid_from, each.number, -each.position), reverse=True)
    return tuple(covering)


def in_force(candidates: Iterable[ApprovedPrice], at: datetime) -> ApprovedPrice | None:
    return next((each for each in candidates if each.entry.valid_from <= at), None)


def written(price: Price) -> str:
    """Everything a bill is computed from, as canonical JSON."""
    tiers = [{"above_tokens": tier.above_tokens, **_rates(tier.rates)} for tier in price.tiers]
    document = {"source": price.source, "rates": _rates(price.rates), "context_window": price.context_window}
    return json.dumps({**document, "tiers": tiers}, sort_keys=True, separators=(",", ":"))


def read(document: str) -> Price:
    """The price that `written` wrote."""
    found: Mapping[str, Any] = json.loads(document)
    tiers = tuple(Tier(tier.pop("above_tokens"), Rates(**tier)) for tier in found["tiers"])
    return Price(Rates(**found["rates"]), tiers, found["context_window"], found["source"])


def digest(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()


def same_figures(one: Price, other: Price) -> bool:
    """Whatever their sources say."""
    return (one.rates, one.tiers, one.context_window) == (other.rates, other.tiers, other.context_window)


def _rates(rates: Rates) -> dict[str, int]:
    return {name: getattr(rates, name) for name in RATES}
