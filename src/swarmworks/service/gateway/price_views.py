"""Prices as the API shows them."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Literal

from swarmworks.policy.bound import Price
from swarmworks.policy.pricing import PriceEntry, PriceList
from swarmworks.provider.prices import FoundPrice, Origin
from swarmworks.store.protocol import PriceUse
from swarmworks.wire.prices import Figures, PriceChange, PriceListView, PriceUseView, PriceView, TierFigures

_Origin = Literal["swarm.toml", "approved", "shipped", "subscription", "free"]
_ORIGINS: dict[Origin, _Origin] = {
    Origin.SETTINGS: "swarm.toml",
    Origin.APPROVED: "approved",
    Origin.SHIPPED: "shipped",
}


def view(price: Price, origin: _Origin, since: datetime | None) -> PriceView:
    return PriceView(
        origin=origin,
        source=price.source,
        since=since,
        rates=Figures(**asdict(price.rates)),
        tiers=tuple(TierFigures(above_tokens=tier.above_tokens, **asdict(tier.rates)) for tier in price.tiers),
        context_window=price.context_window,
    )


def found_view(found: FoundPrice) -> PriceView:
    return view(found.price, _ORIGINS[found.origin], found.since)


def list_view(prices: PriceList) -> PriceListView:
    decision = prices.decision
    return PriceListView(
        id=prices.id,
        source=prices.source,
        state="proposed" if decision is None else decision.verdict.value,
        entries=prices.entries,
        imported_by=prices.imported_by,
        imported_at=prices.imported_at,
        decided_by=decision.decided_by if decision else None,
        decided_at=decision.decided_at if decision else None,
        reason=decision.reason if decision else None,
    )


def change_view(entry: PriceEntry, before: FoundPrice | None) -> PriceChange:
    return PriceChange(
        label=entry.label,
        place=entry.provider or ", ".join(sorted(entry.hosts)),
        match=entry.match,
        valid_from=entry.valid_from,
        before=None if before is None else found_view(before),
        after=view(entry.price, "approved", entry.valid_from),
    )


def use_view(use: PriceUse) -> PriceUseView:
    """Where a price was from is in its source: what was in force then is no table's to say now."""
    origin: _Origin = "subscription" if use.subscription else _origin(use.price)
    return PriceUseView(
        model=use.model,
        price=None if use.price is None else view(use.price, origin, None),
        subscription=use.subscription,
        calls=use.calls,
        estimated_calls=use.estimated_calls,
        nano_usd=use.spent.nano_usd,
        tokens=use.spent.tokens,
        input_tokens=use.usage.input_tokens,
        output_tokens=use.usage.output_tokens,
        cache_read_tokens=use.usage.cache_read_tokens,
        cache_write_tokens=use.usage.cache_write_tokens,
    )


def _origin(price: Price | None) -> _Origin:
    source = price.source if price else ""
    begins: tuple[tuple[str, _Origin], ...] = (
        ("price list ", "approved"),
        ("settings, ", "swarm.toml"),
        ("free ", "free"),
    )
    for start, origin in begins:
        if source.startswith(start):
            return origin
    return "shipped"
