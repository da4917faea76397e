"""What a call is priced by: an approved price from the moment it is approved, without a restart, and on record."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from swarmworks.base.clock import ManualClock
from swarmworks.domain.session import SessionLimits
from swarmworks.policy import pricing
from swarmworks.policy.bound import Price, Rates
from swarmworks.policy.pricing import PriceEntry, PriceVerdict
from swarmworks.policy.subscription import Subscription, Window
from swarmworks.service.gateway.ledger import Terms
from swarmworks.service.gateway.record import Upstream as UpstreamAddress
from tests.service.gateway.plant import PRICE, plant, quick
from tests.service.gateway.running import SWARM
from tests.service.gateway.test_budget import until
from tests.service.gateway.upstream import Answer

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
DEAR = Price(Rates.of(input=9_000_000_000, output=45_000_000_000), source="a contract")


async def approve(p, price, *, name="prl_1", verdict=PriceVerdict.APPROVED, since=LONG_AGO, match="=real-model"):
    def step(tx):
        tx.insert_price_list(name, "a contract", "person:ada", [PriceEntry("m", (match,), since, price, provider="p")])
        tx.decide_price_list(name, verdict, "person:bo", "checked")

    await p.store.store.transact(step)


async def test_an_unpriced_model_is_refused_until_its_price_is_approved_and_needs_no_restart():
    clock = ManualClock()
    async with plant(prices={}, clock=clock, sessions=4) as p:  # a session that is refused for it is over
        status, body, _headers = await p.ask("openai", token=p.tokens[0])
        assert status == 400
        assert b"swarm prices import" in body
        await approve(p, PRICE, verdict=PriceVerdict.REJECTED)
        clock.advance(2)
        assert (await p.ask("openai", token=p.tokens[1]))[0] == 400
        await approve(p, PRICE, name="prl_2")
        assert (await p.ask("openai", token=p.tokens[2]))[0] == 400  # within the second in which nobody has looked
        clock.advance(1.1)
        assert (await p.ask("openai", token=p.tokens[3]))[0] == 200
        assert len(p.upstream.received) == 1


async def test_a_price_holds_from_its_day_on_and_every_call_says_by_which_it_was_priced():
    clock = ManualClock()
    async with plant(prices={}, clock=clock) as p:
        await approve(p, PRICE)
        tomorrow = clock.now() + timedelta(days=1)
        await approve(p, DEAR, name="prl_2", since=tomorrow)
        assert (await p.ask("openai"))[0] == 200
        clock.advance(2 * 86_400)
        assert (await p.ask("openai"))[0] == 200
        assert (await p.ask("openai"))[0] == 200
        first, second, third = [one for one in await p.reservations() if one]
        assert second.settled.nano_usd == third.settled.nano_usd == 3 * first.settled.nano_usd
        used = await p.store.store.read(lambda reader: reader.prices_used(SWARM))
        assert [(use.calls, use.price.source, use.price.rates) for use in used] == [
            (1, "price list prl_1, row 1: ", PRICE.rates),
            (2, "price list prl_2, row 1: a contract", DEAR.rates),
        ]
        assert [one.price for one in (first, second)] == [pricing.digest(pricing.written(use.price)) for use in used]


async def test_the_price_in_swarm_toml_comes_before_the_approved_one():
    async with plant() as p:
        await approve(p, DEAR)
        assert (await p.ask("openai"))[0] == 200
        [use] = await p.store.store.read(lambda reader: reader.prices_used(SWARM))
        assert use.price.rates == PRICE.rates


async def test_a_price_whose_record_was_rolled_back_is_on_record_with_the_next_call():
    async with plant(limit=1) as p:
        assert (await p.ask("openai"))[0] == 400
        assert p.gateway._ledger._recorded == {}


def plan(**limits):
    return Subscription("p", (Window(3_600, **limits),))


ASKED = 1_150
"""More than one small call may use at most, in tokens."""


async def test_calls_of_a_subscription_cost_nothing_and_are_limited_by_requests():
    clock = ManualClock(datetime.now(UTC))
    async with plant(prices={}, limit=0, subscription=plan(requests=2), clock=clock, settings=quick(queue_s=0)) as p:
        for _ in range(2):
            assert (await p.ask("openai"))[0] == 200
        status, _body, headers = await p.ask("openai")
        assert status == 429
        assert 3_590 < int(headers["retry-after"]) <= 3_602
        assert (await p.recorded(3))[2].refusal == "busy"
        clock.advance(3_590)
        assert (await p.ask("openai"))[0] == 429
        clock.advance(600)
        assert (await p.ask("openai"))[0] == 200
        p.wrong_on_purpose = True  # the books of the fake provider are in money
        totals = await p.totals()
        assert totals.spent.nano_usd == 0
        assert totals.spent.tokens > 0
        [use] = await p.store.store.read(lambda reader: reader.prices_used(SWARM))
        assert (use.subscription, use.calls, use.spent.nano_usd) == ("p", 3, 0)
        assert len(p.upstream.received) == 3


async def test_what_a_subscription_refused_before_it_began_uses_up_none_of_its_requests():
    clock = ManualClock(datetime.now(UTC))
    async with plant(prices={}, subscription=plan(requests=2), clock=clock, settings=quick(queue_s=0)) as p:
        p.wrong_on_purpose = True
        p.upstream.script = lambda number, body: Answer(status=400) if number % 2 else Answer()
        assert [(await p.ask("openai"))[0] for _ in range(4)] == [200, 400, 200, 429]
        assert len(p.upstream.received) == 3


async def test_tokens_are_reserved_within_the_window_and_only_the_used_ones_count_afterwards():
    gate = asyncio.Event()
    async with plant(prices={}, sessions=2, subscription=plan(tokens=2 * ASKED)) as p:
        p.wrong_on_purpose = True
        p.upstream.script = lambda number, body: Answer(gate=gate)
        first = asyncio.create_task(p.ask("openai", {"max_tokens": ASKED - 1}))
        await p.upstream.streaming.wait()
        second = asyncio.create_task(p.ask("openai", {"max_tokens": 50}, token=p.tokens[1]))
        await until(lambda: p.gateway._queue.waiting == 1)
        assert len(p.upstream.received) == 1
        gate.set()
        assert (await first)[0] == (await second)[0] == 200


async def test_a_call_larger_than_the_window_is_refused_for_good():
    async with plant(prices={}, subscription=plan(tokens=1_000)) as p:
        status, body, headers = await p.ask("openai")
        assert (status, headers["x-should-retry"]) == (400, "false")
        assert b"1,000 in 3600 seconds" in body
        assert p.upstream.received == []
        [call] = await p.recorded(1)
        assert (call.refusal, call.stop) == ("budget", True)


async def test_the_meter_of_a_subscription_survives_a_restart_and_holds_over_replicas():
    limits = SessionLimits()
    async with plant(prices={}, subscription=plan(requests=3), settings=quick(queue_s=0)) as p:
        p.wrong_on_purpose = True
        another = type(p.gateway)(
            p.store,
            p.gateway._upstreams,
            p.gateway._prices,
            p.gateway._clock,
            p.ids,
            quick(queue_s=0),
            limits=lambda _session: limits,
        )
        caller = await another._ledger.caller(p.tokens[0])
        subscription = p.gateway._upstreams["p"].subscription
        assert (await p.ask("openai"))[0] == 200
        for _ in range(2):
            reservation = await another._ledger.reserve(
                caller, "p:real-model", replace(p.calls[0].reserved), terms=Terms(None, subscription)
            )
            await another._ledger.settle(reservation, None)
        assert (await p.ask("openai"))[0] == 429
        await another.close()
        assert len(p.upstream.received) == 1


async def test_each_try_is_priced_by_and_draws_on_the_provider_it_really_asks():
    def providers(url):
        paid = UpstreamAddress("p", "openai", url, "sk-p")
        return {"p": paid, "q": UpstreamAddress("q", "openai", url, "sk-q", subscription=subscription)}

    subscription = replace(plan(requests=1), provider="q")
    tiers = {"mid": ("p:real-model", "q:other-model")}
    async with plant(providers=providers, model="mid", tiers=tiers, settings=quick(queue_s=0)) as p:
        p.wrong_on_purpose = True
        away = Answer(status=429, headers={"retry-after": "60"})
        p.upstream.script = lambda number, body: away if body["model"] == "real-model" else Answer()
        assert (await p.ask("openai"))[0] == 200
        status, _body, headers = await p.ask("openai")
        assert (status, int(headers["retry-after"]) > 3_500) == (429, True)
        refused, answered = [one for one in await p.reservations() if one]
        assert (refused.model, answered.model) == ("p:real-model", "q:other-model")
        assert refused.reserved.nano_usd > answered.reserved.nano_usd == 0
        assert None not in {refused.price, answered.price}
        assert refused.price != answered.price
        used = await p.store.store.read(lambda reader: reader.prices_used(SWARM))
        assert {(use.model, use.subscription) for use in used} == {("p:real-model", None), ("q:other-model", "q")}
