"""Whether a claim costs the same with a million finished tasks behind it as with a thousand, on both databases.

The two sizes are measured in turns, so that what else the machine does falls on both. The goal: within 20 %.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.bench_store import ROOMY, SWARM, TERMS, finish, swarm_of
from bench.stores import Database, kinds, opened
from swarmworks.base.ids import SwarmId, TaskId, WorkerId
from swarmworks.domain.plan import PlannedTask
from swarmworks.policy.admit import choose

if TYPE_CHECKING:
    from swarmworks.domain.lease import WorkerLease
    from swarmworks.store.protocol import Tx

FLAT = 1.2
WITHIN_S = 5.0
BATCH = 16


@dataclass
class Measured:
    database: Database
    lease: WorkerLease
    finished: int
    starts_ms: list[float] = field(default_factory=list)
    claims_ms: list[float] = field(default_factory=list)  # inside the transaction, without its wait for the disk
    rates: list[float] = field(default_factory=list)
    probes: int = 0


def run(*, smoke: bool) -> None:
    sizes, rounds, probes = ((100, 2_000), 2, 3) if smoke else ((1_000, 1_000_000), 12, 20)
    with tempfile.TemporaryDirectory(prefix="bench-claims-", dir=Path.cwd()) as folder:
        for kind in kinds():
            asyncio.run(_compare(kind, Path(folder), sizes, rounds, probes))


async def _compare(kind: str, folder: Path, sizes: tuple[int, int], rounds: int, probes: int) -> None:
    both = [await _begin(kind, folder / f"{size}.db", size, rounds) for size in sizes]
    await _round(both[0], probes)  # what is done once is not measured
    await _round(both[1], probes)
    for one in both:
        one.starts_ms.clear()
        one.claims_ms.clear()
        one.rates.clear()
    for _ in range(rounds):
        for one in both:
            await _round(one, probes)
    for one in both:
        await one.database.store.close()
        print(_line(kind, one))
    small, large = both
    latency = statistics.median(large.starts_ms) / statistics.median(small.starts_ms)
    rate = statistics.median(small.rates) / statistics.median(large.rates)
    alone = statistics.median(large.claims_ms) / statistics.median(small.claims_ms)
    met = "met" if max(latency, rate) <= FLAT else "missed"
    words = f"{large.finished:,} over {small.finished:,} finished: claim to start {latency:.2f} x (without the disk {alone:.2f} x), time per task {rate:.2f} x"
    print(f"{kind:11} {words} (goal {FLAT:.1f} x: {met})")


def _line(kind: str, one: Measured) -> str:
    p50, p95 = statistics.median(one.starts_ms), statistics.quantiles(one.starts_ms, n=20)[18]
    rate = statistics.median(one.rates)
    return f"{kind:11} {one.finished:9,} finished: ready to started p50 / p95 {p50:6.2f} / {p95:.2f} ms, {rate:7,.0f} tasks/s"


async def _begin(kind: str, path: Path, size: int, rounds: int) -> Measured:
    database = await opened(kind, path)
    ready = (rounds + 1) * BATCH * 4

    def step(tx: Tx) -> WorkerLease:
        tx.insert_swarm(swarm_of(ready, tx))
        return tx.register_worker(WorkerId("w"), "w", ROOMY, 3.0)

    lease = await database.store.transact(step)
    await database.fill(SWARM, lease.worker_id, size)
    return Measured(database, lease, size)


async def _round(one: Measured, probes: int) -> None:
    """Batches as fast as they go, then single tasks that become ready and are started."""
    store, lease = one.database.store, one.lease
    start = time.perf_counter()
    for _ in range(4):
        claimed = await store.transact(lambda tx: tx.claim_sessions(lease, SWARM, TERMS, BATCH, choose))
        await store.transact(lambda tx, pairs=claimed: [finish(tx, lease, *pair) for pair in pairs])
    one.rates.append(4 * BATCH / (time.perf_counter() - start))
    for _ in range(probes):
        one.probes += 1
        one.starts_ms.append(await _start_ms(one, TaskId(f"probe{one.probes}")))


async def _start_ms(one: Measured, task_id: TaskId) -> float:
    """From the commit that makes a task ready to the commit that starts its session, told by the store's wake-up."""
    store, lease = one.database.store, one.lease
    news = store.commits()
    task = PlannedTask(task_id, "code", "t", "coder", "do", "it", owns=(f"src/{task_id}.py",))

    def start(tx: Tx) -> list[Any]:
        begun = time.perf_counter()
        claimed = tx.claim_sessions(lease, SWARM, TERMS, 1, choose)
        started = [(tx.start_session(session.id, f"sha-{session.id}"), work) for session, work in claimed]
        one.claims_ms.append((time.perf_counter() - begun) * 1000)
        return started

    await store.transact(lambda tx: tx.insert_task(SwarmId(SWARM), task, 1 << 40))
    ready = time.perf_counter()
    async with asyncio.timeout(WITHIN_S):
        await anext(news)
        [(session, work)] = await store.transact(start)
    taken_ms = (time.perf_counter() - ready) * 1000
    assert session.task_id == task_id
    await store.transact(lambda tx: finish(tx, lease, session, work))
    return taken_ms
