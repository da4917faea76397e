"""What providers publish of their models beside prices (`limits.json`, each figure with its source): how many tokens one image
can be, whether usage counts what was read from a cache, whether tokens are counted on request.

As with prices it holds for the vendor's own address only. No PDF is in it: no vendor publishes how long its pages can be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from swarmworks.policy.bound import NOTHING_PUBLISHED, MediaKind
from swarmworks.policy.pricing import fits

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class ModelLimits:
    """`per_item`: tokens. `whole_input`: its usage is the whole input, cached or not. `counts`: it counts on request."""

    per_item: Mapping[MediaKind, int] = field(default_factory=dict[MediaKind, int])
    whole_input: bool = False
    counts: bool = False


UNKNOWN = ModelLimits()


@dataclass(frozen=True, slots=True)
class ImageRow:
    match: tuple[str, ...]
    tokens: int | None


@dataclass(frozen=True, slots=True)
class VendorLimits:
    """`name` is the kind of provider as well: a vendor's other wire formats are not what these figures are of."""

    name: str
    hosts: frozenset[str]
    whole_input: bool
    counts: bool
    images: tuple[ImageRow, ...]


class LimitTable:
    def __init__(self, vendors: tuple[VendorLimits, ...]) -> None:
        self._by_host = {host: vendor for vendor in vendors for host in vendor.hosts}

    @classmethod
    def load(cls) -> LimitTable:
        text = resources.files("swarmworks.provider").joinpath("limits.json").read_text(encoding="utf-8")
        return cls(tuple(_vendor(row) for row in json.loads(text)["vendors"]))

    def find(self, kind: str, model: str, base_url: str) -> ModelLimits:
        """`kind` of provider."""
        vendor = self._by_host.get(urlsplit(base_url).hostname or "")
        if vendor is None or vendor.name != kind:
            return UNKNOWN
        row = next((row for row in vendor.images if any(fits(pattern, model) for pattern in row.match)), None)
        tokens = row.tokens if row else None
        per_item = NOTHING_PUBLISHED if tokens is None else {MediaKind.IMAGE: tokens}
        return ModelLimits(per_item, vendor.whole_input, vendor.counts)


def _vendor(row: Mapping[str, Any]) -> VendorLimits:
    images = tuple(ImageRow(tuple(entry["match"]), entry["tokens"]) for entry in row["images"])
    whole_input, counts = bool(row["counts_cached_input"]), bool(row["counts_on_request"])
    return VendorLimits(row["vendor"], frozenset(row["hosts"]), whole_input, counts, images)
