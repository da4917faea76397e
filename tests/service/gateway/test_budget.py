"""The budget holds: refused when it is spent, waiting when it is held, never exceeded."""

import asyncio
import json
import random

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.domain.budget import Limit, Period
from swarmworks.policy.bound import Shape, worst_case
from tests.service.gateway.plant import HELLO, KINDS, PRICE, plant, quick, worded
from tests.service.gateway.upstream import Answer

BODY = json.dumps({"model": "whatever", "max_tokens": 50, **HELLO}).encode()
WORST = worst_case(Shape(text_bytes=len(BODY), output_cap=50), PRICE).nano_usd


def worst_of(kind):
    size = len(json.dumps(worded(kind, {})).encode())
    return worst_case(Shape(text_bytes=size, output_cap=50), PRICE).nano_usd


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_cannot_fit_is_refused_before_a_byte_is_sent(kind):
    async with plant(kind, limit=worst_of(kind) - 1) as p:
        status, body, headers = await p.ask(kind)
        assert status == 400
        told = json.loads(body)["error"]
        assert told.get("type") == "invalid_request_error" or told["status"] == "INVALID_ARGUMENT"
        assert headers["x-should-retry"] == "false"
        [call] = await p.recorded(1)
        assert (call.refusal, call.stop, call.reserved) == ("budget", True, None)
        assert p.upstream.received == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_fits_exactly_is_sent(kind):
    async with plant(kind, limit=worst_of(kind)) as p:
        assert (await p.ask(kind))[0] == 200


async def test_a_call_waits_while_another_holds_the_money_and_then_goes_first_come_first_served():
    gate = asyncio.Event()
    async with plant(limit=2 * WORST - 1, sessions=4) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        first = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        waiting = []
        for number in (1, 2, 3):
            waiting.append(asyncio.create_task(p.ask("openai", token=p.tokens[number])))
            await until(lambda number=number: p.gateway._queue.waiting == number)
        assert len(p.upstream.received) == 1
        gate.set()
        answers = await asyncio.gather(first, *waiting)
        assert [status for status, _body, _headers in answers] == [200] * 4
        calls = await p.recorded(4)
        assert [call.session_id for call in calls] == p.sessions


async def test_a_small_call_does_not_pass_a_large_one_that_waits():
    gate = asyncio.Event()
    async with plant(limit=2 * WORST - 1, sessions=3) as p:
        p.upstream.script = lambda number, body: Answer(completion=1, gate=gate)
        first = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        large = asyncio.create_task(p.ask("openai", token=p.tokens[1]))
        await until(lambda: p.gateway._queue.waiting == 1)
        small = asyncio.create_task(p.ask("openai", {"max_tokens": 1}, token=p.tokens[2]))
        await until(lambda: p.gateway._queue.waiting == 2)
        assert len(p.upstream.received) == 1
        gate.set()
        assert [answer[0] for answer in await asyncio.gather(first, large, small)] == [200] * 3
        assert [received.json["max_tokens"] for received in p.upstream.received] == [50, 50, 1]


async def test_waiting_ends_with_a_429_that_says_when_to_come_back():
    clock, gate = ManualClock(), asyncio.Event()
    async with plant(limit=2 * WORST - 1, sessions=2, clock=clock) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        first = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        second = asyncio.create_task(p.ask("openai", token=p.tokens[1]))
        await until(lambda: p.gateway._queue.waiting == 1)
        clock.advance(59)
        assert not second.done()
        clock.advance(1)
        status, body, headers = await second
        assert status == 429
        assert int(headers["retry-after"]) > 0
        assert json.loads(body)["error"]["type"] == "rate_limit_error"
        [call] = await p.recorded(1)
        assert (call.refusal, call.stop) == ("busy", False)
        gate.set()
        assert (await first)[0] == 200
        assert len(p.upstream.received) == 1


async def test_a_line_has_an_end_and_a_client_may_leave_it():
    gate = asyncio.Event()
    async with plant(limit=2 * WORST - 1, sessions=3, settings=quick(queue_length=1)) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        first = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        second = asyncio.create_task(p.ask("openai", token=p.tokens[1]))
        await until(lambda: p.gateway._queue.waiting == 1)
        assert (await p.ask("openai", token=p.tokens[2]))[0] == 429
        second.cancel()
        await until(lambda: p.gateway._queue.waiting == 0)
        gate.set()
        assert (await first)[0] == 200
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("seed", range(8))
async def test_many_clients_on_a_small_budget_never_exceed_it(seed):
    rng = random.Random(seed)
    kind = KINDS[seed % len(KINDS)]

    def script(number, body):
        return rng.choice(
            [
                Answer(completion=rng.randint(0, 50)),
                Answer(completion=50, cut_after=rng.randint(0, 4)),
                Answer(omit_usage=True),
                Answer(error_after=2),
                Answer(status=rng.choice([400, 429, 500])),
            ]
        )

    worst = worst_of(kind)
    limit = rng.randint(2, 12) * worst
    async with plant(kind, limit=limit, sessions=6, settings=quick(queue_s=0.3)) as p:
        p.upstream.script = script

        async def client(token):
            for _ in range(6):
                status, _body, _headers = await p.ask(kind, {"stream": rng.random() < 0.5}, token)
                if status == 400 and (await p.totals()).spent.nano_usd + worst > limit:
                    return

        async with asyncio.TaskGroup() as group:
            for token in p.tokens:
                group.create_task(client(token))
        assert p.upstream.received


async def until(true):
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 - the queue has no event for tests
            await asyncio.sleep(0)  # a turn of the loop, not a wait


async def test_a_model_without_a_price_is_refused_where_only_the_day_is_bounded_in_money():
    async with plant(limit=None, prices={}) as p:
        p.wrong_on_purpose = True  # without a price its cost is not in the books
        status, *_ = await p.ask("openai")
        assert status == 200
        await p.store.transact(lambda tx: tx.set_windows("shop", "UTC", {Period.DAY: Limit(10**9)}))
        status, body, _ = await p.ask("openai")
        assert (status, b"has no price" in body) == (400, True)
        assert len(p.upstream.received) == 1


async def test_a_call_that_a_whole_day_does_not_hold_is_refused_at_once_and_not_told_to_come_again():
    async with plant(limit=None) as p:
        await p.store.transact(lambda tx: tx.set_windows("shop", "UTC", {Period.DAY: Limit(1)}))
        status, body, headers = await p.ask("openai")
        assert (status, headers["x-should-retry"]) == (400, "false")
        assert b"the budget of day shop/" in body
        assert p.upstream.received == []
