"""A gateway killed in the middle: what was sent is charged in full, the limit still holds."""

import asyncio
import contextlib
import json
import os
import random
import sys
from pathlib import Path

import aiohttp
import pytest

import swarmworks
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.policy.bound import Shape, worst_case
from swarmworks.store.sqlite import open_store
from tests.service.gateway.plant import HELLO, PRICE, RATE_IN, RATE_OUT
from tests.service.gateway.running import SWARM, open_running, recovered, swarm_totals
from tests.service.gateway.upstream import Answer, Upstream

BODY = json.dumps({"model": "any", "max_tokens": 50, "stream": True, **HELLO}).encode()
WORST = worst_case(Shape(text_bytes=len(BODY), output_cap=50), PRICE).nano_usd
ROOT = Path(__file__).resolve().parents[3]


@contextlib.asynccontextmanager
async def gateway_process(database, upstream_url):
    """Its URL and a way to kill it."""
    source = str(Path(swarmworks.__file__).parents[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.service.gateway.process",
        str(database),
        upstream_url,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": source},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield (await process.stdout.readline()).decode().strip(), process.kill
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        process._transport.close()


async def call(client, url, token):
    with contextlib.suppress(aiohttp.ClientError):
        async with client.post(
            f"{url}/v1/chat/completions", data=BODY, headers={"authorization": f"Bearer {token}"}
        ) as response:
            await response.read()
            return response.status
    return None


async def reopened(database):
    store = await open_store(database, SystemClock(), RandomIds())
    return store, await store.transact(recovered)


@pytest.mark.chaos
async def test_a_stream_under_way_when_the_gateway_is_killed_is_charged_in_full(tmp_path):
    database = tmp_path / "swarm.db"
    store, _ids, tokens = await open_running(database, limit=10 * WORST, sessions=2, model="p:real-model")
    await store.close()
    async with Upstream() as upstream, aiohttp.ClientSession() as client:
        gate = asyncio.Event()
        upstream.script = lambda number, body: Answer() if number == 0 else Answer(gate=gate, gate_at=2)
        async with gateway_process(database, upstream.url) as (url, kill):
            assert await call(client, url, tokens[0]) == 200
            cut = asyncio.create_task(call(client, url, tokens[1]))
            await upstream.streaming.wait()
            kill()
            await cut
        store, [lost] = await reopened(database)
        assert lost.estimated
        assert lost.settled == lost.reserved
        totals = await store.read(swarm_totals)
        assert totals.spent.nano_usd == 10 * RATE_IN + 5 * RATE_OUT + lost.reserved.nano_usd
        assert totals.held.nano_usd == 0
        await store.close()


@pytest.mark.chaos
async def test_killed_again_and_again_the_bill_stays_below_the_ledger_and_the_ledger_below_the_limit(tmp_path):
    rng = random.Random(7)
    database, limit = tmp_path / "swarm.db", 12 * WORST
    store, _ids, tokens = await open_running(database, limit=limit, sessions=4, model="p:real-model")
    await store.close()
    async with Upstream() as upstream, aiohttp.ClientSession() as client:
        upstream.script = lambda number, body: Answer(completion=rng.randint(0, 50))
        for _round in range(3):
            async with gateway_process(database, upstream.url) as (url, kill):
                calls = [asyncio.create_task(call(client, url, token)) for token in tokens * 3]
                for _ in range(rng.randint(1, 5)):
                    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=5)
                kill()
                await asyncio.gather(*calls)
        store, _recovered = await reopened(database)
        totals = await store.read(swarm_totals)
        peak = (await store.read(lambda reader: reader.peak(SWARM))).peak
        assert upstream.received
        assert upstream.true_cost(RATE_IN, RATE_OUT) <= totals.spent.nano_usd <= limit
        assert peak.nano_usd <= limit
        assert totals.held.nano_usd == 0
        await store.close()
