"""What models cost: the user's prices in swarm.toml, before the lists that people approved, before our own dated table
(`prices.json`, made by `scripts/import-prices`).

A vendor's price holds for the vendor's own address only. The same model name served elsewhere (a reseller, a proxy, a
server of one's own) is *unpriced* until the user says what it costs: nothing is guessed.
"""

from __future__ import annotations

import json
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from importlib import resources
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from swarmworks.base.clock import Clock, SystemClock
from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.policy import pricing
from swarmworks.policy.bound import Price, Rates, Tier
from swarmworks.policy.pricing import ApprovedPrice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swarmworks.policy.pricing import PriceEntry

_REMEMBERED = 1_000  # models

_USD_FIELDS = {
    "input_usd_per_mtok": "input",
    "output_usd_per_mtok": "output",
    "cache_read_usd_per_mtok": "cache_read",
    "cache_write_usd_per_mtok": "cache_write",
}
_WINDOW = "context_window"
_MOST_WINDOW = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PricedModel:
    id: str
    match: tuple[str, ...]  # see policy.pricing.fits
    price: Price

    def fits(self, model: str) -> bool:
        return any(pricing.fits(pattern, model) for pattern in self.match)


@dataclass(frozen=True, slots=True)
class Vendor:
    name: str
    hosts: frozenset[str]
    models: tuple[PricedModel, ...]


class Origin(StrEnum):
    SETTINGS = "swarm.toml"
    APPROVED = "approved"
    SHIPPED = "shipped"


@dataclass(frozen=True, slots=True)
class FoundPrice:
    """`match` None: named as it is, in swarm.toml. `since`: when a price of an approved list began to hold."""

    price: Price
    origin: Origin
    match: tuple[str, ...] | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Approved:
    """Replaced as a whole, since threads look while another adopts. `ranked` by provider, host and model."""

    prices: tuple[ApprovedPrice, ...]
    ranked: dict[tuple[str, str, str], tuple[ApprovedPrice, ...]]


class PriceTable:
    """`overrides` are keyed by `provider:model` or by the model's bare name. They come first because who writes them knows
    his own contract; then what a person approved here; the shipped table is a seed.
    """

    def __init__(
        self,
        vendors: tuple[Vendor, ...],
        overrides: Mapping[str, Price] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._approved = _Approved((), {})
        self.vendors = vendors
        self.overrides = dict(overrides or {})
        self._by_host = {host: vendor for vendor in vendors for host in vendor.hosts}

    @classmethod
    def load(
        cls, overrides: Mapping[str, Mapping[str, object]] | None = None, clock: Clock | None = None
    ) -> PriceTable:
        """The shipped table with the user's `[prices."name"]` tables over it; InvalidDocumentError when one is wrong."""
        table = json.loads(resources.files("swarmworks.provider").joinpath("prices.json").read_text(encoding="utf-8"))
        source = f"{table['source']}, {table['as_of']}"
        vendors = tuple(_vendor(row, source) for row in table["vendors"])
        return cls(vendors, {name: user_price(name, fields) for name, fields in (overrides or {}).items()}, clock)

    def adopt(self, approved: Sequence[ApprovedPrice]) -> None:
        """All approved prices there are, from now on."""
        self._approved = _Approved(tuple(approved), {})

    def supposing(self, entries: Sequence[PriceEntry]) -> PriceTable:
        """Another table, for which these were approved just now."""
        number = max((one.number for one in self._approved.prices), default=0) + 1
        new = [ApprovedPrice("", number, position, entry) for position, entry in enumerate(entries)]
        table = PriceTable(self.vendors, self.overrides, self._clock)
        table.adopt([*self._approved.prices, *new])
        return table

    def find(self, provider: str, model: str, base_url: str) -> Price | None:
        """What holds now. None: unpriced."""
        found = self.look(provider, model, base_url)
        return None if found is None else found.price

    def look(self, provider: str, model: str, base_url: str) -> FoundPrice | None:
        """As `find`, with where the price is from."""
        given = self.overrides.get(f"{provider}:{model}") or self.overrides.get(model)
        listed = self._listed(provider, model, base_url)
        return listed if given is None else FoundPrice(_risen(given, listed), Origin.SETTINGS)

    def _listed(self, provider: str, model: str, base_url: str) -> FoundPrice | None:
        host = urlsplit(base_url).hostname or ""
        chosen = pricing.in_force(self._candidates(provider, host, model), self._clock.now())
        if chosen is not None:
            entry = chosen.entry
            return FoundPrice(entry.price, Origin.APPROVED, entry.match, entry.valid_from)
        vendor = self._by_host.get(host)
        rows = vendor.models if vendor else ()
        row = next((row for row in rows if row.fits(model)), None)
        return None if row is None else FoundPrice(row.price, Origin.SHIPPED, row.match)

    def _candidates(self, provider: str, host: str, model: str) -> tuple[ApprovedPrice, ...]:
        """Looked for once for each model: a list may have thousands of patterns."""
        approved, ranked = self._approved.prices, self._approved.ranked
        if not approved:
            return ()
        key = (provider, host, model)
        found = ranked.get(key)
        if found is None:
            found = pricing.ranked(approved, provider, host, model)
            if len(ranked) >= _REMEMBERED:
                ranked.clear()
            ranked[key] = found
        return found


def user_price(name: str, fields: Mapping[str, object]) -> Price:
    """A price from US dollars for a million tokens, as people write it: numbers or decimal strings, never negative; and the
    model's context window, where it is another than a list says.
    """
    document = f'prices."{name}"'
    fields = {key: value for key, value in fields.items() if value is not None}
    known = (*_USD_FIELDS, _WINDOW)
    problems = [Problem(0, f"{key} is not a price", f"use {', '.join(known)}") for key in fields if key not in known]
    nano: dict[str, int] = {}
    for key, rate in _USD_FIELDS.items():
        if key not in fields:
            continue
        value = _nano_per_million(fields[key])
        if value is None:
            problems.append(Problem(0, f"{key} must be a number of dollars, not negative", "write it like 3.75"))
        else:
            nano[rate] = value
    problems += [
        Problem(0, f"{key} is missing", "give it, 0 when it is free")
        for key in ("input_usd_per_mtok", "output_usd_per_mtok")
        if key not in fields
    ]
    window = fields.get(_WINDOW)
    if window is not None and not _is_window(window):
        problems.append(Problem(0, f"{_WINDOW} must be a whole number of tokens", "write it like 262144"))
    if problems:
        raise InvalidDocumentError(document, problems)
    return Price(Rates.of(**nano), context_window=cast("int | None", window), source=f"settings, {document}")


def _is_window(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_WINDOW


def _risen(given: Price, listed: FoundPrice | None) -> Price:
    """`swarm.toml` knows no tiers: they are the list's, their rates as much dearer as they are there. So is the window, where
    `swarm.toml` names none.
    """
    if listed is None:
        return given
    base, tiers = listed.price.rates, listed.price.tiers
    risen = tuple(Tier(tier.above_tokens, _times(given.rates, tier.rates, base)) for tier in tiers)
    return replace(given, tiers=risen, context_window=given.context_window or listed.price.context_window)


def _times(given: Rates, dearer: Rates, base: Rates) -> Rates:
    def of(rate: int, above: int, below: int) -> int:
        return rate if below == 0 else max(rate, -(-rate * above // below))

    return Rates(*map(of, astuple(given), astuple(dearer), astuple(base)))


def _nano_per_million(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        dollars = Decimal(str(value))
    except ArithmeticError:
        return None
    if not dollars.is_finite() or dollars < 0:
        return None
    return int((dollars * 1_000_000_000).to_integral_value(ROUND_CEILING))


def _vendor(row: Mapping[str, Any], source: str) -> Vendor:
    models = tuple(PricedModel(entry["id"], tuple(entry["match"]), _price(entry, source)) for entry in row["models"])
    return Vendor(row["vendor"], frozenset(row["hosts"]), models)


def _price(entry: Mapping[str, Any], source: str) -> Price:
    tiers = tuple(
        Tier(tier["above_tokens"], Rates.of(**{key: value for key, value in tier.items() if key != "above_tokens"}))
        for tier in entry.get("tiers", ())
    )
    return Price(Rates.of(**entry["rates"]), tiers, entry["context_window"], source)
