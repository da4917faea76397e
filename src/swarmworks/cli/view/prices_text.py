"""Prices as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from swarmworks.cli.view.amounts import counted, dollars, plain
from swarmworks.wire.prices import Figures, ImportedPrices, PriceChange, PriceListView, Prices, PricesUsed, PriceView

NANO = 1_000_000_000
MOST_LISTS = 10
MOST_CHANGES = 40


def prices_lines(prices: Prices) -> Iterator[str]:
    for model in prices.models:
        if model.price is None:
            yield f"{plain(model.model)}  UNPRICED: refused under a money budget"
            continue
        yield f"{plain(model.model)}  {_figures(model.price)}"
        since = f", since {model.price.since:%Y-%m-%d}" if model.price.since else ""
        yield f"  {model.price.origin}: {plain(model.price.source)}{since}"
    waiting = [one for one in prices.lists if one.state == "proposed"]
    if waiting:
        yield ""
        yield "waiting for your approval:"
    for one in waiting[:MOST_LISTS]:
        yield f"  {list_line(one)}"


def list_line(one: PriceListView) -> str:
    by = f", imported by {plain(one.imported_by.removeprefix('person:'))} on {one.imported_at:%Y-%m-%d %H:%M} UTC"
    return f"{one.id}  {counted(one.entries, 'price')}: {plain(one.source)}{by}"


def imported_lines(done: ImportedPrices) -> Iterator[str]:
    yield f"proposed as {list_line(done.prices)}"
    if done.same:
        yield f"{counted(done.same, 'price')} of the file hold already and are not in it"
    for change in done.changes[:MOST_CHANGES]:
        yield from _change_lines(change)
    if done.prices.entries > MOST_CHANGES:
        yield f"and {done.prices.entries - MOST_CHANGES:,} more: --json shows them"
    yield ""
    if done.models:
        yield "of the configured models it would change:"
        for model in done.models:
            yield f"  {plain(model.model)}  {_figures(model.price) if model.price else 'UNPRICED'}"
    else:
        yield "it changes what no configured model costs today"
    yield f'nothing is priced by it until: swarm prices approve {done.prices.id} --reason "..."'


def used_lines(used: PricesUsed) -> Iterator[str]:
    if not used.uses:
        yield f"{used.swarm_id} has made no model call yet"
    for use in used.uses:
        amount = "" if use.subscription else f"{dollars(use.nano_usd)} for "
        estimated = f", {use.estimated_calls:,} of them charged in full" if use.estimated_calls else ""
        yield f"{plain(use.model)}  {amount}{counted(use.calls, 'call')}{estimated}, {use.tokens:,} tokens"
        cached = f"{use.cache_read_tokens:,} read from and {use.cache_write_tokens:,} written to the cache"
        yield f"  {use.input_tokens:,} tokens in ({cached}), {use.output_tokens:,} out"
        if use.price is None:
            yield "  unpriced"
        else:
            yield f"  {_figures(use.price)}"
            yield f"  {use.price.origin}: {plain(use.price.source)}"


def _change_lines(change: PriceChange) -> Iterator[str]:
    yield f"  {plain(change.label)} at {plain(change.place)}, from {change.valid_from:%Y-%m-%d}"
    before = "unpriced" if change.before is None else _figures(change.before)
    stays = "  (swarm.toml's price goes before it)" if change.before and change.before.origin == "swarm.toml" else ""
    yield f"    now  {before}{stays}"
    yield f"    then {_figures(change.after)}"


def _figures(price: PriceView) -> str:
    """Dollars for a million tokens."""
    if price.origin == "subscription":
        return "no price: limited by throughput"
    window = f", window {price.context_window:,}" if price.context_window else ""
    tiers = "".join(f"; above {tier.above_tokens:,} tokens {_rates(tier)}" for tier in price.tiers)
    return f"{_rates(price.rates)}{tiers}{window}"


def _rates(rates: Figures) -> str:
    cache = f"cache {_usd(rates.cache_read)} read, {_usd(rates.cache_write)} write"
    return f"{_usd(rates.input)} in, {_usd(rates.output)} out, {cache}"


def _usd(nano: int) -> str:
    amount = (Decimal(nano) / NANO).normalize()
    return f"${amount:f}"
