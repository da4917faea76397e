"""What is large, packed or many: bodies to the limit, streams byte by byte, five hundred of them at once in little memory."""

import asyncio
import contextlib
import gzip
import json
import os
import sys
import zlib
from pathlib import Path

import aiohttp
import psutil
import pytest

import swarmworks
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.store.sqlite import open_store
from tests.service.gateway.plant import KINDS, RATE_IN, RATE_OUT, path_of, plant, quick, worded
from tests.service.gateway.raw import RawUpstream, exchange, http
from tests.service.gateway.running import begin_running, recovered, swarm_totals
from tests.service.gateway.test_faults import events_of
from tests.service.gateway.upstream import Answer, Upstream

ROOT = Path(__file__).resolve().parents[3]
EXACT = 10 * RATE_IN + 5 * RATE_OUT
MOST = 10_000_000
STREAMS = 500
MOST_RESIDENT_BYTES = 200_000_000
"""The goal is 150 MB; the figure of a quiet machine stands in the benchmarks."""
MOST_A_STREAM_BYTES = 220_000


def padded(kind, size):
    """A request of exactly that many bytes."""
    body = json.dumps(worded(kind, {})).replace("hello", "{}")
    return body.replace("{}", "a" * (size - len(body) + 2)).encode()


@pytest.mark.parametrize("kind", KINDS)
async def test_the_largest_body_passes_in_every_format_and_one_byte_more_does_not(kind):
    async with plant(kind, limit=10**15) as p:
        assert (await p.ask(kind, data=padded(kind, MOST)))[0] == 200
        status, body, headers = await p.ask(kind, data=padded(kind, MOST + 1))
        assert (status, headers["x-should-retry"]) == (413, "false")
        assert "shorter conversation" in json.loads(body)["error"]["message"]
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("framing", ["content-length: 900000000000", "transfer-encoding: chunked"])
async def test_a_body_that_is_too_large_is_refused_before_it_is_read(framing):
    async with plant(settings=quick(body_bytes=100_000)) as p:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {p.tokens[0]}\r\nconnection: close\r\n{framing}\r\n\r\n"
        sent = b"" if "length" in framing else b"186a1\r\n" + b"x" * 100_001 + b"\r\n"
        told = await exchange(p.url, head.encode() + sent)
        assert b" 413 " in told.split(b"\r\n")[0]
        assert p.ids.made == []


PACKED = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "GZIP": gzip.compress,
    "deflate": zlib.compress,
    "identity": bytes,
}


@pytest.mark.parametrize("encoding", PACKED)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_packed_body_is_unpacked_and_bounded_by_what_it_says(kind, encoding):
    async with plant(kind, limit=10**15) as p:
        raw = padded(kind, 200_000)
        status, _body, _headers = await p.ask(kind, data=PACKED[encoding](raw), headers={"content-encoding": encoding})
        assert status == 200
        [call] = await p.recorded(1)
        assert call.reserved.tokens > len(raw)
        assert "content-encoding" not in p.upstream.received[0].headers


BOMB = b"\0" * 100_000_000
BAD = {
    "a bomb": ("gzip", gzip.compress(BOMB), 413),
    "a deflated bomb": ("deflate", zlib.compress(BOMB), 413),
    "a bomb of bombs": ("gzip", gzip.compress(gzip.compress(BOMB)), 400),
    "another packing than said": ("deflate", gzip.compress(b"{}"), 400),
    "not packed": ("gzip", b'{"messages": []}', 400),
    "cut short": ("gzip", gzip.compress(b"x" * 10_000)[:-9], 400),
    "more behind it": ("gzip", gzip.compress(b"{}") + b"x", 400),
    "two members": ("gzip", gzip.compress(b"{}") + gzip.compress(b"{}"), 400),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(b"{}")), 400),
    "zstd": ("zstd", b"\x28\xb5\x2f\xfd", 400),
    "br": ("br", b"\x0b", 400),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_body_that_is_badly_packed_is_refused_with_the_mend(name):
    encoding, data, expected = BAD[name]
    async with plant() as p:
        status, body, headers = await p.ask("openai", data=data, headers={"content-encoding": encoding})
        assert (status, headers["x-should-retry"]) == (expected, "false")
        message = json.loads(body)["error"]["message"]
        assert encoding not in {"zstd", "br"} or "send gzip, deflate or plain" in message
        assert p.upstream.received == []
        assert p.ids.made == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_that_comes_byte_by_byte_is_relayed_and_charged_exactly(kind):
    stream = b"".join(events_of(kind))
    chunks = b"".join(b"1\r\n" + stream[at : at + 1] + b"\r\n" for at in range(len(stream))) + b"0\r\n\r\n"
    head = http(b"", b"transfer-encoding: chunked", content_type="text/event-stream", length=False)
    async with RawUpstream(head, pieces=chunks) as raw, plant(kind, base_url=raw.url) as p:
        more = {"stream_options": {"include_usage": True}} if kind == "openai" else {}
        status, body, _headers = await p.ask(kind, {"stream": True, **more})
        assert (status, body) == (200, stream)
        [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.estimated) == (EXACT, False)


@pytest.mark.slow
async def test_five_hundred_streams_at_once_are_served_in_little_memory_and_charged_exactly(tmp_path):
    database = tmp_path / "swarm.db"
    store = await open_store(database, SystemClock(), RandomIds())
    _ids, tokens = await begin_running(store, limit=10**15, models=["p:real-model"] * 50)
    await store.close()
    gate = asyncio.Event()
    async with Upstream() as upstream:
        upstream.script = lambda number, body: Answer(gate=gate, texts=("x" * 1_000,) * 5)
        async with gateway_process(database, upstream.url) as (url, process), session_without_limit() as client:
            resident = psutil.Process(process.pid).memory_info().rss
            data = padded("openai", 100_000).replace(b"{", b'{"stream": true, ', 1)
            calls = [asyncio.create_task(streamed(client, url, tokens[n % 50], data)) for n in range(STREAMS)]
            while len(upstream.received) < STREAMS or upstream.waiting < STREAMS:
                done = [call for call in calls if call.done()]
                assert done == []
                await asyncio.sleep(0.05)
            most = psutil.Process(process.pid).memory_info().rss
            gate.set()
            assert await asyncio.gather(*calls) == [200] * STREAMS
    print(f"{resident / 1e6:.0f} MB before, {most / 1e6:.0f} MB with {STREAMS} streams")  # noqa: T201
    assert most < MOST_RESIDENT_BYTES
    assert most - resident < STREAMS * MOST_A_STREAM_BYTES
    store = await open_store(database, SystemClock(), RandomIds())
    assert await store.transact(recovered) == []
    assert (await store.read(swarm_totals)).spent.nano_usd == STREAMS * EXACT
    await store.close()


def session_without_limit():
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def streamed(client, url, token, data):
    async with client.post(url + path_of("openai", {}), data=data, headers={"x-api-key": token}) as response:
        while await response.content.readany():
            pass
        return response.status


@contextlib.asynccontextmanager
async def gateway_process(database, upstream_url):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.service.gateway.process",
        str(database),
        upstream_url,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(swarmworks.__file__).parents[1]), "GATEWAY_PATIENCE_S": "250"},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield (await process.stdout.readline()).decode().strip(), process
    finally:
        process.terminate()
        await process.wait()
        process._transport.close()
