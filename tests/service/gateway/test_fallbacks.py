"""Models that cannot stand in: too dear, unable to bound what is asked, or paid by a subscription that is used up for now."""

import asyncio
import json

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.domain.provider import AccountLimits, Outage
from swarmworks.policy.bound import Price, Rates
from swarmworks.policy.subscription import Subscription, Window
from swarmworks.provider.limits import ImageRow, VendorLimits
from swarmworks.service.gateway.record import ProviderAccount
from swarmworks.service.gateway.record import Upstream as UpstreamAddress
from tests.provider.test_media import PNG, carried
from tests.service.gateway.plant import PRICE, RATE_IN, RATE_OUT, plant, quick
from tests.service.gateway.test_budget import until
from tests.service.gateway.test_providers import BOTH_PRICED, PATIENT, TIERS, limited, models, standing, two_providers
from tests.service.gateway.upstream import Answer

DEAR = Price(Rates.of(input=1_000 * RATE_IN * 1_000_000, output=RATE_OUT * 1_000_000))
CHAIN = {"model": "mid", "tiers": TIERS}


async def test_a_first_choice_that_fails_is_not_blamed_on_the_budget_that_does_not_hold_its_fallback(unused_tcp_port):
    def providers(url):
        away = UpstreamAddress("p", "openai", f"http://127.0.0.1:{unused_tcp_port}", "sk-p")
        return {"p": away, "q": UpstreamAddress("q", "openai", url, "sk-q")}

    prices = {"real-model": PRICE, "other-model": DEAR}
    async with plant(providers=providers, prices=prices, limit=10**7, **CHAIN) as p:
        status, body, headers = await p.ask("openai")
        assert (status, json.loads(body)["error"]["code"]) == (503, "provider_unavailable")
        assert int(headers["retry-after"]) > 0
        [call] = await p.recorded(1)
        assert (call.refusal, call.stop, call.settled.nano_usd) == ("unavailable", False, 0)
        assert p.upstream.received == []


async def test_a_fallback_that_cannot_bound_an_image_is_left_out_and_the_first_choice_waited_for():
    images = (ImageRow(("=real-model",), 1_500), ImageRow(("*",), None))
    published = VendorLimits("openai", frozenset({"127.0.0.1"}), whole_input=True, counts=False, images=images)
    clock = ManualClock()
    async with plant(
        providers=two_providers,
        prices=BOTH_PRICED,
        published=published,
        clock=clock,
        settings=quick(**PATIENT),
        **CHAIN,
    ) as p:
        p.upstream.script = lambda number, body: limited(60) if number == 0 else Answer(prompt=1_500)
        asking = asyncio.create_task(p.ask("openai", data=json.dumps(carried("chat", "image/png", PNG)).encode()))
        await standing(p)
        clock.advance(60)
        assert (await asking)[0] == 200
        assert models(p) == ["real-model", "real-model"]


@pytest.mark.parametrize("bounds_it", [True, False])
async def test_a_first_choice_that_cannot_bound_an_image_is_passed_over(bounds_it):
    images = (ImageRow(("=other-model",), 1_500 if bounds_it else None), ImageRow(("*",), None))
    published = VendorLimits("openai", frozenset({"127.0.0.1"}), whole_input=True, counts=False, images=images)
    async with plant(providers=two_providers, prices=BOTH_PRICED, published=published, **CHAIN) as p:
        p.upstream.script = lambda number, body: Answer(prompt=1_500)
        status, told, _headers = await p.ask("openai", data=json.dumps(carried("chat", "image/png", PNG)).encode())
        [call] = await p.recorded(1)
        if bounds_it:
            assert (status, models(p), call.model) == (200, ["other-model"], "q:other-model")
        else:
            assert (status, models(p)) == (400, [])
            assert b"nothing bounds what a image costs with real-model" in told


async def test_a_fault_of_ours_while_a_call_probes_an_account_leaves_it_to_the_next_call():
    clock = ManualClock()
    async with plant(clock=clock) as p:
        [lane] = p.gateway.accounts.lanes("p", "real-model")
        p.gateway.accounts.failed(lane.take(1, 0.0), Outage.OVERLOADED, 10.0, 0)
        clock.advance(10)
        transact = p.store.transact

        async def broken(_step):
            raise ValueError("a fault nobody has thought of")

        p.store.transact = broken
        assert (await p.ask("openai"))[0] == 500
        p.store.transact = transact
        assert (await p.ask("openai"))[0] == 200
        assert lane.account.in_flight == 0


def paid_by_the_month(**limits):
    def providers(url):
        plan = Subscription("p", (Window(3_600, **limits),))
        subscribed = UpstreamAddress("p", "openai", url, "sk-p", subscription=plan)
        return {"p": subscribed, "q": UpstreamAddress("q", "openai", url, "sk-q")}

    return providers


async def test_a_subscription_that_is_used_up_is_passed_over_at_once():
    async with plant(
        providers=paid_by_the_month(requests=1), prices=BOTH_PRICED, sessions=2, settings=quick(queue_s=600), **CHAIN
    ) as p:
        p.wrong_on_purpose = True  # the books of the fake provider are in money
        for token in (*p.tokens, p.tokens[0]):
            async with asyncio.timeout(10):
                assert (await p.ask("openai", token=token))[0] == 200
        assert models(p) == ["real-model", "other-model", "other-model"]
        assert p.gateway.fallbacks() == {"mid": "q:other-model"}
        assert [one.subscription for one in await used(p)] == ["p", None]
        assert (await p.totals()).spent.nano_usd == 2 * (10 * RATE_IN + 5 * RATE_OUT)


async def used(p):
    return await p.store.store.read(lambda reader: reader.prices_used(reader.swarms()[0].id))


async def test_a_call_that_comes_while_others_wait_for_the_subscription_does_not_join_their_line():
    async with plant(
        providers=paid_by_the_month(requests=1), prices=BOTH_PRICED, sessions=2, settings=quick(queue_s=600), **CHAIN
    ) as p:
        p.wrong_on_purpose = True
        p.upstream.script = lambda number, body: Answer()
        assert (await p.ask("openai"))[0] == 200
        [lane] = p.gateway.accounts.lanes("q", "other-model")
        turn = lane.take(1, 0.0)
        p.gateway.accounts.failed(turn, Outage.OVERLOADED, 1_000.0, 0)
        waiting = asyncio.create_task(p.ask("openai"))
        await until(lambda: p.gateway._queue.waiting == 1)
        lane.breaker = type(lane.breaker)()
        async with asyncio.timeout(10):
            assert (await p.ask("openai", token=p.tokens[1]))[0] == 200
        assert models(p) == ["real-model", "other-model"]
        waiting.cancel()


@pytest.mark.parametrize("why", ["too dear", "limited", "unreachable"])
async def test_a_subscription_is_waited_for_where_no_other_model_can_answer(why, unused_tcp_port):
    def providers(url):
        other = f"http://127.0.0.1:{unused_tcp_port}" if why == "unreachable" else url
        return {**paid_by_the_month(requests=1)(url), "q": UpstreamAddress("q", "openai", other, "sk-q")}

    prices = {"real-model": PRICE, "other-model": DEAR if why == "too dear" else PRICE}
    settings = quick(queue_s=0.1, provider_wait_s=1.0)
    async with plant(providers=providers, prices=prices, limit=10**7, settings=settings, **CHAIN) as p:
        p.wrong_on_purpose = True
        p.upstream.script = lambda number, body: limited(600) if body["model"] == "other-model" else Answer()
        assert (await p.ask("openai"))[0] == 200
        status, body, headers = await p.ask("openai")
        assert (status, json.loads(body)["error"]["code"]) == (429, "budget_busy")
        assert int(headers["retry-after"]) > 3_000
        call = (await p.recorded(2))[1]
        assert (call.refusal, call.stop) == ("busy", False)


async def test_a_provider_that_was_not_reached_used_up_no_request_of_its_minute(unused_tcp_port):
    def providers(_url):
        account = ProviderAccount("one", "sk-one", AccountLimits(requests_per_minute=1))
        return {"p": UpstreamAddress("p", "openai", f"http://127.0.0.1:{unused_tcp_port}", accounts=(account,))}

    async with plant(providers=providers) as p:
        for _ in range(3):
            status, body, _headers = await p.ask("openai")
            assert (status, json.loads(body)["error"]["code"]) == (503, "provider_unavailable")
