"""The gateway, with its ledger on disk, beside the same calls made directly to the same provider, through the gateway
without its ledger, and through the LiteLLM proxy without budgets; one run, one machine.

A provider, the gateway and the clients are a process each. Requests of 100 KB, answers of 50 streamed events, 50 at once.
Once with a provider that answers instantly (all that is measured is work) and once with one that thinks for 200 ms and
streams for half a second, as a fast real one does. At last 500 streams at once, and the memory they take.
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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import psutil
from tests.service.gateway.plant import serving
from tests.service.gateway.running import open_running

from bench.litellm_proxy import KEY, MODEL, litellm
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds, ReservationId
from swarmworks.domain.budget import Reservation, ReservationState
from swarmworks.domain.session import SessionLimits
from swarmworks.policy.bound import Price, Rates
from swarmworks.provider.prices import PriceTable
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.record import GatewaySettings, Upstream
from swarmworks.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.domain.budget import Amount
    from swarmworks.service.gateway.ledger import Caller, Ledger

ROOT = Path(__file__).resolve().parents[1]
DATABASE = "swarm.db"
EVENTS = 50
BODY = json.dumps(
    {"model": MODEL, "max_tokens": 100, "stream": True, "messages": [{"role": "user", "content": "x" * 100_000}]}
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
                if b"content-length:" not in header:  # a proxy that looks what is here
                    writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                    continue
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


async def prepared(folder: Path, sessions: int) -> None:
    """A swarm with sessions at work, as a control plane that is started again finds it."""
    store, _ids, _tokens = await open_running(folder / DATABASE, limit=10**15, sessions=sessions, model="p:real-model")
    await store.close()


async def gateway(folder: str, provider_url: str, *, enforced: bool) -> None:
    """Without `enforced` nothing is reserved or settled, and who calls is looked up once: what is left is the relay."""
    store = await open_store(Path(folder) / DATABASE, SystemClock(), RandomIds())
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
    if not enforced:
        found._ledger = Unenforced(found._ledger)  # noqa: SLF001 - what is measured is what it costs
    async with serving(found) as url:
        print(url, flush=True)
        await asyncio.Event().wait()


class Unenforced:
    """In the place of the ledger: every call is let through, and nothing of it is written down."""

    def __init__(self, real: Ledger) -> None:
        self._real = real
        self._callers: dict[str, Caller] = {}

    async def caller(self, token: str) -> Caller:
        if token not in self._callers:
            self._callers[token] = await self._real.caller(token)
        return self._callers[token]

    async def before(self, _caller: Caller) -> tuple[int, str | None]:
        return 0, None

    async def money_is_bounded(self, _caller: Caller) -> bool:
        return True

    async def reserve(self, caller: Caller, model: str, amount: Amount, *_more: object) -> Reservation:
        session, now = caller.session, datetime.now(UTC)
        return Reservation(
            id=ReservationId("res"),
            account_id=session.account_id,
            session_id=session.id,
            swarm_id=session.swarm_id,
            state=ReservationState.SENT,
            model=model,
            reserved=amount,
            settled=None,
            usage=None,
            estimated=False,
            opened_at=now,
            ended_at=None,
            provider_request_id=None,
        )

    async def settle(self, reservation: Reservation, *_more: object) -> Reservation:
        return reservation

    async def close(self) -> None:
        await self._real.close()


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[tuple[str, psutil.Process]]:
    """Another part of this program; the URL it prints, and its process."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    child = subprocess.Popen(
        [sys.executable, "-m", "bench.bench_gateway", *arguments],
        cwd=ROOT,
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


@dataclass(frozen=True)
class Measured:
    first_ms: float
    first_p95_ms: float
    calls_per_s: float
    cpu_ms: float = 0.0  # of one call
    memory_mb: float = 0.0  # at most, while the calls ran

    def line(self, name: str) -> str:
        own = f"   CPU {self.cpu_ms:6.2f} ms a call, {self.memory_mb:4.0f} MB" if self.memory_mb else ""
        first = f"first event p50 {self.first_ms:8.1f} ms  p95 {self.first_p95_ms:8.1f} ms"
        return f"  {name:22} {first}  {self.calls_per_s:6.0f} calls/s{own}"


async def load(url: str, calls: int, at_once: int, token: str, process: psutil.Process | None = None) -> Measured:
    first: list[float] = []
    todo = iter(range(calls))
    memory: list[int] = []

    async def client(number: int) -> None:
        headers = {"authorization": f"Bearer {token.format(number)}", "content-type": "application/json"}
        for _ in todo:
            began = time.perf_counter()
            async with session.post(f"{url}/v1/chat/completions", data=BODY, headers=headers) as response:
                assert response.status == 200, await response.text()
                await response.content.readline()
                first.append(time.perf_counter() - began)
                body = await response.read()
                assert body.rstrip().endswith(b"[DONE]"), body[-200:]

    async def watch() -> None:
        while process is not None:
            memory.append(process.memory_info().rss)
            await asyncio.sleep(0.1)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        watching = asyncio.create_task(watch())
        before = sum(process.cpu_times()[:2]) if process else 0.0
        began = time.perf_counter()
        await asyncio.gather(*(client(number) for number in range(at_once)))
        took = time.perf_counter() - began
        spent = sum(process.cpu_times()[:2]) - before if process else 0.0
        watching.cancel()
    p95 = statistics.quantiles(first, n=20)[-1]
    most = max(memory, default=0) / 1e6
    return Measured(statistics.median(first) * 1e3, p95 * 1e3, calls / took, spent / calls * 1e3, most)


def through(url: str, calls: int, at_once: int, token: str, of: psutil.Process) -> Measured:
    """After one round of calls that are not counted."""
    asyncio.run(load(url, at_once, at_once, token))
    return asyncio.run(load(url, calls, at_once, token, of))


def measure(think_s: float, gap_s: float, calls: int, at_once: int, peer_calls: int) -> None:
    print(f"{at_once} at once, provider thinks {think_s * 1e3:.0f} ms, {gap_s * 1e3:.0f} ms an event")
    with (
        tempfile.TemporaryDirectory(dir=ROOT, prefix="bench-gateway-") as folder,
        process("provider", str(think_s), str(gap_s)) as (provider_url, _provider),
    ):
        direct = asyncio.run(load(provider_url, calls, at_once, "none"))
        print(direct.line("direct"), flush=True)
        found: dict[str, Measured] = {}
        for name in ("gateway", "gateway, not enforced"):
            path = Path(folder) / name
            path.mkdir()
            kind = "gateway" if name == "gateway" else "relay"
            asyncio.run(prepared(path, at_once))
            with process(kind, str(path), provider_url) as (url, child):
                found[name] = through(url, calls, at_once, "swk_{}", child)
            print(found[name].line(name), flush=True)
        ours, relay = found["gateway"], found["gateway, not enforced"]
        with litellm(folder, provider_url) as started:
            peer = None if started is None else through(started[0], peer_calls, at_once, KEY, started[1])
    print(
        f"  gateway / direct: first event {ours.first_ms / direct.first_ms:.2f}x (goal 1.3x where the provider thinks), "
        f"CPU {ours.cpu_ms:.2f} ms a call (goal 2 ms)"
    )
    print(
        f"  enforcement: {ours.cpu_ms - relay.cpu_ms:.2f} ms CPU a call, "
        f"{ours.first_ms - relay.first_ms:.1f} ms to the first event"
    )
    if peer is None:
        print("  litellm: NOT MEASURED: not installed, run `make bench`, which puts the peers into .venv-bench")
        return
    print(peer.line("litellm, no budgets"))
    print(
        f"  gateway / litellm: {ours.calls_per_s / peer.calls_per_s:.1f}x calls/s (goal 8x where the provider answers at "
        f"once), CPU {ours.cpu_ms / peer.cpu_ms:.2f}x, first event {ours.first_ms / peer.first_ms:.3f}x"
    )


def streams(at_once: int) -> None:
    """So many streams at the same time through one gateway, and its memory."""
    print(f"{at_once} streams at once")
    with (
        tempfile.TemporaryDirectory(dir=ROOT, prefix="bench-gateway-") as folder,
        process("provider", "0.2", "0.05") as (provider_url, _provider),
    ):
        asyncio.run(prepared(Path(folder), at_once))
        direct = asyncio.run(load(provider_url, 2 * at_once, at_once, "none"))
        with process("gateway", folder, provider_url) as (url, child):
            ours = through(url, 2 * at_once, at_once, "swk_{}", child)
    print(direct.line("direct"))
    print(ours.line("gateway"))
    print(f"  memory of the gateway {ours.memory_mb:.0f} MB (goal 150 MB)")


def run(*, smoke: bool) -> None:
    calls, at_once, peer_calls = (20, 5, 10) if smoke else (1_500, 50, 300)
    for think_s, gap_s in ((0.0, 0.0), (0.2, 0.01)):
        measure(think_s, gap_s, calls, at_once, peer_calls)
    streams(20 if smoke else 500)


if __name__ == "__main__":
    part, *given = sys.argv[1:]
    if part == "provider":
        asyncio.run(provider(float(given[0]), float(given[1])))
    else:
        asyncio.run(gateway(given[0], given[1], enforced=part == "gateway"))
