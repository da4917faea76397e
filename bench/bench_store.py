"""What the store makes of the disk, on both databases: calls booked, tasks claimed and finished, leases renewed.

Every rate is printed beside the fsync rate of the same disk, measured in the same run: one commit costs at least one, and
several that wait together share it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.filling import leased
from bench.stores import kinds, opened
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import AgentId, RandomIds, ReservationId, SwarmId, TaskId, WorkerId, WorkId
from swarmworks.domain.agent import Agent
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.lease import Capacity
from swarmworks.domain.plan import Plan, PlannedTask, Source, Stack
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.task import TaskEvent
from swarmworks.policy.admit import choose
from swarmworks.service.watching import Watching
from swarmworks.store.protocol import NewSwarm, SessionTerms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from swarmworks.domain.lease import WorkerLease
    from swarmworks.store.protocol import Store, Tx

AT_ONCE = 64
SWARM = SwarmId("swm")
ROOMY = Capacity(100_000, 1000, 1 << 50)
TERMS = SessionTerms("model", "b" * 40, Capacity(1, 0, 1 << 20), Amount(), Limit())
WORKERS, SESSIONS = 100, 10_000
TTL_S = 3.0


def run(*, smoke: bool) -> None:
    seconds = 0.2 if smoke else 3.0
    with tempfile.TemporaryDirectory(prefix="bench-store-", dir=Path.cwd()) as folder:
        disk = _fsync_rate(Path(folder), seconds)
        print(f"fsync of 4 KiB appended                                {disk:9,.0f} /s")
        for kind in kinds():
            asyncio.run(_run(kind, Path(folder), seconds, disk))


async def _run(kind: str, folder: Path, seconds: float, disk: float) -> None:
    for name, measure in (("reserve + settle", _pairs), ("claim + finish", _cycles)):
        for at_once in (1, AT_ONCE):
            rate = await measure(kind, folder / f"{name}-{at_once}.db", seconds, at_once)
            print(f"{kind:11} {name:16} {at_once:3} at once           {rate:9,.0f} /s   {rate / disk:6.2f} per fsync")
    took_s = await _renewals(kind, folder / "renewals.db", seconds)
    due_s = TTL_S / 4
    met = "met" if took_s < due_s else "missed"
    words = f"{SESSIONS:,} sessions of {WORKERS} workers renewed in {took_s:.2f} s"
    print(f"{kind:11} {words} (due every {due_s:.2f} s with a lease of {TTL_S:g} s: {met})")


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


def swarm_of(count: int, tx: Tx) -> NewSwarm:
    """With so many ready tasks, and the agents for as many sessions as are claimed at once."""
    tx.set_agents("p", [Agent(AgentId(f"a{n}"), f"a{n}", "coder", frozenset({"code"})) for n in range(AT_ONCE)])
    tasks = tuple(
        PlannedTask(TaskId(f"t{n}"), "code", "t", "coder", "do", "it", owns=(f"src/{n}.py",)) for n in range(count)
    )
    plan = Plan("pln", "bench", "", Stack("python", ""), Source("text", "-", ""), tasks)
    ranks = {task.id: n for n, task in enumerate(tasks)}
    return NewSwarm(SWARM, "p", plan, ranks, "refs/i", "b" * 40, "{}", Limit(10**15), Limit())


def finish(tx: Tx, lease: WorkerLease, session: Any, work: Any) -> None:
    tx.finish_work(lease, work.id, work.fence, "{}")
    tx.end_session(session.id, SessionOutcome.SUBMITTED, None)
    for event in (TaskEvent.SUBMIT, TaskEvent.APPROVE, TaskEvent.LAND):
        tx.move_task(session.swarm_id, session.task_id, event)


async def _begin(kind: str, path: Path, tasks: int) -> tuple[Store, WorkerLease]:
    store = (await opened(kind, path)).store

    def step(tx: Tx) -> WorkerLease:
        tx.insert_swarm(swarm_of(tasks, tx))
        return tx.register_worker(WorkerId("w"), "w", ROOMY, TTL_S)

    return store, await store.transact(step)


async def _rate(seconds: float, at_once: int, cycle: Callable[[int], Awaitable[bool]]) -> float:
    start, done = time.perf_counter(), itertools.count()

    async def worker(number: int) -> None:
        while time.perf_counter() - start < seconds and await cycle(number):
            next(done)

    await asyncio.gather(*(worker(number) for number in range(at_once)))
    return next(done) / (time.perf_counter() - start)


async def _pairs(kind: str, path: Path, seconds: float, at_once: int) -> float:
    store, lease = await _begin(kind, path, at_once)
    claimed = await store.transact(lambda tx: tx.claim_sessions(lease, SWARM, TERMS, at_once, choose))
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


async def _cycles(kind: str, path: Path, seconds: float, at_once: int) -> float:
    store, lease = await _begin(kind, path, 20_000)

    async def cycle(_number: int) -> bool:
        claimed = await store.transact(lambda tx: tx.claim_sessions(lease, SWARM, TERMS, 1, choose))
        if not claimed:
            return False
        await store.transact(lambda tx: finish(tx, lease, *claimed[0]))
        return True

    rate = await _rate(seconds, at_once, cycle)
    await store.close()
    return rate


async def _renewals(kind: str, path: Path, seconds: float) -> float:
    """How long one round takes in which every worker renews its lease, and names every session it holds."""
    store, _lease = await _begin(kind, path, 1)
    watching = Watching(store, SystemClock(), TTL_S)
    leases = [await watching.register(WorkerId(f"w{n}"), f"w{n}", ROOMY) for n in range(WORKERS)]
    await store.transact(lambda tx: leased(tx.db, SWARM, WORKERS, SESSIONS))
    held = [frozenset(WorkId(f"wrk_{n}") for n in range(SESSIONS) if n % WORKERS == one) for one in range(WORKERS)]
    start, rounds = time.perf_counter(), 0
    while not rounds or time.perf_counter() - start < seconds:
        found = await asyncio.gather(*(watching.renew(*each) for each in zip(leases, held, strict=True)))
        assert not any(renewed.lost for renewed in found)
        rounds += 1
    took_s = (time.perf_counter() - start) / rounds
    await store.close()
    return took_s
