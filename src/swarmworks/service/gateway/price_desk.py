"""Where people come in about prices: what holds, lists that are imported, and the decision about them.

A list is proposed by an import and used once a named person approved it. Both are rows that nothing ever changes; the
decision also stands in the log of every swarm that is open then, since its next calls are priced by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError, NotFoundError, RejectedError
from swarmworks.base.ids import IdSource, SwarmId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.swarm import OPEN
from swarmworks.policy import pricing
from swarmworks.policy.bound import Price, Rates, Tier
from swarmworks.policy.pricing import PriceEntry, PriceVerdict
from swarmworks.policy.wording import plain
from swarmworks.provider.prices import FoundPrice, Origin, PriceTable
from swarmworks.service.gateway.approved import ApprovedPrices
from swarmworks.service.gateway.price_views import change_view, found_view, list_view, use_view, view
from swarmworks.service.gateway.prices import price_at
from swarmworks.service.gateway.record import Upstream
from swarmworks.store.protocol import Store, Tx
from swarmworks.wire.prices import (
    DecidedPrices,
    ImportedPrices,
    ImportPrices,
    PriceBody,
    PriceChange,
    PricedModel,
    Prices,
    PricesUsed,
    RatesBody,
)

NANO = 1_000_000_000
MOST_SHOWN = 500


class PriceDesk:
    """`models` are the configured ones, as `provider:model`."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: IdSource,
        approved: ApprovedPrices,
        upstreams: Mapping[str, Upstream],
        models: Sequence[str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._approved = approved
        self._upstreams = upstreams
        self._models = tuple(models)

    async def prices(self, models: Sequence[str] = ()) -> Prices:
        """What holds now for each of `models`, else for the configured ones, and the lists there are, the newest first."""
        lists = await self._store.read(lambda reader: (self._approved.look(reader, now=True), reader.price_lists())[1])
        priced = [self._priced(self._approved.table, model) for model in models or self._models]
        return Prices(models=tuple(priced), lists=tuple(list_view(one) for one in reversed(lists)))

    async def used(self, swarm_id: SwarmId) -> PricesUsed:
        """What the calls of a swarm were priced by, in the order of their first call."""
        uses = await self._store.read(lambda reader: (reader.swarm(swarm_id), reader.prices_used(swarm_id))[1])
        return PricesUsed(swarm_id=swarm_id, uses=tuple(use_view(use) for use in uses))

    async def propose(self, request: ImportPrices, person: str) -> ImportedPrices:
        """RejectedError when nothing in it is new."""
        await self._store.read(lambda reader: self._approved.look(reader, now=True))
        table = self._approved.table
        source = plain(request.source, 500).strip()
        entries = [_entry(body, source) for body in request.prices]
        new = [entry for entry in entries if not self._holds(table, entry)]
        if not new:
            raise RejectedError(
                "every price in it holds already", where=source, mend="nothing is to be done: see `swarm prices list`"
            )
        list_id = self._ids.new("prl")
        made = await self._store.transact(lambda tx: tx.insert_price_list(list_id, source, person, new))
        supposed = table.supposing(new)
        changed = [
            after
            for model in self._models
            if (after := self._priced(supposed, model)).price != self._priced(table, model).price
        ]
        return ImportedPrices(
            prices=list_view(made),
            changes=tuple(self._change(table, entry) for entry in new[:MOST_SHOWN]),
            same=len(entries) - len(new),
            models=tuple(changed),
        )

    async def decide(self, list_id: str, verdict: PriceVerdict, reason: str, person: str) -> DecidedPrices:
        """`list_id`: its id, or a part that only it has among those not decided."""
        found = await self._named(list_id)
        reason = plain(reason, 2_000).strip()

        def step(tx: Tx) -> DecidedPrices:
            decided = tx.decide_price_list(found, verdict, person, reason)
            swarms = tx.swarms(states=OPEN)
            data = {"list": found, "source": decided.source, "prices": decided.entries, "reason": reason}
            for swarm in swarms:
                tx.append(swarm.id, NewEvent(f"prices.{verdict}", person, data))
            return DecidedPrices(prices=list_view(decided), swarms=len(swarms))

        done = await self._store.transact(step)
        await self._store.read(lambda reader: self._approved.look(reader, now=True))
        return done

    async def _named(self, wanted: str) -> str:
        lists = await self._store.read(lambda reader: reader.price_lists())
        exact = [one.id for one in lists if one.id == wanted]
        found = exact or [one.id for one in lists if wanted in one.id and one.decision is None]
        waiting = ", ".join(one.id for one in lists if one.decision is None) or "none"
        if not found:
            raise NotFoundError(f"there is no price list {wanted!r} to decide", mend=f"waiting: {waiting}")
        if len(found) > 1:
            raise ConflictError(f"{wanted!r} could be any of {', '.join(found[:5])}", mend="write more of the id")
        return found[0]

    def _priced(self, table: PriceTable, model: str) -> PricedModel:
        provider, _, name = model.partition(":")
        upstream = self._upstreams.get(provider)
        if upstream is None:
            return PricedModel(model=model, price=None)
        if upstream.subscription is not None or upstream.kind == "rehearsal":
            price = price_at(table, upstream, name)
            origin = "subscription" if upstream.subscription is not None else "free"
            return PricedModel(model=model, price=None if price is None else view(price, origin, None))
        found = table.look(provider, name, upstream.base_url)
        return PricedModel(model=model, price=None if found is None else found_view(found))

    def _present(self, table: PriceTable, entry: PriceEntry) -> list[FoundPrice | None]:
        """What holds now at every place of the entry, for the model it is named after."""
        model = entry.label.removesuffix("*")
        if entry.provider is None:
            return [table.look("", model, f"https://{host}") for host in sorted(entry.hosts)]
        upstream = self._upstreams.get(entry.provider)
        return [table.look(entry.provider, model, upstream.base_url if upstream else "")]

    def _holds(self, table: PriceTable, entry: PriceEntry) -> bool:
        """Whether the same is said already, of the same models, at every place of it."""
        if entry.valid_from > self._clock.now():
            return False
        return all(
            found is not None
            and found.origin is not Origin.SETTINGS
            and found.match == entry.match
            and pricing.same_figures(found.price, entry.price)
            for found in self._present(table, entry)
        )

    def _change(self, table: PriceTable, entry: PriceEntry) -> PriceChange:
        return change_view(entry, self._present(table, entry)[0])


def _entry(body: PriceBody, source: str) -> PriceEntry:
    tiers = tuple(Tier(tier.above_tokens, _rates(tier)) for tier in body.tiers)
    price = Price(_rates(body), tiers, body.context_window, f"{source}, valid from {body.valid_from.date()}")
    hosts = frozenset(host.lower() for host in body.hosts)
    return PriceEntry(body.label, body.match, body.valid_from, price, body.provider, hosts)


def _rates(body: RatesBody) -> Rates:
    return Rates.of(
        input=_nano(body.input_usd_per_mtok) or 0,
        output=_nano(body.output_usd_per_mtok) or 0,
        cache_read=_nano(body.cache_read_usd_per_mtok),
        cache_write=_nano(body.cache_write_usd_per_mtok),
        cache_write_1h=_nano(body.cache_write_1h_usd_per_mtok),
    )


def _nano(dollars: Decimal | None) -> int | None:
    """Rounded up."""
    return None if dollars is None else int((dollars * NANO).to_integral_value(ROUND_CEILING))
