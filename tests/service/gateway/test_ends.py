"""How a stream ends: what a provider still says behind its end counts, and nobody waits for one that says no more."""

import asyncio
import json

import pytest

from swarmworks.base.errors import StoreUnavailableError
from tests.service.gateway.plant import KINDS, RATE_IN, RATE_OUT, plant, quick
from tests.service.gateway.upstream import Answer, chat_usage, event

EXACT = 10 * RATE_IN + 5 * RATE_OUT


def more_usage(completion):
    usage = chat_usage(Answer(completion=completion))
    return event({"object": "chat.completion.chunk", "choices": [], "usage": usage})


@pytest.mark.parametrize(("behind", "charged"), [(40, 40), (1, 5)])
async def test_usage_behind_the_end_is_charged_where_it_is_larger(behind, charged):
    async with plant() as p:
        p.upstream.script = lambda number, body: Answer(tail=more_usage(behind))
        status, body, _headers = await p.ask("openai", {"stream": True})
        assert (status, body.count(b"[DONE]"), b"usage" in body) == (200, 1, False)
        [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.estimated) == (10 * RATE_IN + charged * RATE_OUT, False)


async def test_an_error_behind_the_end_makes_the_cost_unknown():
    async with plant() as p:
        p.upstream.script = lambda number, body: Answer(tail=b'data: {"error":{"message":"no"}}\n\n')
        await p.ask("openai", {"stream": True})
        [call] = await p.recorded(1)
        assert (call.settled == call.reserved, call.estimated) == (True, True)


@pytest.mark.parametrize("kind", ["openai", "responses", "anthropic"])
async def test_a_provider_that_does_not_close_its_stream_keeps_nobody_waiting_and_has_not_failed(kind):
    async with plant(kind, settings=quick(after_end_s=0.05, idle_s=60)) as p:
        p.upstream.script = lambda number, body: Answer(linger=asyncio.Event())
        for number in range(6):
            async with asyncio.timeout(10):
                status, body, _headers = await p.ask(kind, {"stream": True})
            assert (status, b"stream_cut" in body) == (200, False)
            call = (await p.recorded(number + 1))[-1]
            assert (call.settled.nano_usd, call.estimated, call.refusal) == (EXACT, False, None)
        assert [row.state for row in p.gateway.providers()] == ["answers"]


async def test_what_is_said_before_the_end_is_passed_on_while_the_end_is_waited_for():
    linger = asyncio.Event()
    async with plant(settings=quick(after_end_s=60)) as p:
        p.upstream.script = lambda number, body: Answer(linger=linger)
        async with p.post("openai", {"stream": True}) as response:
            heard = b""
            while b'"stop"' not in heard:
                heard += await response.content.readany()
            assert b"[DONE]" not in heard
            linger.set()
            assert b"[DONE]" in await response.read()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_settlement_that_somebody_else_made_while_the_store_goes_away_ends_the_call_and_its_turn(kind):
    gate = asyncio.Event()
    async with plant(kind) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        asking = asyncio.create_task(p.ask(kind))
        await p.upstream.streaming.wait()
        await p.store.transact(lambda tx: tx.recover_reservations())
        reads, p.store.read = p.store.read, unavailable
        gate.set()
        status, body, _headers = await asking
        assert status == 200
        assert json.loads(body)
        [call] = await p.recorded(1)
        assert (call.settled, call.estimated) == (None, True)
        assert p.gateway.accounts.by_provider["p"][0].in_flight == 0
        p.store.read = reads


async def unavailable(_look):
    raise StoreUnavailableError("the connection was lost")
