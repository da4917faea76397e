"""What a call to a provider is priced by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.policy.bound import FREE, Price, Rates

if TYPE_CHECKING:
    from swarmworks.provider.prices import PriceTable
    from swarmworks.service.gateway.record import Upstream


def price_at(table: PriceTable, upstream: Upstream, model: str) -> Price | None:
    """None: unpriced. Whatever a table says of the model, a subscription's calls cost nothing each."""
    if upstream.subscription is not None:
        return Price(Rates(0, 0, 0, 0, 0), source=f"subscription at {upstream.name}: limited by throughput")
    price = table.find(upstream.name, model, upstream.base_url)
    return FREE if price is None and upstream.kind == "rehearsal" else price
