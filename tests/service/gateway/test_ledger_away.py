"""The ledger is away, full or on a clock that jumps: refused, nothing sent; what was sent is charged in the end."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.domain.session import SessionOutcome
from swarmworks.service.gateway import ledger
from swarmworks.store import postgres_connection
from swarmworks.store.postgres import open_postgres
from tests.chaos.on_postgres import a_server
from tests.postgres import a_store, needs_postgres
from tests.service.gateway.plant import RATE_IN, RATE_OUT, plant, quick
from tests.service.gateway.test_budget import WORST, until
from tests.service.gateway.upstream import Answer

EXACT = 10 * RATE_IN + 5 * RATE_OUT
ROOT = Path(__file__).resolve().parents[3]
MOUNT = 'mount --make-rprivate / && mount -t tmpfs -o size=8m tmpfs "$1" && exec "$2" -m "$3" "$1"'


@needs_postgres
async def test_without_its_database_server_nothing_is_sent_and_what_was_is_charged_when_it_is_back(monkeypatch):
    monkeypatch.setattr(ledger, "SETTLE_AGAIN_S", 0.05)
    monkeypatch.setattr(postgres_connection, "PATIENCE_S", 0.2)
    gate = asyncio.Event()
    with a_server() as server:
        store = await open_postgres(f"{server.address}/postgres", SystemClock(), RandomIds())
        async with plant(opened=store) as p:
            p.upstream.script = lambda number, body: Answer(gate=gate) if number == 0 else Answer()
            under_way = asyncio.create_task(p.ask("openai"))
            await p.upstream.streaming.wait()
            server.stop()
            for stream in (False, True):
                status, body, headers = await p.ask("openai", {"stream": stream})
                assert status == 503
                assert json.loads(body)["error"]["code"] == "store_unavailable"
                assert int(headers["retry-after"]) > 0
            gate.set()
            assert (await under_way)[0] == 200
            assert len(p.upstream.received) == 1
            await asyncio.to_thread(server.start)
            await asyncio.gather(*p.gateway._ledger._later)
            assert (await p.totals()).spent.nano_usd == EXACT
            assert (await p.ask("openai"))[0] == 200
            await until(lambda: len(p.upstream.received) == 2)


@pytest.mark.sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="LEFT OUT: a small disk can be mounted by root only")
def test_on_a_full_disk_nothing_is_sent_and_what_was_is_charged_when_there_is_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNT, "sh", disk, sys.executable, "tests.service.gateway.full_disk"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["refused"]["status"] == 503
    assert "full" in told["refused"]["body"]
    assert told["refused"]["sent"] == 0
    assert told["open"] > 0
    assert (told["under_way"], told["again"]) == (200, 200)
    assert told["spent"] == told["true"]


@pytest.mark.parametrize("hours", [-24, 24])
async def test_a_clock_that_jumps_changes_no_bill_and_no_wait(monkeypatch, hours):
    real, jump, gate = SystemClock.now, timedelta(0), asyncio.Event()
    monkeypatch.setattr(SystemClock, "now", lambda clock: real(clock) + jump)
    async with plant(limit=2 * WORST - 1, sessions=2) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        first = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        waiting = asyncio.create_task(p.ask("openai", token=p.tokens[1]))
        await until(lambda: p.gateway._queue.waiting == 1)
        jump = timedelta(hours=hours)
        gate.set()
        assert [status for status, _body, _headers in await asyncio.gather(first, waiting)] == [200, 200]
        calls = await p.recorded(2)
        assert [call.settled.nano_usd for call in calls] == [EXACT, EXACT]
        assert all(0 <= call.duration_s < 60 for call in calls)


@needs_postgres
async def test_a_token_that_another_control_plane_has_just_revoked_is_refused_even_in_the_queue():
    database, gate = a_store(), asyncio.Event()
    store = await open_postgres(database, SystemClock(), RandomIds())
    elsewhere = await open_postgres(database, SystemClock(), RandomIds())
    async with plant(opened=store, limit=2 * WORST - 1, sessions=2, others=True, settings=quick(queue_poll_s=60)) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        first = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        waiting = asyncio.create_task(p.ask("openai", token=p.tokens[1]))
        await until(lambda: p.gateway._queue.waiting == 1)
        await elsewhere.transact(lambda tx: tx.end_session(p.sessions[1], SessionOutcome.KILLED, None))
        assert (await p.ask("openai", token=p.tokens[1]))[0] == 401
        gate.set()
        assert [status for status, _body, _headers in await asyncio.gather(first, waiting)] == [200, 401]
        assert len(p.upstream.received) == 1
    await elsewhere.close()
