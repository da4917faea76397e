"""What is particular to the store on one SQLite file: its lock, its disk, its commits, and being killed."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import RandomIds
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.store.sqlite import open_store
from tests.store.sample import SWARM, planned, swarm_of

ROOT = Path(__file__).parents[2]


async def opened(path):
    return await open_store(path, SystemClock(), RandomIds())


async def test_a_second_control_plane_is_told_who_has_the_database(tmp_path):
    store = await opened(tmp_path / "a.db")
    with pytest.raises(StoreUnavailableError, match=f"pid {os.getpid()}") as caught:
        await opened(tmp_path / "a.db")
    assert caught.value.mend
    await store.close()
    await (await opened(tmp_path / "a.db")).close()


async def test_a_damaged_or_foreign_file_is_left_alone(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"not a database at all " * 100)
    with pytest.raises(StoreUnavailableError, match="not a database") as caught:
        await opened(path)
    assert caught.value.mend == "put a backup of the file back; keep this one aside"
    assert path.read_bytes() == b"not a database at all " * 100


async def test_a_page_that_was_overwritten_is_reported(tmp_path):
    path = tmp_path / "a.db"
    store = await opened(path)
    await store.transact(lambda tx: tx.insert_swarm(swarm_of(*(planned(f"t{n}") for n in range(200)))))
    await store.close()
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        for offset in range(4096 * 3, size, 4096):
            file.seek(offset)
            file.write(b"\xff" * 64)
    with pytest.raises(StoreUnavailableError):
        await read_all(path)


async def read_all(path):
    store = await opened(path)
    try:
        await store.read(lambda r: (r.tasks(SWARM), r.swarms(), r.workers()))
    finally:
        await store.close()


async def test_a_newer_schema_is_refused(tmp_path):
    path = tmp_path / "a.db"
    await (await opened(path)).close()
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.commit()
    raw.close()
    with pytest.raises(StoreUnavailableError, match="newer") as caught:
        await opened(path)
    assert "9999" in str(caught.value)
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]
    raw.close()


async def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnavailableError, match="cannot be written") as caught:
        await opened(tmp_path / "file" / "a.db")
    assert str(tmp_path / "file") in str(caught.value)


async def test_a_full_disk_refuses_the_step_and_the_store_goes_on(tmp_path):
    store = await opened(tmp_path / "a.db")
    await store.transact(lambda tx: tx.put_blob("before", b"x"))
    await store.transact(lambda tx: tx.db.pragma(f"max_page_count = {tx.db.pragma('page_count') + 4}"))
    asked = [
        store.transact(lambda tx, n=n, s=size: tx.put_blob(f"k{n}", b"y" * s)) for n, size in enumerate((9, 900_000, 9))
    ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), StoreUnavailableError, type(None)]
    assert "free space" in results[1].mend
    assert await store.read(lambda r: (r.blob("k0"), r.blob("k1"), r.blob("k2"))) == (b"y" * 9, None, b"y" * 9)
    await store.transact(lambda tx: tx.db.pragma("max_page_count = 1000000"))
    await store.transact(lambda tx: tx.put_blob("k1", b"y" * 900_000))
    await store.close()


async def test_the_promised_durability_is_switched_on(tmp_path):
    store = await opened(tmp_path / "a.db")
    names = ("journal_mode", "synchronous", "foreign_keys")
    found = await store.transact(lambda tx: [tx.db.pragma(name) for name in names])
    assert found == ["wal", 2, 1]
    await store.close()


async def test_many_steps_share_few_commits(tmp_path):
    store = await opened(tmp_path / "a.db")
    commits = []
    committed = store._writer._committed
    store._writer._committed = lambda swarms: (commits.append(1), committed(swarms))
    await asyncio.gather(*(store.transact(lambda tx, n=n: tx.put_blob(f"k{n}", b"v")) for n in range(100)))
    assert len(commits) < 20
    await store.close()


async def test_a_caller_that_gave_up_before_its_step_began_has_no_effect(tmp_path):
    store = await opened(tmp_path / "a.db")
    started, go = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow(_tx):
        loop.call_soon_threadsafe(started.set)
        go.wait(5)

    first = asyncio.ensure_future(store.transact(slow))
    await started.wait()
    second = asyncio.ensure_future(store.transact(lambda tx: tx.put_blob("k", b"v")))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    go.set()
    await first
    assert await store.read(lambda r: r.blob("k")) is None
    await store.close()


WRITER = """
import asyncio, sys
from pathlib import Path
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds, ReservationId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.store.sqlite import open_store
from tests.store.sample import SWARM, agents_of, claim, planned, swarm_of, worker

async def main():
    store = await open_store(Path(sys.argv[1]), SystemClock(), RandomIds())
    ids = RandomIds()
    def begin(tx):
        if not tx.swarms():
            tx.set_agents("shop", agents_of(1))
            tx.insert_swarm(swarm_of(planned("a"), limit=Limit(10**9)))
            return claim(tx, worker(tx))[0][0].id
        return tx.sessions(SWARM)[0].id
    session = await store.transact(begin)
    await store.transact(lambda tx: tx.recover_reservations())
    def step(tx):
        name = ReservationId(ids.new("res"))
        tx.append(SWARM, NewEvent("call.opened", "platform", {"id": name}))
        tx.reserve(name, session, "m", Amount(1000), sent=True)
        return name
    def end(tx, name):
        tx.settle(name, Amount(3))
        tx.append(SWARM, NewEvent("call.settled", "platform", {"id": name}))
    async def work():
        while True:
            name = await store.transact(step)
            print("sent", name, flush=True)
            await store.transact(lambda tx: end(tx, name))
            print("settled", name, flush=True)
    await asyncio.gather(*(work() for _ in range(8)))
asyncio.run(main())
"""


@pytest.mark.chaos
async def test_a_process_killed_in_the_middle_loses_nothing_it_said_was_done(tmp_path):
    path = tmp_path / "a.db"
    said = set()
    for lines in (40, 90, 150):
        said |= killed_after(lines, path)
        store = await opened(path)
        events = await store.read(lambda r: r.events(SWARM, limit=100_000))
        assert first_break(events) is None
        logged = {f"{'sent' if e.kind == 'call.opened' else 'settled'} {e.data[7:-2]}" for e in events}
        assert said <= logged
        still_open = {r.id for r in await store.read(lambda r: r.open_reservations())}
        by_kind = {kind: {e.data[7:-2] for e in events if e.kind == kind} for kind in ("call.opened", "call.settled")}
        assert still_open == {*by_kind["call.opened"]} - {*by_kind["call.settled"]} - recovered(store_path=path)
        await store.close()
        raw = sqlite3.connect(path)
        assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        held = "SELECT sum(held_nano_usd) FROM account"
        assert raw.execute(held).fetchone()[0] == 1000 * len(still_open)
        raw.close()


def killed_after(lines, path):
    """What a process that writes as fast as it can said was done, before it was killed."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    command = [sys.executable, "-c", textwrap.dedent(WRITER), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as process:
        said = {process.stdout.readline().strip() for _ in range(lines)}
        process.send_signal(signal.SIGKILL)
        return said | {line.strip() for line in process.stdout if line.endswith("\n")}


def recovered(*, store_path):
    """Reservations that an earlier start charged in full after a kill."""
    raw = sqlite3.connect(store_path)
    found = {name for (name,) in raw.execute("SELECT id FROM reservation WHERE estimated")}
    raw.close()
    return found


async def test_a_chain_that_was_tampered_with_is_found(tmp_path):
    store = await opened(tmp_path / "a.db")
    await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"))))
    for number in range(4):
        await store.transact(lambda tx, n=number: tx.append(SWARM, NewEvent("x.y", "p", {"n": n})))
    await store.close()
    raw = sqlite3.connect(tmp_path / "a.db")
    raw.execute("""UPDATE event SET data = '{"n":7}' WHERE seq = 3""")
    raw.commit()
    raw.close()
    store = await opened(tmp_path / "a.db")
    assert first_break(await store.read(lambda r: r.events(SWARM))) == 3
    await store.close()
