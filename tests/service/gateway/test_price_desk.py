"""Lists of prices, from the import to the next call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import ConflictError, NotFoundError, RejectedError
from swarmworks.policy.pricing import PriceVerdict
from swarmworks.service.gateway.price_desk import PriceDesk
from swarmworks.wire.prices import ImportPrices, PriceBody
from tests.service.gateway.plant import plant
from tests.service.gateway.running import SWARM

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def body(model="real-model", *, since=LONG_AGO, output=15, provider="p", hosts=()):
    return PriceBody(
        label=model,
        match=(f"={model}",),
        provider=provider,
        hosts=hosts,
        valid_from=since,
        input_usd_per_mtok=Decimal(3),
        output_usd_per_mtok=Decimal(output),
    )


def listed(*prices):
    return ImportPrices(source="a contract", prices=prices)


def desk(p, models=("p:real-model", "p:other")):
    clock = SystemClock()
    return PriceDesk(p.store, clock, p.ids, p.gateway.approved, p.gateway._upstreams, models)


async def test_a_list_shows_what_it_changes_and_counts_from_its_approval_on_at_once():
    async with plant(prices={}, sessions=2) as p:
        prices = desk(p)
        done = await prices.propose(listed(body(), body("m2")), "person:ada")
        assert (done.prices.state, done.prices.entries, done.same) == ("proposed", 2, 0)
        assert [(one.label, one.before, one.after.rates.output) for one in done.changes] == [
            ("real-model", None, 15_000_000_000),
            ("m2", None, 15_000_000_000),
        ]
        assert [one.model for one in done.models] == ["p:real-model"]
        assert [one.price for one in (await prices.prices()).models] == [None, None]
        assert (await p.ask("openai", token=p.tokens[0]))[0] == 400
        decided = await prices.decide(done.prices.id, PriceVerdict.APPROVED, "checked", "person:bo")
        assert (decided.prices.decided_by, decided.prices.reason, decided.swarms) == ("person:bo", "checked", 1)
        assert (await p.ask("openai", token=p.tokens[1]))[0] == 200
        priced, unpriced = (await prices.prices()).models
        assert (priced.price.origin, priced.price.since, unpriced.price) == ("approved", LONG_AGO, None)
        [*_, event] = await p.store.read(lambda reader: reader.events(SWARM))
        assert (event.kind, event.actor) == ("prices.approved", "person:bo")
        [use] = (await prices.used(SWARM)).uses
        assert (use.calls, use.price.origin) == (1, "approved")
        assert use.price.source == f"price list {done.prices.id}, row 1: a contract, valid from 2020-01-01"


async def test_what_holds_already_is_left_out_and_a_list_of_nothing_else_is_refused():
    async with plant(prices={}) as p:
        prices = desk(p)
        first = await prices.propose(listed(body()), "person:ada")
        await prices.decide(first.prices.id, PriceVerdict.APPROVED, "", "person:bo")
        with pytest.raises(RejectedError, match="holds already"):
            await prices.propose(listed(body()), "person:ada")
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        done = await prices.propose(listed(body(), body(output=20), body(since=tomorrow)), "person:ada")
        assert (done.same, [one.after.rates.output for one in done.changes]) == (1, [20_000_000_000, 15_000_000_000])
        assert done.changes[0].before.rates.output == 15_000_000_000


async def test_a_list_is_decided_once_and_named_by_a_part_of_its_id():
    async with plant(prices={}) as p:
        prices = desk(p)
        for output in (1, 2):
            await prices.propose(listed(body(output=output)), "person:ada")
        with pytest.raises(ConflictError, match="could be any of prl_1, prl_2"):
            await prices.decide("prl", PriceVerdict.REJECTED, "", "person:bo")
        await prices.decide("_1", PriceVerdict.REJECTED, "no", "person:bo")
        with pytest.raises(ConflictError, match="rejected already"):
            await prices.decide("prl_1", PriceVerdict.APPROVED, "", "person:bo")
        with pytest.raises(NotFoundError, match="no price list 'zzz'"):
            await prices.decide("zzz", PriceVerdict.APPROVED, "", "person:bo")
        assert [one.price for one in (await prices.prices()).models] == [None, None]


async def test_the_shipped_price_of_a_vendor_is_shown_as_what_holds():
    async with plant(prices={}) as p:
        prices = desk(p)
        done = await prices.propose(listed(body(provider=None, hosts=("api.example.com",))), "person:ada")
        assert done.changes[0].place == "api.example.com"
        assert (done.changes[0].before, done.models) == (None, ())
