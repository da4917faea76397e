"""The store on SQLite: what group commit makes of the disk, and whether a claim grows with what is finished.

Every rate is printed beside the fsync rate of the same disk, measured in the same run: one commit costs at least one.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import AgentId, RandomIds, ReservationId, SwarmId, TaskId, WorkerId
from swarmworks.domain.agent import Agent
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.lease import Capacity
from swarmworks.domain.plan import Plan, PlannedTask, Source, Stack
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.task import TaskEvent
from swarmworks.policy.admit import choose
from swarmworks.store.protocol import NewSwarm, SessionTerms
from swarmworks.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from swarmworks.domain.lease import WorkerLease
    from swarmworks.store.protocol import Store, Tx

AT_ONCE = 64
ROOMY = Capacity(10_000, 1000, 1 << 50)
TERMS = SessionTerms("model", "b" * 40, Capacity(1, 0, 1 << 20), Amount(), Limit())
FINISH_MANY = (
    "UPDATE task SET state = 'landed' WHERE rank < :finished",
    """INSERT INTO account (id, parent_id, kind, subject, state)
       SELECT 'acc_' || id, (SELECT id FROM account WHERE kind = 'swarm'), 'task', swarm_id || '/' || id, 'closed'
       FROM task WHERE rank < :finished""",
)


def run(*, smoke: bool) -> None:
    seconds = 0.2 if smoke else 3.0
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=Path.cwd()) as folder:
        asyncio.run(_run(Path(folder), seconds, (100, 1000) if smoke else (1_000, 100_000)))


async def _run(folder: Path, seconds: float, sizes: tuple[int, int]) -> None:
    disk = _fsync_rate(folder, seconds)
    print(f"fsync of 4 KiB appended                    {disk:9,.0f} /s")
    for at_once in (1, AT_ONCE):
        rate = await _pairs(folder, seconds, at_once)
        print(
            f"reserve + settle, {at_once:3} at once               {rate:9,.0f} pairs/s   {rate / disk:6.2f} per fsync"
        )
    for at_once in (1, AT_ONCE):
        rate = await _cycles(folder, seconds, at_once)
        print(
            f"claim + finish, {at_once:3} at once                 {rate:9,.0f} cycles/s  {rate / disk:6.2f} per fsync"
        )
    small, large = [await _claim_ms(folder, size, seconds) for size in sizes]
    for size, (p50, p99) in zip(sizes, (small, large), strict=True):
        print(f"claim with {size:7,} finished tasks, p50 / p99  {p50:8.2f} / {p99:.2f} ms")
    print(f"claim p50, {sizes[1]:,} over {sizes[0]:,} finished      {large[0] / small[0]:8.2f} x")


def _fsync_rate(folder: Path, seconds: float) -> float:
    count, page = 0, os.urandom(4096)
    descriptor = os.open(folder / "fsync", os.O_CREAT | os.O_WRONLY)
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        os.write(descriptor, page)
        os.fsync(descriptor)
        count += 1
    os.close(descriptor)
    return count / (time.perf_counter() - start)


def _swarm(count: int) -> NewSwarm:
    tasks = tuple(
        PlannedTask(TaskId(f"t{n}"), "code", "t", "coder", "do", "it", owns=(f"src/{n}.py",)) for n in range(count)
    )
    plan = Plan("pln", "bench", "", Stack("python", ""), Source("text", "-", ""), tasks)
    ranks = {task.id: n for n, task in enumerate(tasks)}
    return NewSwarm(SwarmId("swm"), "p", plan, ranks, "refs/i", "b" * 40, "{}", Limit(10**15), Limit())


async def _begin(path: Path, tasks: int) -> tuple[Store, WorkerLease]:
    store = await open_store(path, SystemClock(), RandomIds())

    def step(tx: Tx) -> WorkerLease:
        tx.set_agents("p", [Agent(AgentId(f"a{n}"), f"a{n}", "coder", frozenset({"code"})) for n in range(AT_ONCE)])
        tx.insert_swarm(_swarm(tasks))
        return tx.register_worker(WorkerId("w"), "w", ROOMY, 3.0)

    return store, await store.transact(step)


async def _rate(seconds: float, at_once: int, cycle: Callable[[int], Awaitable[bool]]) -> float:
    start, done = time.perf_counter(), itertools.count()

    async def worker(number: int) -> None:
        while time.perf_counter() - start < seconds and await cycle(number):
            next(done)

    await asyncio.gather(*(worker(number) for number in range(at_once)))
    return next(done) / (time.perf_counter() - start)


async def _pairs(folder: Path, seconds: float, at_once: int) -> float:
    store, lease = await _begin(folder / f"pairs-{at_once}.db", at_once)
    claimed = await store.transact(lambda tx: tx.claim_sessions(lease, SwarmId("swm"), TERMS, at_once, choose))
    sessions, ids = [session.id for session, _work in claimed], RandomIds()

    async def cycle(number: int) -> bool:
        name = ReservationId(ids.new("res"))
        amount = Amount(50_000_000, 9_000)
        await store.transact(lambda tx: tx.reserve(name, sessions[number], "m", amount, sent=True))
        await store.transact(lambda tx: tx.settle(name, Amount(1_000_000, 900)))
        return True

    rate = await _rate(seconds, at_once, cycle)
    await store.close()
    return rate


async def _cycles(folder: Path, seconds: float, at_once: int) -> float:
    store, lease = await _begin(folder / f"cycles-{at_once}.db", 20_000)

    async def cycle(_number: int) -> bool:
        claimed = await store.transact(lambda tx: tx.claim_sessions(lease, SwarmId("swm"), TERMS, 1, choose))
        if not claimed:
            return False
        await store.transact(lambda tx: _finish(tx, lease, *claimed[0]))
        return True

    rate = await _rate(seconds, at_once, cycle)
    await store.close()
    return rate


def _finish(tx: Tx, lease: WorkerLease, session: Any, work: Any) -> None:
    tx.finish_work(lease, work.id, work.fence, "{}")
    tx.end_session(session.id, SessionOutcome.SUBMITTED, None)
    for event in (TaskEvent.SUBMIT, TaskEvent.APPROVE, TaskEvent.LAND):
        tx.move_task(session.swarm_id, session.task_id, event)


async def _claim_ms(folder: Path, finished: int, seconds: float) -> tuple[float, float]:
    """The claim alone, inside its transaction: its fsync is the same whatever is in the table."""
    store, lease = await _begin(folder / f"claim-{finished}.db", finished + 2_000)
    await store.transact(lambda tx: [tx.db.change(sql, finished=finished) for sql in FINISH_MANY])
    taken_ms: list[float] = []

    def claim(tx: Tx) -> tuple[Any, Any]:
        start = time.perf_counter()
        [(session, work)] = tx.claim_sessions(lease, SwarmId("swm"), TERMS, 1, choose)
        taken_ms.append((time.perf_counter() - start) * 1000)
        return session, work

    start = time.perf_counter()
    while time.perf_counter() - start < seconds and len(taken_ms) < 1_900:
        session, work = await store.transact(claim)
        await store.transact(lambda tx, s=session, w=work: _finish(tx, lease, s, w))
    await store.close()
    return statistics.median(taken_ms), statistics.quantiles(taken_ms, n=100)[98]
