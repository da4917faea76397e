"""Clients, gateways and a provider as processes of their own, every fault at the provider, and the gateways killed at random:
the provider's own log never says more than the ledger, the ledger never more than the limit, and nothing that was refused
reached the provider.

One short seed each by default; `SWARM_CHAOS_GATEWAY=20` (or `7-9`) for a long run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.policy.bound import Shape, worst_case
from swarmworks.store.postgres import open_postgres
from swarmworks.store.sqlite import open_store
from tests.chaos.on_postgres import a_server
from tests.postgres import needs_postgres
from tests.scenario.driver import SOURCE
from tests.service.gateway.plant import PRICE
from tests.service.gateway.running import SWARM, begin_running, recovered, swarm_totals

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
MODELS = {"openai": "p", "responses": "p", "anthropic": "anthropic", "google": "google"}
CLIENTS = 3
WORST = worst_case(Shape(text_bytes=250, output_cap=200), PRICE).nano_usd
REPLICAS = 3
FROZEN_S = 2.0
"""Twice as long as a replica may be silent: whoever was away that long has been given up."""
MOST_S = 400.0
POLL_S = 0.02
SENT_NOTHING = frozenset({
    "budget_exceeded", "budget_busy", "session_cap", "account_closed", "too_many_calls", "unauthenticated",
    "store_unavailable", "rejected",
})  # fmt: skip
SETTLED = "SELECT coalesce(sum(coalesce(settled_nano_usd, reserved_nano_usd)), 0) FROM reservation"
LEFT_OVER = "SELECT (SELECT count(*) FROM replica), (SELECT count(*) FROM reservation WHERE state = 'sent')"
OF_CALLS = "SELECT provider_request_id, settled_nano_usd FROM reservation"


def seeds() -> list[int]:
    wanted = os.environ.get("SWARM_CHAOS_GATEWAY", "1")
    first, _, last = wanted.rpartition("-")
    return list(range(int(first), int(last) + 1)) if first else list(range(int(wanted)))


LONG = "SWARM_CHAOS_GATEWAY" in os.environ
CALLS, BLOWS = (25, 12) if LONG else (8, 3)


def listener() -> socket.socket:
    made = socket.create_server(("127.0.0.1", 0), backlog=1_000)
    made.set_inheritable(True)
    return made


class Gateways:
    """`number` of them on one database, each started again at its own address by `man`."""

    def __init__(self, database: str, upstream_url: str, number: int, folder: Path) -> None:
        self._database, self._upstream_url = database, upstream_url
        self._listeners = [listener() for _ in range(number)]
        self._log = (folder / "gateways.log").open("ab")
        self.processes: list[subprocess.Popen[bytes] | None] = [None] * number

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{one.getsockname()[1]}" for one in self._listeners]

    def man(self, most: int) -> None:
        for at, process in enumerate(self.processes[:most]):
            if process is None or process.poll() is not None:
                self.processes[at] = self._begun(self._listeners[at].fileno())

    def _begun(self, descriptor: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            (
                sys.executable,
                "-m",
                "tests.service.gateway.process",
                self._database,
                self._upstream_url,
                str(descriptor),
            ),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            pass_fds=(descriptor,),
            stdout=self._log,
            stderr=self._log,
        )

    def living(self) -> list[subprocess.Popen[bytes]]:
        return [one for one in self.processes if one is not None and one.poll() is None]

    def send(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        process.send_signal(number)
        if number in {signal.SIGKILL, signal.SIGTERM}:
            process.wait(timeout=30)

    def close(self) -> None:
        for process in self.living():
            self.send(process, signal.SIGKILL)
        for each in self._listeners:
            each.close()
        self._log.close()


class Truth:
    """The provider's log, and what clients were told."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "upstream.log"
        self.log.touch()
        self.told = [folder / f"client-{number}.log" for number in range(CLIENTS)]

    def billed(self) -> dict[str, int]:
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines()]
        found = {line["mark"]: line["cost"] for line in lines}
        assert len(found) == len(lines), "a call was sent twice"
        return found

    def answers(self) -> list[dict]:
        return [json.loads(line) for path in self.told if path.exists() for line in path.read_bytes().splitlines()]


class Run:
    """`rows` asks the database in SQL of our own, past the store."""

    def __init__(self, rng: random.Random, truth: Truth, gateways: Gateways, limit: int, rows) -> None:
        self.rng, self.truth, self.gateways, self.limit, self._rows = rng, truth, gateways, limit, rows
        self.looks = 0

    def look(self) -> None:
        """At any moment: what the provider has billed by now, then the ledger."""
        true = sum(self.truth.billed().values())
        try:
            [[ledger]] = self._rows(SETTLED)
        except (psycopg.OperationalError, sqlite3.OperationalError):
            return
        self.looks += 1
        assert true <= int(ledger) <= self.limit, (true, ledger, self.limit)

    async def until(self, done, *, man: int) -> bool:
        deadline = time.monotonic() + MOST_S
        while not done():
            assert time.monotonic() < deadline, "nothing moves"
            self.gateways.man(man)
            self.look()
            await asyncio.sleep(POLL_S)
        return True

    async def blow(self, act, clients, *, man: int) -> None:
        """At a random moment some calls from now."""
        after = len(self.truth.billed()) + self.rng.randint(1, 6)
        await self.until(lambda: len(self.truth.billed()) >= after or over(clients), man=man)
        await asyncio.sleep(self.rng.uniform(0, POLL_S))
        if living := self.gateways.living():
            await act(self.rng.choice(living))
        self.look()

    def check(self, totals, peak) -> None:
        billed, answers = self.truth.billed(), self.truth.answers()
        calls = self._rows(OF_CALLS)
        assert billed
        assert self.looks > BLOWS
        assert sum(billed.values()) <= totals.spent.nano_usd <= self.limit
        assert peak.peak.nano_usd <= self.limit
        assert totals.held.nano_usd == 0
        assert len(billed) <= len(calls)
        assert sum(cost > 0 for cost in billed.values()) <= totals.calls  # a refusal that cost nothing is none
        assert uncovered(billed, calls) == []
        assert [one for one in answers if one["code"] in SENT_NOTHING and one["mark"] in billed] == []
        assert [one for one in answers if one["after_refusal"] and one["mark"] in billed] == []
        assert any(one["code"] == "budget_exceeded" for one in answers), "the budget was never reached"
        assert any(one["status"] == 200 for one in answers)


def uncovered(billed, calls):
    """What the provider billed for a call and no reservation paid for. Those that no answer came back for, or whose gateway
    died, do not know their call: the dearest of them stands for the dearest such call, and so on.
    """
    known = {mark: settled for mark, settled in calls if mark is not None}
    unknown = sorted((settled for mark, settled in calls if mark is None), reverse=True)
    lost = sorted((cost for mark, cost in billed.items() if mark not in known), reverse=True)
    short = [(mark, cost, known[mark]) for mark, cost in billed.items() if cost > known.get(mark, cost)]
    paid = [*unknown, *[0] * len(lost)]
    return short + [("lost", cost, settled) for cost, settled in zip(lost, paid, strict=False) if cost > settled]


def over(clients) -> bool:
    return all(client.poll() is not None for client in clients)


@contextlib.contextmanager
def upstream_process(truth: Truth, seed: int):
    command = (sys.executable, "-m", "tests.service.gateway.faulty", str(truth.log), str(seed))
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextlib.contextmanager
def client_processes(truth: Truth, urls, tokens, seed: int):
    kinds = [kind for _ in range(CLIENTS) for kind in MODELS]
    sessions = list(zip(kinds, tokens, strict=True))
    clients = []
    for number in range(CLIENTS):
        mine = sessions[number * len(MODELS) : (number + 1) * len(MODELS)]
        told = {"number": number, "seed": seed, "calls": CALLS, "urls": urls, "sessions": mine}
        process = subprocess.Popen(
            (sys.executable, "-m", "tests.service.gateway.caller"),
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            stdin=subprocess.PIPE,
        )
        process.stdin.write(json.dumps({**told, "log": str(truth.told[number])}).encode())
        process.stdin.close()
        clients.append(process)
    try:
        yield clients
    finally:
        for process in clients:
            process.kill()
            process.wait()


def limit_of(rng: random.Random) -> int:
    """Such that it is reached before the last call."""
    return rng.randint(CALLS, 2 * CALLS) * WORST


async def begun(store, limit):
    models = [f"{provider}:real-model" for _ in range(CLIENTS) for provider in MODELS.values()]
    _ids, tokens = await begin_running(store, limit=limit, models=models)
    await store.close()
    return tokens


async def checked(store, run: Run) -> None:
    totals = await store.read(swarm_totals)
    peak = await store.read(lambda reader: reader.peak(SWARM))
    assert await store.read(lambda reader: reader.open_reservations()) == []
    await store.close()
    run.check(totals, peak)


@pytest.mark.parametrize("seed", seeds())
async def test_one_gateway_on_a_file_killed_again_and_again(tmp_path, seed):
    rng = random.Random(seed)
    truth, limit, database = Truth(tmp_path), limit_of(rng), tmp_path / "swarm.db"
    tokens = await begun(await open_store(database, SystemClock(), RandomIds()), limit)

    def rows(statement):
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(statement).fetchall()

    with (
        upstream_process(truth, seed) as url,
        contextlib.closing(Gateways(str(database), url, 1, tmp_path)) as gateways,
    ):
        run = Run(rng, truth, gateways, limit, rows)
        with client_processes(truth, gateways.urls, tokens, seed) as clients:

            async def killed(process):
                gateways.send(process, signal.SIGKILL)

            for _ in range(BLOWS):
                await run.blow(killed, clients, man=1)
            await run.until(lambda: over(clients), man=1)
        for process in gateways.living():
            gateways.send(process, rng.choice((signal.SIGKILL, signal.SIGTERM)))
    store = await open_store(database, SystemClock(), RandomIds())
    await store.transact(recovered)
    await checked(store, run)


@needs_postgres
@pytest.mark.parametrize("seed", seeds())
async def test_three_gateways_on_one_ledger_killed_frozen_and_cut_off_again_and_again(tmp_path, seed):
    rng = random.Random(seed)
    truth, limit = Truth(tmp_path), limit_of(rng)
    with a_server() as server, upstream_process(truth, seed) as url:
        database = f"{server.address}/postgres"
        tokens = await begun(await open_postgres(database, SystemClock(), RandomIds()), limit)

        def rows(statement):
            with psycopg.connect(database) as connection:
                return connection.execute(statement).fetchall()

        with contextlib.closing(Gateways(database, url, REPLICAS, tmp_path)) as gateways:
            run = Run(rng, truth, gateways, limit, rows)
            acts = Acts(gateways, server)
            with client_processes(truth, gateways.urls, tokens, seed) as clients:
                for number in range(BLOWS):
                    await run.blow(acts.any(number, rng), clients, man=REPLICAS)
                await run.until(lambda: over(clients), man=REPLICAS)
            for process in gateways.living()[1:]:
                gateways.send(process, signal.SIGKILL)
            # The last one strikes the others off, and charges what they left open.
            await run.until(lambda: rows(LEFT_OVER) == [(1, 0)], man=1)
            for process in gateways.living():
                gateways.send(process, signal.SIGTERM)
        await checked(await open_postgres(database, SystemClock(), RandomIds()), run)


class Acts:
    """What befalls a replica, or all of them."""

    def __init__(self, gateways: Gateways, server) -> None:
        self._gateways, self._server = gateways, server

    def any(self, number: int, rng: random.Random):
        return (
            (self.killed, self.frozen, self.restarted)[number]
            if number < 3
            else rng.choice((self.killed, self.killed, self.frozen, self.restarted))
        )

    async def killed(self, process) -> None:
        self._gateways.send(process, signal.SIGKILL)

    async def frozen(self, process) -> None:
        """As a machine that is suspended: the others charge its calls, and then it goes on where it was."""
        self._gateways.send(process, signal.SIGSTOP)
        await asyncio.sleep(FROZEN_S)
        self._gateways.send(process, signal.SIGCONT)

    async def restarted(self, _process) -> None:
        self._server.stop()
        await asyncio.to_thread(self._server.start)
