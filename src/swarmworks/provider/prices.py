"""What models cost: our own dated table (`prices.json`, made by `scripts/import-prices`) and the user's prices over it.

A vendor's price holds for the vendor's own address only. The same model name served elsewhere (a reseller, a proxy, a
server of one's own) is *unpriced* until the user says what it costs: nothing is guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.policy.bound import Price, Rates, Tier

if TYPE_CHECKING:
    from collections.abc import Mapping

_USD_FIELDS = {
    "input_usd_per_mtok": "input",
    "output_usd_per_mtok": "output",
    "cache_read_usd_per_mtok": "cache_read",
    "cache_write_usd_per_mtok": "cache_write",
}


@dataclass(frozen=True, slots=True)
class PricedModel:
    id: str
    match: tuple[
        str, ...
    ]  # each a sign and a pattern: `=` equals, `^` begins with, `$` ends with, `*` contains, `~` regex
    price: Price

    def fits(self, model: str) -> bool:
        return any(_fits(pattern[0], pattern[1:], model) for pattern in self.match)


@dataclass(frozen=True, slots=True)
class Vendor:
    name: str
    hosts: frozenset[str]
    models: tuple[PricedModel, ...]


class PriceTable:
    """`overrides` are keyed by `provider:model` or by the model's bare name."""

    def __init__(self, vendors: tuple[Vendor, ...], overrides: Mapping[str, Price] | None = None) -> None:
        self.vendors = vendors
        self.overrides = dict(overrides or {})
        self._by_host = {host: vendor for vendor in vendors for host in vendor.hosts}

    @classmethod
    def load(cls, overrides: Mapping[str, Mapping[str, object]] | None = None) -> PriceTable:
        """The shipped table with the user's `[prices."name"]` tables over it; InvalidDocumentError when one is wrong."""
        table = json.loads(resources.files("swarmworks.provider").joinpath("prices.json").read_text(encoding="utf-8"))
        source = f"{table['source']}, {table['as_of']}"
        vendors = tuple(_vendor(row, source) for row in table["vendors"])
        return cls(vendors, {name: user_price(name, fields) for name, fields in (overrides or {}).items()})

    def find(self, provider: str, model: str, base_url: str) -> Price | None:
        """None: unpriced."""
        given = self.overrides.get(f"{provider}:{model}") or self.overrides.get(model)
        if given is not None:
            return given
        vendor = self._by_host.get(urlsplit(base_url).hostname or "")
        rows = vendor.models if vendor else ()
        return next((row.price for row in rows if row.fits(model)), None)


def user_price(name: str, fields: Mapping[str, object]) -> Price:
    """A price from US dollars for a million tokens, as people write it: numbers or decimal strings, never negative."""
    document = f'prices."{name}"'
    fields = {key: value for key, value in fields.items() if value is not None}
    problems = [
        Problem(0, f"{key} is not a price", f"use {', '.join(_USD_FIELDS)}") for key in fields if key not in _USD_FIELDS
    ]
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
    if problems:
        raise InvalidDocumentError(document, problems)
    return Price(Rates.of(**nano), source=f"settings, {document}")


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


def _fits(sign: str, pattern: str, model: str) -> bool:
    match sign:
        case "=":
            return model == pattern
        case "^":
            return model.startswith(pattern)
        case "$":
            return model.endswith(pattern)
        case "*":
            return pattern in model
        case _:
            return re.search(pattern, model) is not None
