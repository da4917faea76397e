"""The gateway, with its ledger on disk, beside the same calls made directly to the same provider; one run, one machine.

A provider, the gateway and the clients are a process each. Requests of 100 KB, answers of 50 streamed events, 50 at once.
Once with a provider that answers instantly (all that is measured is work) and once with one that thinks for 200 ms and
streams for half a second, as a fast real one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import psutil
from tests.service.gateway.plant import serving
from tests.service.gateway.running import open_running

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.domain.session import SessionLimits
from swarmworks.policy.bound import Price, Rates
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.record import GatewaySettings, Upstream

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 50
BODY = json.dumps(
    {"model": "any", "max_tokens": 100, "stream": True, "messages": [{"role": "user", "content": "x" * 100_000}]}
).encode()


async def provider(think_s: float, gap_s: float) -> None:
    """A provider written by hand on asyncio's streams, so that it is not what is measured."""

    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data)

    text = b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"some words "}}]}\n\n'
    stop = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":20000,"completion_tokens":50,"total_tokens":20050}}\n\n'
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    end = chunk(stop) + chunk(usage) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                header = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(header.split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                await asyncio.sleep(think_s)
                writer.write(head + chunk(text))
                for _ in range(EVENTS - 1):
                    await asyncio.sleep(gap_s)
                    writer.write(chunk(text))
                    await writer.drain()
                writer.write(end)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, backlog=512)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


async def gateway(folder: str, provider_url: str, sessions: int) -> None:
    store, _ids, _tokens = await open_running(
        Path(folder) / "swarm.db", limit=10**15, sessions=sessions, model="p:real-model"
    )
    prices = PriceTable((), {"real-model": Price(Rates.of(input=3_000_000_000, output=15_000_000_000))})
    found = Gateway(
        store,
        {"p": Upstream("p", "openai", provider_url)},
        prices,
        SystemClock(),
        RandomIds(),
        GatewaySettings(),
        limits=lambda _session: SessionLimits(calls=10**9),
    )
    async with serving(found) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[tuple[str, psutil.Process]]:
    """Another part of this program; the URL it prints, and its process."""
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root / "src"), str(root)])
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.bench_gateway", *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip(), psutil.Process(child.pid)
    finally:
        child.kill()
        child.wait()


async def load(url: str, calls: int, at_once: int) -> tuple[float, float, float]:
    """Median and 95th percentile of the time to the first event (ms), and calls a second."""
    first: list[float] = []
    todo = iter(range(calls))

    async def client(number: int) -> None:
        headers = {"authorization": f"Bearer swk_{number}", "content-type": "application/json"}
        for _ in todo:
            began = time.perf_counter()
            async with session.post(f"{url}/v1/chat/completions", data=BODY, headers=headers) as response:
                assert response.status == 200, await response.text()
                await response.content.readline()
                first.append(time.perf_counter() - began)
                body = await response.read()
                assert body.rstrip().endswith(b"[DONE]")

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(at_once)))
        took = time.perf_counter() - began
    return statistics.median(first) * 1e3, statistics.quantiles(first, n=20)[-1] * 1e3, calls / took


def measure(think_s: float, gap_s: float, calls: int, at_once: int) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        process("provider", str(think_s), str(gap_s)) as (provider_url, _provider),
        process("gateway", folder, provider_url, str(at_once)) as (gateway_url, gateway_process),
    ):
        asyncio.run(load(gateway_url, at_once, at_once))
        direct = asyncio.run(load(provider_url, calls, at_once))
        before = sum(gateway_process.cpu_times()[:2])
        through = asyncio.run(load(gateway_url, calls, at_once))
        cpu_ms = (sum(gateway_process.cpu_times()[:2]) - before) / calls * 1e3
        memory = gateway_process.memory_info().rss / 1e6
    for name, row in (("direct", direct), ("gateway", through)):
        print(f"  {name:8} first event p50 {row[0]:7.1f} ms  p95 {row[1]:7.1f} ms  {row[2]:6.0f} calls/s")
    print(
        f"  gateway / direct: first event p50 {through[0] / direct[0]:.2f}x, calls/s {through[2] / direct[2]:.2f}x; "
        f"gateway CPU {cpu_ms:.2f} ms a call, {memory:.0f} MB"
    )


def run(*, smoke: bool) -> None:
    calls, at_once = (20, 5) if smoke else (1_500, 50)
    for think_s, gap_s in ((0.0, 0.0), (0.2, 0.01)):
        print(
            f"{at_once} at once, {calls} calls, provider thinks {think_s * 1e3:.0f} ms, {gap_s * 1e3:.0f} ms an event"
        )
        measure(think_s, gap_s, calls, at_once)


if __name__ == "__main__":
    part, *given = sys.argv[1:]
    if part == "provider":
        asyncio.run(provider(float(given[0]), float(given[1])))
    else:
        asyncio.run(gateway(given[0], given[1], int(given[2])))
