"""The event log: a page of it, with ten million events in the table and with a tenth of them, in the same run.

Filled by one statement of the database, not through the store; read through the store, as `swarm logs` does it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from tests.postgres import a_database

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds, SessionId, SwarmId, TaskId
from swarmworks.domain.budget import Limit
from swarmworks.domain.plan import Plan, PlannedTask, Source, Stack
from swarmworks.store.postgres import open_postgres
from swarmworks.store.protocol import NewSwarm
from swarmworks.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.store.protocol import Reader, Store

GOAL_MS = 20.0
PAGE = 1_000
SWARMS = 20
SESSIONS = 12
"""Of each swarm: their events lie between one another's."""
DATA = '{"arguments":{"path":"src/shop/orders.py"},"call":"call_7","tool":"read_file","truncated":false}'
COLUMNS = "swarm_id, seq, at, kind, actor, task_id, session_id, data, previous_hash, hash"
SQLITE_FILL = f"""
INSERT INTO event ({COLUMNS})
WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < :events)
SELECT printf('swm_%02d', n / :each), n % :each + 1, '2026-11-20T08:00:00+00:00', 'session.tool_call', 'agent:ada',
       'orders', printf('ses_%02d_%02d', n / :each, n % :sessions), :data, printf('%064x', n), printf('%064x', n + 1)
FROM number
"""
POSTGRES_FILL = f"""
INSERT INTO event ({COLUMNS})
SELECT 'swm_' || lpad((n / %(each)s)::text, 2, '0'), n %% %(each)s + 1, '2026-11-20T08:00:00+00:00',
       'session.tool_call', 'agent:ada', 'orders',
       'ses_' || lpad((n / %(each)s)::text, 2, '0') || '_' || lpad((n %% %(sessions)s)::text, 2, '0'), %(data)s,
       lpad(to_hex(n), 64, '0'), lpad(to_hex(n + 1), 64, '0')
FROM generate_series(0::bigint, %(events)s - 1) AS n
"""
SESSION_INDEX = "CREATE INDEX ix_event_session ON event (session_id, seq) WHERE session_id IS NOT NULL"


def run(*, smoke: bool) -> None:
    sizes = (2_000, 20_000) if smoke else (1_000_000, 10_000_000)
    asyncio.run(_run(sizes, 10 if smoke else 200))


async def _run(sizes: tuple[int, int], pages: int) -> None:
    for name, opened in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        figures: list[dict[str, tuple[float, float]]] = []
        for size in sizes:
            with tempfile.TemporaryDirectory(prefix="bench-events-", dir=Path.cwd()) as folder:
                store = await opened(Path(folder), size)
                figures.append(await _measured(store, size, pages))
                await store.close()
        for what, (p50, p95) in figures[1].items():
            small = figures[0][what][0]
            verdict = (
                "" if not what.startswith("page") else f"   goal {GOAL_MS:.0f}: {'met' if p95 < GOAL_MS else 'MISSED'}"
            )
            print(f"{name:10} {what:34} {sizes[1]:11,} events, p50 / p95 {p50:7.2f} / {p95:.2f} ms{verdict}")
            print(f"{'':10} {'':34} {sizes[0]:11,} events, p50       {small:7.2f} ms  ratio {p50 / small:.2f}")


async def _measured(store: Store, size: int, pages: int) -> dict[str, tuple[float, float]]:
    rng, each = random.Random(1), size // SWARMS

    def of_swarm(reader: Reader) -> object:
        swarm_id = SwarmId(f"swm_{rng.randrange(SWARMS):02}")
        return reader.events(swarm_id, after=rng.randrange(each - min(PAGE, each // 2)), limit=PAGE)

    def of_session(reader: Reader) -> object:
        number = rng.randrange(SWARMS)
        session_id = SessionId(f"ses_{number:02}_{rng.randrange(SESSIONS):02}")
        return reader.events(
            SwarmId(f"swm_{number:02}"), after=rng.randrange(each // 2), limit=PAGE, session_id=session_id
        )

    def last(reader: Reader) -> object:
        return reader.last_seq(SwarmId(f"swm_{rng.randrange(SWARMS):02}"))

    looks: dict[str, Callable[[Reader], object]] = {
        f"page of {PAGE:,}": of_swarm,
        f"page of a session, {PAGE:,} at most": of_session,
        "number of the last event": last,
        "what to archive, what to anchor": lambda reader: (reader.logs(), reader.unanchored(1_000)),
    }
    return {what: await _taken(store, look, pages) for what, look in looks.items()}


async def _taken(store: Store, look: Callable[[Reader], object], pages: int) -> tuple[float, float]:
    taken: list[float] = []
    for _ in range(pages):
        start = time.perf_counter()
        await store.read(look)
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[18]


async def _begin(store: Store) -> None:
    task = PlannedTask(TaskId("a"), "code", "t", "coder", "do", "it", owns=("a",))
    plan = Plan("pln", "bench", "", Stack("python", ""), Source("text", "-", ""), (task,))
    for number in range(SWARMS):
        new = NewSwarm(SwarmId(f"swm_{number:02}"), "p", plan, {task.id: 0}, "r", "b" * 40, "{}", Limit(), Limit())
        await store.transact(lambda tx, new=new: tx.insert_swarm(new))


def _values(events: int) -> dict[str, object]:
    return {"events": events, "each": events // SWARMS, "sessions": SESSIONS, "data": DATA}


async def _sqlite(folder: Path, events: int) -> Store:
    path = folder / "state.db"
    store = await open_store(path, SystemClock(), RandomIds())
    await _begin(store)
    await store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144"):
            raw.execute(f"PRAGMA {setting}")
        raw.execute("BEGIN")
        raw.execute("DROP INDEX ix_event_session")
        raw.execute(SQLITE_FILL, _values(events))
        raw.execute(SESSION_INDEX)
        raw.execute("COMMIT")
    return await open_store(path, SystemClock(), RandomIds())


async def _postgres(_folder: Path, events: int) -> Store:
    address = a_database()
    store = await open_postgres(address, SystemClock(), RandomIds())
    await _begin(store)
    with psycopg.connect(address, autocommit=True) as raw:
        for setting in ("session_replication_role = replica", "maintenance_work_mem = '256MB'"):
            raw.execute(f"SET {setting}")
        raw.execute("ALTER TABLE event SET UNLOGGED")
        raw.execute("ALTER TABLE event DROP CONSTRAINT pk_event")
        raw.execute("DROP INDEX ix_event_session")
        raw.execute(POSTGRES_FILL, _values(events))
        raw.execute("ALTER TABLE event ADD CONSTRAINT pk_event PRIMARY KEY (swarm_id, seq)")
        raw.execute(SESSION_INDEX)
        raw.execute("VACUUM ANALYZE event")
    return store
