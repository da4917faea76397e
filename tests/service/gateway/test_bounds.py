"""The least bound that applies, the clamp, and the provider's own count: what is reserved, sent and told."""

import asyncio
import json

import pytest

from swarmworks.domain.budget import Limit, Period
from swarmworks.domain.session import SessionLimits
from swarmworks.policy.bound import FRAME_TOKENS, Price, Shape, counted_bound, worst_case
from swarmworks.policy.clamp import FLOOR_TOKENS
from swarmworks.policy.delta import ITEM_TOKENS
from swarmworks.provider.openai import ChatCompletions
from tests.provider.test_conversation import ANSWER, LIST, START
from tests.provider.test_media import PDF, PNG, carried
from tests.service.gateway.plant import HELLO, KINDS, PRICE, RATE_IN, plant, quick, vendor, worded
from tests.service.gateway.test_budget import until
from tests.service.gateway.upstream import Answer

CAP = "x-swarmworks-output-cap"
LONG = "word " * 400
FORMAT = {"openai": "chat"}
COUNTING = ["anthropic", "google"]


def format_of(kind):
    return FORMAT.get(kind, kind)


def conversation(kind, *more, cap=50):
    """Long enough for its bytes to be far above what a provider counts."""
    name = format_of(kind)
    body = json.loads(json.dumps(START[name]).replace('"one"', json.dumps(LONG)))
    body[LIST[name]].extend(more)
    if kind == "google":
        return {**body, "generationConfig": {"maxOutputTokens": cap}}
    return {**body, {"responses": "max_output_tokens"}.get(kind, "max_tokens"): cap}


def answer_of(kind):
    return ANSWER[format_of(kind)]


def size(body):
    return len(json.dumps(body))


def asked(p, kind, body, **more):
    return p.ask(kind, {"stream": False}, data=json.dumps(body).encode(), **more)


def counted_input(call, cap):
    return call.reserved.tokens - cap


@pytest.mark.parametrize("kind", KINDS)
async def test_the_second_call_of_a_conversation_reserves_what_was_counted_and_what_is_new(kind):
    async with plant(kind, published=vendor(kind)) as p:
        p.upstream.script = lambda number, body: Answer(prompt=700 + number, completion=5)
        await asked(p, kind, conversation(kind))
        await asked(p, kind, conversation(kind, answer_of(kind)))
        first, second = await p.recorded(2)
        frame = FRAME_TOKENS + 1_000  # with tools
        assert counted_input(first, 50) == size(conversation(kind)) + frame
        assert counted_input(second, 50) == 700 + 5 + size(answer_of(kind)) + ITEM_TOKENS + frame
        assert second.reserved.nano_usd < first.reserved.nano_usd


@pytest.mark.parametrize("kind", KINDS)
async def test_a_streamed_call_is_remembered_before_its_end_is_told(kind):
    async with plant(kind, published=vendor(kind)) as p:
        p.upstream.script = lambda number, body: Answer(prompt=700, completion=5)
        for body in (conversation(kind), conversation(kind, answer_of(kind))):
            stream = {} if kind == "google" else {"stream": True}
            await p.ask(kind, {"stream": True}, data=json.dumps({**body, **stream}).encode())
        first, second = await p.recorded(2)
        assert second.reserved.tokens < first.reserved.tokens


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("edit", ["item", "tools", "elsewhere"])
async def test_an_edit_or_an_address_that_publishes_nothing_falls_back_to_the_bytes(kind, edit):
    published = vendor(kind, whole_input=edit != "elsewhere")
    async with plant(kind, published=published) as p:
        p.upstream.script = lambda number, body: Answer(prompt=700, completion=5)
        await asked(p, kind, conversation(kind))
        body = conversation(kind, answer_of(kind))
        if edit == "item":
            body = json.loads(json.dumps(body).replace("word word", "word Word", 1))
        elif edit == "tools":
            del body["tools"]
        await asked(p, kind, body)
        _first, second = await p.recorded(2)
        assert counted_input(second, 50) == size(body) + FRAME_TOKENS + (0 if edit == "tools" else 1_000)


async def test_another_model_knows_nothing_of_a_conversation():
    async with plant(published=vendor("openai"), sessions=1) as p:
        p.upstream.script = lambda number, body: Answer(prompt=700, completion=5)
        await asked(p, "openai", conversation("openai"))
        caller = await p.gateway._ledger.caller(p.tokens[0])
        body = conversation("openai", answer_of("openai"))
        [target] = p.gateway._targets(caller, None)
        demand = ChatCompletions().read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())
        bounds = p.gateway._desk.bounds
        same = bounds.of(target.upstream, "real-model", PRICE, ChatCompletions(), demand)
        other = bounds.of(target.upstream, "other-model", PRICE, ChatCompletions(), demand)
        assert same.match is not None
        assert other.match is None
        assert same.most_input < other.most_input == size(body) + FRAME_TOKENS + 1_000


async def test_usage_that_was_not_seen_or_cannot_be_true_is_not_remembered():
    async with plant(published=vendor("openai")) as p:
        p.upstream.script = lambda number, body: [Answer(omit_usage=True), Answer(prompt=3)][number % 2]
        for _ in range(3):
            await asked(p, "openai", conversation("openai"))
        calls = await p.recorded(3)
        assert {counted_input(call, 50) for call in calls} == {size(conversation("openai")) + FRAME_TOKENS + 1_000}


@pytest.mark.parametrize("kind", KINDS)
async def test_output_is_clamped_to_what_is_left_and_the_client_is_told(kind):
    body = worded(kind, {"max_tokens": 60_000})
    wanted, least = (
        worst_case(Shape(text_bytes=size(body), output_cap=cap), PRICE).nano_usd for cap in (60_000, FLOOR_TOKENS)
    )
    limits = SessionLimits(output_tokens_per_call=60_000)
    for limit, cap in ((wanted, None), (least, FLOOR_TOKENS), (least + 15_000 * 100 + 14_999, FLOOR_TOKENS + 100)):
        async with plant(kind, limit=limit, limits=limits) as p:
            status, _body, headers = await asked(p, kind, body)
            assert status == 200
            assert headers.get(CAP) == (None if cap is None else str(cap))
            [received] = p.upstream.received
            config = received.json.get("generationConfig", received.json)
            sent = next(config[key] for key in ("max_tokens", "max_output_tokens", "maxOutputTokens") if key in config)
            assert sent == (cap or 60_000)
    async with plant(kind, limit=least - 1, limits=limits) as p:
        assert (await asked(p, kind, body))[0] == 400
        assert p.upstream.received == []


@pytest.mark.parametrize("beside", ["day", "month", "agent"])
@pytest.mark.parametrize("unit", ["nano_usd", "tokens"])
async def test_what_is_left_beside_the_tree_clamps_as_well(beside, unit):
    body = worded("openai", {"max_tokens": 60_000})
    fitting = worst_case(Shape(text_bytes=size(body), output_cap=8_000), PRICE)
    limit = Limit(**{unit: getattr(fitting, unit)})
    agent_limit, windows = (limit, {}) if beside == "agent" else (Limit(), {Period(beside): limit})
    async with plant(limits=SessionLimits(output_tokens_per_call=60_000), agent_limit=agent_limit) as p:
        await p.store.transact(lambda tx: tx.set_windows("shop", "UTC", windows))
        status, _body, headers = await asked(p, "openai", body)
        assert (status, headers.get(CAP)) == (200, "8000")
        [call] = await p.recorded(1)
        assert getattr(call.reserved, unit) == getattr(fitting, unit)


@pytest.mark.parametrize("limits", [{"cost_nano_usd": 70_000_000}, {"tokens": 5_500}])
async def test_the_sessions_own_caps_clamp_too(limits):
    async with plant(limits=SessionLimits(output_tokens_per_call=60_000, **limits)) as p:
        status, _body, headers = await asked(p, "openai", worded("openai", {"max_tokens": 60_000}))
        assert status == 200
        [call] = await p.recorded(1)
        assert FLOOR_TOKENS < int(headers[CAP]) < 60_000
        assert call.reserved.nano_usd <= limits.get("cost_nano_usd", 10**12)
        assert call.reserved.tokens <= limits.get("tokens", 10**12)


async def test_a_session_whose_own_cap_is_held_waits_for_its_floor_instead_of_being_stopped():
    gate = asyncio.Event()
    limits = SessionLimits(output_tokens_per_call=60_000, tokens=11_000)
    async with plant(limits=limits) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate if number == 0 else None)
        first = asyncio.create_task(asked(p, "openai", worded("openai", {"max_tokens": 6_000})))
        await p.upstream.streaming.wait()
        second = asyncio.create_task(asked(p, "openai", worded("openai", {"max_tokens": 60_000})))
        await until(lambda: p.gateway._queue.waiting == 1)
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(first, second)] == [200, 200]


async def test_calls_at_once_share_what_is_left_and_never_pass_it():
    body = worded("openai", {"max_tokens": 60_000})
    least = worst_case(Shape(text_bytes=size(body), output_cap=FLOOR_TOKENS), PRICE).nano_usd
    gate = asyncio.Event()
    limits = SessionLimits(output_tokens_per_call=60_000)
    async with plant(limit=3 * least, sessions=5, limits=limits) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        calls = [asyncio.create_task(asked(p, "openai", body, token=token)) for token in p.tokens]
        await p.upstream.streaming.wait()
        totals = await p.totals()
        assert totals.held.nano_usd <= 3 * least
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(*calls)] == [200] * 5


async def test_a_call_that_was_clamped_thinks_less_in_every_format_that_says_how_much():
    limits = SessionLimits(output_tokens_per_call=60_000)
    body = {**worded("anthropic", {"max_tokens": 60_000}), "thinking": {"type": "enabled", "budget_tokens": 50_000}}
    limit = worst_case(Shape(text_bytes=size(body), output_cap=8_000), PRICE).nano_usd
    async with plant("anthropic", limit=limit, limits=limits) as p:
        assert (await asked(p, "anthropic", body))[0] == 200
        sent = p.upstream.received[0].json
        assert (sent["max_tokens"], sent["thinking"]) == (8_000, {"type": "enabled", "budget_tokens": 6_000})
    config = {"maxOutputTokens": 60_000, "thinkingConfig": {"thinkingBudget": 50_000, "includeThoughts": True}}
    body = {**worded("google", {}), "generationConfig": config}
    limit = worst_case(Shape(text_bytes=size(body), output_cap=8_000), PRICE).nano_usd
    async with plant("google", limit=limit, limits=limits) as p:
        assert (await asked(p, "google", body))[0] == 200
        thinking = {"thinkingBudget": 6_000, "includeThoughts": True}
        assert p.upstream.received[0].json["generationConfig"] == {"maxOutputTokens": 8_000, "thinkingConfig": thinking}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_a_server_that_knows_one_name_of_the_cap_alone_writes_no_more_than_was_reserved(name):
    """It generates all its window holds where no `max_tokens` stops it."""
    async with plant() as p:
        p.upstream.script = lambda number, body: Answer(completion=body.get("max_tokens", 30_000))
        body = {"messages": HELLO["messages"], name: 20}
        assert (await asked(p, "openai", body))[0] == 200
        assert (await asked(p, "openai", body))[0] == 200  # the account was not frozen


def worst_counted(tokens, cap=50):
    return worst_case(Shape(text_bytes=0, output_cap=cap), PRICE, counted_bound(tokens)).nano_usd


@pytest.mark.parametrize("kind", COUNTING)
async def test_a_call_whose_bytes_do_not_fit_is_counted_by_the_provider_and_fits(kind):
    async with plant(kind, limit=worst_counted(800), published=vendor(kind, counts=True)) as p:
        p.upstream.script = lambda number, body: Answer(prompt=800, counts=800)
        assert (await asked(p, kind, conversation(kind)))[0] == 200
        count, call = p.upstream.received
        assert count.path.endswith(("/count_tokens", ":countTokens"))
        inner = count.json.get("generateContentRequest", count.json)
        assert inner["model"] in ("real-model", "models/real-model")
        assert inner[LIST[kind]] == conversation(kind)[LIST[kind]]
        assert "max_tokens" not in inner
        assert "count" not in call.path
        [record] = await p.recorded(1)
        assert counted_input(record, 50) == counted_bound(800)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_fits_or_never_can_is_not_counted(kind):
    published = vendor(kind, counts=True)
    async with plant(kind, published=published) as p:
        assert (await asked(p, kind, conversation(kind)))[0] == 200
        assert len(p.upstream.received) == 1
    async with plant(kind, limit=1_000, published=published) as p:
        assert (await asked(p, kind, conversation(kind)))[0] == 400
        assert p.upstream.received == []


@pytest.mark.parametrize("answer", [Answer(status=429), Answer(status=500), Answer(counts=10**9), Answer(hang=True)])
async def test_a_count_that_fails_or_helps_nothing_leaves_the_bytes(answer):
    published, settings = vendor("anthropic", counts=True), quick(bound_count_s=0.2)
    async with plant("anthropic", limit=worst_counted(800), published=published, settings=settings) as p:
        p.upstream.script = lambda number, body: answer
        assert (await asked(p, "anthropic", conversation("anthropic")))[0] == 400
        assert len(p.upstream.received) == 1
        answer.free = True


async def test_how_often_the_gateway_counts_for_a_session_is_bounded():
    published, settings = vendor("anthropic", counts=True), quick(bound_counts_per_session=2)
    async with plant("anthropic", limit=worst_counted(900), published=published, settings=settings) as p:
        p.upstream.script = lambda number, body: Answer(prompt=1, completion=1, counts=800)
        said = json.dumps(conversation("anthropic"))
        for number, status in enumerate((200, 200, 400)):  # of which the first two fit once they are counted
            body = json.loads(said.replace(LONG, f"{number}{LONG}"))
            assert (await asked(p, "anthropic", body))[0] == status
        assert [each.path.endswith("/count_tokens") for each in p.upstream.received] == [True, False, True, False]


async def test_no_server_of_openais_formats_is_asked_to_count():
    async with plant("openai", limit=worst_counted(800), published=vendor("openai", counts=True)) as p:
        assert (await asked(p, "openai", conversation("openai")))[0] == 400
        assert p.upstream.received == []


@pytest.mark.parametrize("kind", KINDS)
async def test_an_image_reserves_its_published_maximum_and_is_passed_on_as_it_is(kind):
    body = carried(format_of(kind), "image/png", PNG)
    async with plant(kind, published=vendor(kind, image=1_500)) as p:
        p.upstream.script = lambda number, body: Answer(prompt=1_500)
        raw = json.dumps(body).encode()
        assert (await p.ask(kind, {}, data=raw))[0] == 200
        [call] = await p.recorded(1)
        cap = body.get("max_tokens", SessionLimits().output_tokens_per_call)
        assert counted_input(call, cap) == len(raw) - len(PNG) + 1_500 + FRAME_TOKENS
        assert PNG.encode() in p.upstream.received[0].body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("media_type", "data"), [("image/png", PNG), ("application/pdf", PDF)])
async def test_media_that_nothing_bounds_are_refused_by_place(kind, media_type, data):
    async with plant(kind, published=vendor(kind)) as p:
        status, told, _headers = await asked(p, kind, carried(format_of(kind), media_type, data))
        assert status == 400
        assert b"nothing bounds what" in told
        assert b"[0]" in told
        assert p.upstream.received == []


async def test_the_price_of_a_reservation_by_window_is_the_windows():
    price = Price(PRICE.rates, context_window=30_000)
    async with plant("anthropic", prices={"real-model": price}) as p:
        p.upstream.script = lambda number, body: Answer(prompt=25_000)
        assert (await asked(p, "anthropic", carried("anthropic", "application/pdf", PDF)))[0] == 200
        [call] = await p.recorded(1)
        assert counted_input(call, 9) == 31_500
        assert call.settled.nano_usd >= 25_000 * RATE_IN
