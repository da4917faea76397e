"""Providers that limit, are overloaded, fail or refuse the key: held inside, passed on to other accounts and models."""

import asyncio
import json
import random

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.domain.budget import Limit
from swarmworks.domain.provider import AccountLimits, Outage
from swarmworks.domain.session import SessionLimits
from swarmworks.policy.bound import Price, Rates
from swarmworks.policy.retry import HeldUp
from swarmworks.service.gateway.record import ProviderAccount
from swarmworks.service.gateway.record import Upstream as UpstreamAddress
from tests.service.gateway.plant import KINDS, PRICE, PROVIDERS, RATE_IN, RATE_OUT, plant, quick
from tests.service.gateway.running import SWARM
from tests.service.gateway.test_budget import until
from tests.service.gateway.upstream import Answer

EXACT = 10 * RATE_IN + 5 * RATE_OUT
OVERLOADED = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
PATIENT = {"provider_wait_s": 240.0}


def limited(seconds=None, **headers):
    return Answer(status=429, headers={**({} if seconds is None else {"retry-after": str(seconds)}), **headers})


def in_turn(*answers):
    """The last one for ever."""
    return lambda number, body: answers[min(number, len(answers) - 1)]


def two_accounts(kind="openai", **limits):
    def providers(url):
        accounts = tuple(ProviderAccount(name, f"sk-{name}", AccountLimits(**limits)) for name in ("one", "two"))
        return {"p": UpstreamAddress("p", kind, url, accounts=accounts)}

    return providers


def two_providers(url):
    return {name: UpstreamAddress(name, "openai", url, f"sk-{name}") for name in ("p", "q")}


TIERS = {"mid": ("p:real-model", "q:other-model")}
BOTH_PRICED = {"real-model": PRICE, "other-model": PRICE}


def keys(p):
    return [
        received.headers.get("authorization", received.headers.get("x-api-key", "")) for received in p.upstream.received
    ]


def models(p):
    return [received.json["model"] for received in p.upstream.received]


async def standing(p, number=1):
    await until(lambda: p.gateway.turns.waiting == number)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_429_is_held_inside_and_the_call_goes_when_the_provider_asked_for(kind, stream):
    clock = ManualClock()
    async with plant(kind, clock=clock, settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(limited(30), Answer())
        asking = asyncio.create_task(p.ask(kind, {"stream": stream}))
        await standing(p)
        clock.advance(29)
        assert len(p.upstream.received) == 1
        clock.advance(1)
        assert (await asking)[0] == 200
        [call] = await p.recorded(1)
        assert (call.tries, call.settled.nano_usd, call.refusal) == (2, EXACT, None)
        assert call.waited_s == 30
        refused, _answered = await p.reservations()
        assert (refused.settled.nano_usd, refused.settled.tokens) == (0, 0)


async def test_overload_is_held_inside_and_costs_nothing_where_the_provider_says_so():
    clock = ManualClock()
    async with plant("anthropic", clock=clock, settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(*[Answer(status=529, body=OVERLOADED)] * 4, Answer())
        asking = asyncio.create_task(p.ask("anthropic"))
        for number, pause in enumerate((1, 2, 4, 8)):
            await until(lambda number=number: len(p.upstream.received) == number + 1 and p.gateway.turns.waiting == 1)
            clock.advance(pause)
        assert (await asking)[0] == 200
        [call] = await p.recorded(1)
        assert (call.tries, call.settled.nano_usd) == (5, EXACT)


async def test_a_provider_that_says_now_each_time_is_asked_more_and_more_seldom():
    clock = ManualClock()
    async with plant("openai", clock=clock, settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(*[limited(0)] * 3, Answer())
        asking = asyncio.create_task(p.ask("openai"))
        for number, pause in enumerate((1, 2, 4)):
            await until(lambda number=number: len(p.upstream.received) == number + 1 and p.gateway.turns.waiting == 1)
            clock.advance(pause)
        assert (await asking)[0] == 200
        assert (await p.recorded(1))[0].waited_s == 7


async def test_accounts_that_limit_in_turn_keep_a_call_no_longer_than_it_may_wait():
    clock = ManualClock()

    def slow_refusal(number, body):
        clock.advance(2)
        return limited(1) if number < 50 else Answer()

    async with plant(providers=two_accounts(), clock=clock, settings=quick(provider_wait_s=10.0)) as p:
        p.upstream.script = slow_refusal
        assert (await p.ask("openai"))[0] == 429
        assert len(p.upstream.received) == 6  # each account once more at the end


async def test_overload_that_may_have_cost_is_tried_again_a_few_times_only():
    clock = ManualClock()
    async with plant("openai", clock=clock, settings=quick(**PATIENT, charged_tries=3)) as p:
        p.upstream.script = in_turn(Answer(status=503, headers={"retry-after": "1"}))
        asking = asyncio.create_task(p.ask("openai"))
        for number in (1, 2):
            await until(lambda number=number: len(p.upstream.received) == number and p.gateway.turns.waiting == 1)
            clock.advance(1)
        status, _body, headers = await asking
        assert (status, headers["retry-after"], len(p.upstream.received)) == (503, "1", 3)
        [call] = await p.recorded(1)
        assert call.settled == call.reserved
        assert (call.tries, call.estimated) == (3, True)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wait_in_vain_ends_in_the_clients_own_format(kind):
    clock = ManualClock()
    async with plant(kind, clock=clock, settings=quick(provider_wait_s=60)) as p:
        p.upstream.script = in_turn(limited(40))
        asking = asyncio.create_task(p.ask(kind))
        await standing(p)
        clock.advance(40)
        status, body, headers = await asking
        assert (status, headers["retry-after"]) == (429, "40")  # a third try could not begin in time: not waited for
        assert json.loads(body)["error"]["message"] == "no"
        assert len(p.upstream.received) == 2


async def test_who_comes_while_the_rate_is_limited_for_long_is_told_at_once_how_long():
    clock = ManualClock()
    async with plant(clock=clock, settings=quick(provider_wait_s=60), sessions=2) as p:
        p.upstream.script = in_turn(limited(1_000))
        assert (await p.ask("openai"))[0] == 429
        clock.advance(100)
        status, body, headers = await p.ask("openai", token=p.tokens[1])
        assert (status, headers["retry-after"]) == (429, "900")
        assert json.loads(body)["error"]["code"] == "provider_rate_limited"
        [_first, second] = await p.recorded(2)
        assert (second.refusal, second.stop, second.reserved) == ("busy", False, None)
        assert len(p.upstream.received) == 1


async def test_calls_wait_in_one_line_first_come_first_served_and_the_first_is_the_probe():
    clock, gate = ManualClock(), asyncio.Event()
    async with plant(clock=clock, settings=quick(**PATIENT), sessions=4) as p:
        p.upstream.script = in_turn(limited(10), Answer(gate=gate), Answer())
        asking = []
        for number in range(4):
            asking.append(asyncio.create_task(p.ask("openai", token=p.tokens[number])))
            await standing(p, number + 1)
        assert len(p.upstream.received) == 1
        clock.advance(10)
        await p.upstream.streaming.wait()
        await standing(p, 3)
        assert len(p.upstream.received) == 2  # the probe alone
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(*asking)] == [200] * 4
        calls = await p.recorded(4)
        assert calls[0].session_id == p.sessions[0]


async def test_a_client_that_leaves_the_line_is_dropped_and_nothing_more_is_sent_for_it():
    clock = ManualClock()
    async with plant(clock=clock, settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(limited(10), Answer())
        asking = asyncio.create_task(p.ask("openai"))
        await standing(p)
        asking.cancel()
        await standing(p, 0)
        clock.advance(10)
        [call] = await p.recorded(1)
        assert (call.tries, call.settled.nano_usd) == (1, 0)
        assert (await p.ask("openai"))[0] == 200
        assert len(p.upstream.received) == 2


async def test_the_line_has_an_end():
    clock = ManualClock()
    async with plant(clock=clock, settings=quick(**PATIENT, provider_queue_length=1), sessions=2) as p:
        p.upstream.script = in_turn(limited(10), Answer())
        asking = asyncio.create_task(p.ask("openai"))
        await standing(p)
        status, _body, headers = await p.ask("openai", token=p.tokens[1])
        assert (status, headers["retry-after"]) == (429, "10")
        clock.advance(10)
        assert (await asking)[0] == 200


async def test_closing_ends_the_waiting():
    async with plant(clock=ManualClock(), settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(limited(10))
        asking = asyncio.create_task(p.ask("openai"))
        await standing(p)
        await p.gateway.close()
        assert (await asking)[0] == 503


async def test_both_accounts_of_a_provider_are_used():
    gate = asyncio.Event()
    async with plant(providers=two_accounts(), sessions=4) as p:
        p.upstream.script = in_turn(Answer(gate=gate))
        asking = [asyncio.create_task(p.ask("openai", token=token)) for token in p.tokens]
        await until(lambda: len(p.upstream.received) == 4)
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(*asking)] == [200] * 4
        assert sorted(keys(p)) == ["Bearer sk-one", "Bearer sk-one", "Bearer sk-two", "Bearer sk-two"]
        assert {call.account for call in await p.recorded(4)} == {"p/one", "p/two"}


async def test_a_limited_account_is_left_for_the_other_at_once():
    async with plant(providers=two_accounts("anthropic"), kind="anthropic", settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(limited(60), Answer())
        assert (await p.ask("anthropic"))[0] == 200
        assert keys(p) == ["sk-one", "sk-two"]


async def test_a_wrong_key_takes_one_account_out_and_the_other_goes_on():
    changes = []
    async with plant(providers=two_accounts(), sessions=2) as p:
        p.gateway.accounts.changed = changes.append
        p.upstream.script = in_turn(Answer(status=401), Answer())
        assert (await p.ask("openai"))[0] == 200
        assert (await p.ask("openai", token=p.tokens[1]))[0] == 200
        assert keys(p) == ["Bearer sk-one", "Bearer sk-two", "Bearer sk-two"]
        [change] = changes
        assert (change.account, change.outage) == ("p/one", Outage.KEY_REFUSED)
        assert not any(call.stop for call in await p.recorded(2))


async def test_with_every_key_refused_the_session_is_told_to_stop():
    async with plant(providers=two_accounts(), sessions=2) as p:
        p.upstream.script = in_turn(Answer(status=401))
        for token in p.tokens:
            status, body, headers = await p.ask("openai", token=token)
            assert (status, headers["x-should-retry"]) == (403, "false")
            assert json.loads(body)["error"]["code"] == "provider_credentials"
        assert len(p.upstream.received) == 2
        assert [call.stop for call in await p.recorded(2)] == [True, True]


async def test_content_that_is_refused_with_403_takes_no_account_out_and_stops_no_session():
    flagged = {"error": {"code": 403, "message": "p/m requires moderation on P. Your input was flagged"}}
    changes = []
    async with plant(providers=two_accounts(), sessions=2) as p:
        p.gateway.accounts.changed = changes.append
        p.upstream.script = in_turn(Answer(status=403, body=json.dumps(flagged).encode()), Answer())
        status, body, _headers = await p.ask("openai")
        assert (status, json.loads(body)) == (403, flagged)
        assert (await p.ask("openai", token=p.tokens[1]))[0] == 200
        assert len(p.upstream.received) == 2
        refused, answered = await p.recorded(2)
        assert (refused.refusal, refused.stop, refused.settled.nano_usd) == ("provider_403", False, 0)
        assert (answered.refusal, changes) == (None, [])


@pytest.mark.parametrize(
    "turned_away", [limited(60), Answer(status=529, body=OVERLOADED), Answer(status=401), Answer(status=500)]
)
async def test_the_next_model_of_the_chain_answers_at_once_and_is_on_record(turned_away):
    async with plant(
        providers=two_providers, model="mid", tiers=TIERS, prices=BOTH_PRICED, settings=quick(**PATIENT)
    ) as p:
        p.upstream.script = lambda number, body: turned_away if body["model"] == "real-model" else Answer()
        if turned_away.status == 529:
            p.gateway.accounts.failed(
                p.gateway.accounts.lanes("p", "real-model")[0].take(1, 0.0), Outage.OVERLOADED, 99.0, 0
            )
        assert (await p.ask("openai"))[0] == 200
        assert models(p)[-1] == "other-model"
        assert keys(p)[-1] == "Bearer sk-q"
        [call] = await p.recorded(1)
        assert (call.model, call.account) == ("q:other-model", "q")
        assert [one.model for one in await p.reservations()][-1] == "q:other-model"


async def test_a_first_choice_that_is_ready_soon_is_waited_for():
    clock = ManualClock()
    async with plant(
        providers=two_providers, model="mid", tiers=TIERS, prices=BOTH_PRICED, clock=clock, settings=quick(**PATIENT)
    ) as p:
        p.upstream.script = in_turn(limited(4), Answer())
        asking = asyncio.create_task(p.ask("openai"))
        await standing(p)
        clock.advance(4)
        assert (await asking)[0] == 200
        assert models(p) == ["real-model", "real-model"]


async def test_each_try_is_reserved_at_the_price_of_the_model_it_asks():
    dear = Price(Rates.of(input=2 * RATE_IN * 1_000_000, output=2 * RATE_OUT * 1_000_000))
    prices = {"real-model": PRICE, "other-model": dear}
    async with plant(providers=two_providers, model="mid", tiers=TIERS, prices=prices) as p:
        p.upstream.script = lambda number, body: limited(60) if body["model"] == "real-model" else Answer()
        assert (await p.ask("openai"))[0] == 200
        first, second = await p.reservations()
        assert second.reserved.nano_usd >= 2 * first.reserved.nano_usd
        assert second.settled.nano_usd == 2 * EXACT


async def test_a_fallback_that_the_budget_does_not_hold_is_left_out_and_the_first_choice_waited_for():
    dear = Price(Rates.of(input=1_000 * RATE_IN * 1_000_000, output=RATE_OUT * 1_000_000))
    prices, clock = {"real-model": PRICE, "other-model": dear}, ManualClock()
    async with plant(
        providers=two_providers,
        model="mid",
        tiers=TIERS,
        prices=prices,
        limit=10**7,
        clock=clock,
        settings=quick(**PATIENT),
    ) as p:
        p.upstream.script = in_turn(limited(60), Answer())
        asking = asyncio.create_task(p.ask("openai"))
        await standing(p)
        clock.advance(60)
        assert (await asking)[0] == 200
        assert models(p) == ["real-model", "real-model"]


async def test_an_unpriced_model_of_a_chain_is_passed_over_under_a_budget_in_money_only():
    for limit, asked in ((10**12, ["other-model"]), (None, ["real-model"])):
        async with plant(
            providers=two_providers, model="mid", tiers=TIERS, prices={"other-model": PRICE}, limit=limit
        ) as p:
            assert (await p.ask("openai"))[0] == 200
            assert models(p) == asked
            p.wrong_on_purpose = limit is None  # nothing is booked for what has no price


async def test_a_model_that_speaks_another_format_is_passed_over():
    def providers(url):
        return {"p": UpstreamAddress("p", "anthropic", url, "k"), "q": UpstreamAddress("q", "openai", url, "k")}

    async with plant(providers=providers, model="mid", tiers=TIERS, prices=BOTH_PRICED) as p:
        assert (await p.ask("openai"))[0] == 200
        assert (await p.ask("anthropic"))[0] == 200
        assert models(p) == ["other-model", "real-model"]


async def test_nothing_is_tried_again_once_the_client_has_heard_something():
    async with plant(providers=two_accounts(), settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(Answer(error_after=1), Answer())
        status, body, _headers = await p.ask("openai", {"stream": True})
        assert (status, len(p.upstream.received)) == (200, 1)
        assert b"overloaded_error" in body


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_opens_with_an_error_is_tried_elsewhere_and_charged(kind):
    async with plant(kind, providers=two_accounts(PROVIDERS[kind]), settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(Answer(error_after=0), Answer())
        status, body, _headers = await p.ask(kind, {"stream": True})
        assert (status, len(p.upstream.received)) == (200, 2)
        assert b"overloaded_error" not in body
        refused, answered = await p.reservations()
        assert refused.settled == refused.reserved
        assert answered.settled.nano_usd == EXACT


async def test_a_provider_that_fails_again_and_again_is_left_alone_and_probed_by_one_call():
    clock, changes = ManualClock(), []
    async with plant(clock=clock, sessions=7, settings=quick(provider_wait_s=30)) as p:
        p.gateway.accounts.changed = changes.append
        p.upstream.script = in_turn(Answer(status=500))
        for token in p.tokens[:5]:
            assert (await p.ask("openai", token=token))[0] == 500
        asking = [asyncio.create_task(p.ask("openai", token=token)) for token in p.tokens[5:]]
        await standing(p, 2)
        assert len(p.upstream.received) == 5
        gate = asyncio.Event()
        p.upstream.script = in_turn(Answer(gate=gate))
        clock.advance(5)
        await p.upstream.streaming.wait()
        await standing(p, 1)
        assert len(p.upstream.received) == 6
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(*asking)] == [200, 200]
        assert [(change.account, change.outage) for change in changes] == [("p", Outage.FAILING), ("p", None)]


async def test_the_configured_limit_of_requests_holds_for_each_account_in_any_minute():
    clock = ManualClock()
    async with plant(
        providers=two_accounts(requests_per_minute=2),
        clock=clock,
        sessions=6,
        settings=quick(**PATIENT),
        limits=SessionLimits(idle_s=600),
    ) as p:
        asking = [asyncio.create_task(p.ask("openai", token=token)) for token in p.tokens]
        await until(lambda: len(p.upstream.received) == 4)
        await standing(p, 2)
        clock.advance(59)
        await standing(p, 2)
        clock.advance(2)
        assert [answer[0] for answer in await asyncio.gather(*asking)] == [200] * 6


async def test_the_configured_limit_of_tokens_counts_the_most_a_call_may_use_and_then_what_it_used():
    clock, gate = ManualClock(), asyncio.Event()
    async with plant(
        providers=two_accounts(tokens_per_minute=1_500), clock=clock, sessions=3, settings=quick(**PATIENT)
    ) as p:
        p.upstream.script = in_turn(Answer(gate=gate), Answer(gate=gate), Answer())
        asking = [asyncio.create_task(p.ask("openai", token=token)) for token in p.tokens]
        await until(lambda: len(p.upstream.received) == 2)
        await standing(p, 1)  # each account has room for the worst case of one call
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(*asking)] == [200] * 3


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        (
            "openai",
            {
                "x-ratelimit-limit-requests": "10",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "60s",
            },
        ),
        (
            "anthropic",
            {
                "anthropic-ratelimit-input-tokens-limit": "10",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:01:00Z",
            },
        ),
    ],
)
async def test_what_the_provider_says_is_left_is_not_passed(kind, headers):
    clock = ManualClock()
    async with plant(kind, clock=clock, settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(Answer(headers=headers), Answer())
        assert (await p.ask(kind))[0] == 200
        asking = asyncio.create_task(p.ask(kind))
        await standing(p)
        assert len(p.upstream.received) == 1
        clock.advance(60)
        assert (await asking)[0] == 200


@pytest.mark.parametrize("others", [False, True])
async def test_tries_do_not_count_as_calls_of_the_session(others):
    clock = ManualClock()
    async with plant(clock=clock, limits=SessionLimits(calls=2), settings=quick(**PATIENT), others=others) as p:
        p.upstream.script = in_turn(limited(1), limited(1), Answer())
        asking = asyncio.create_task(p.ask("openai"))
        for number in (1, 2):
            await until(lambda number=number: len(p.upstream.received) == number and p.gateway.turns.waiting == 1)
            clock.advance(1)
        assert (await asking)[0] == 200
        assert (await p.ask("openai"))[0] == 200
        assert (await p.ask("openai"))[0] == 400


@pytest.mark.parametrize("others", [False, True])
@pytest.mark.parametrize("turned_away", [Answer(status=400), Answer(status=404), limited(60), Answer(status=401)])
async def test_calls_that_cost_nothing_use_up_no_limit_of_calls(turned_away, others):
    """Neither the gateway's count of the session's calls nor its account's."""
    clock, limits = ManualClock(), SessionLimits(calls=2)
    session_limit = Limit(calls=2)
    async with plant(clock=clock, limits=limits, session_limit=session_limit, others=others) as p:
        p.upstream.script = lambda number, body: turned_away if number < 4 else Answer()
        for number in range(4):
            assert (await p.ask("openai"))[0] != 200
            assert len(p.upstream.received) == number + 1
            clock.advance(3_600)
        assert [(await p.ask("openai"))[0] for _ in range(3)] == [200, 200, 400]
        assert (await p.recorded(7))[-1].refusal == "calls"


async def test_a_call_that_may_have_cost_counts():
    async with plant(limits=SessionLimits(calls=1)) as p:
        p.upstream.script = in_turn(Answer(status=500))
        assert (await p.ask("openai"))[0] == 500
        assert (await p.ask("openai"))[0] == 400
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_providers_do_the_ledger_covers_the_bill(seed):
    rng = random.Random(seed)

    def script(number, body):
        return rng.choice(
            [
                Answer(completion=rng.randint(0, 50)),
                limited(0),
                limited(rng.choice([0, 0.01])),
                Answer(status=529, body=OVERLOADED, headers={"retry-after": "0"}),
                Answer(status=rng.choice([400, 401, 500, 503])),
                Answer(error_after=rng.randint(0, 2)),
                Answer(cut_after=rng.randint(0, 3)),
                Answer(omit_usage=True),
            ]
        )

    limit = rng.randint(3, 12) * (1_150 * RATE_IN + 50 * RATE_OUT)
    async with plant(
        providers=two_accounts(), sessions=6, limit=limit, settings=quick(provider_wait_s=1.0, queue_s=0.3)
    ) as p:
        p.upstream.script = script

        async def client(token):
            for _ in range(5):
                await p.ask("openai", {"stream": rng.random() < 0.5}, token=token)

        await asyncio.gather(*map(client, p.tokens))
        now = await p.totals()
        assert now.spent.nano_usd <= limit


async def test_people_are_told_once_that_an_account_is_out_and_once_that_it_is_back():
    clock = ManualClock()
    async with plant(clock=clock, sessions=3, settings=quick(provider_wait_s=0.0)) as p:
        p.upstream.script = in_turn(Answer(status=401), Answer())
        for token in p.tokens[:2]:
            assert (await p.ask("openai", token=token))[0] == 403
        clock.advance(600)
        assert (await p.ask("openai", token=p.tokens[2]))[0] == 200
        await p.gateway._announcing.close()
        events = await p.store.read(lambda reader: reader.events(SWARM, after=0, limit=100))
        told = [(event.kind, json.loads(event.data)) for event in events if event.kind.startswith("provider.")]
        assert told == [
            ("provider.unavailable", {"account": "p", "model": None, "reason": "key_refused", "wait_s": 600}),
            ("provider.answers", {"account": "p", "model": None}),
        ]
        assert "sk-" not in str(told)


async def test_how_providers_stand_is_there_to_be_looked_at():
    clock = ManualClock()
    async with plant(
        providers=two_providers, model="mid", tiers=TIERS, prices=BOTH_PRICED, clock=clock, settings=quick(**PATIENT)
    ) as p:
        p.upstream.script = lambda number, body: limited(60) if body["model"] == "real-model" else Answer()
        assert (await p.ask("openai"))[0] == 200
        assert p.gateway.fallbacks() == {"mid": "q:other-model"}
        rows = {(row.account, row.model): (row.state, row.retry_in_s) for row in p.gateway.providers()}
        assert rows["p", "real-model"] == ("rate_limited", 60.0)
        assert rows["p", None] == rows["q", None] == ("answers", None)
        assert not p.gateway.available("p:real-model")
        assert p.gateway.available("q:other-model")
        clock.advance(60)
        assert p.gateway.available("p:real-model")
        p.upstream.script = in_turn(Answer())
        assert (await p.ask("openai"))[0] == 200
        assert p.gateway.fallbacks() == {}


async def test_a_call_waits_for_half_the_silence_its_session_is_allowed_at_most():
    clock = ManualClock()
    async with plant(clock=clock, limits=SessionLimits(idle_s=40), settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(limited(15))
        asking = asyncio.create_task(p.ask("openai"))
        await standing(p)
        clock.advance(15)
        assert (await asking)[0] == 429
        assert len(p.upstream.received) == 2


async def test_the_gateway_knows_which_session_its_provider_held_up():
    clock = ManualClock()
    async with plant(clock=clock, sessions=2, settings=quick(**PATIENT)) as p:
        p.upstream.script = in_turn(limited(30), Answer(), limited(1_000))
        asking = asyncio.create_task(p.ask("openai"))
        await standing(p)
        clock.advance(30)
        assert (await asking)[0] == 200
        assert p.gateway.held_up(p.sessions[0]) == HeldUp(30.0, unanswered=False)
        assert (await p.ask("openai"))[0] == 429
        assert p.gateway.held_up(p.sessions[0]) == HeldUp(30.0, unanswered=True, failed="provider_429")
        assert p.gateway.held_up(p.sessions[1]) == HeldUp()
