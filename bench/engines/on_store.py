"""This project's own store, asked the same as its peers, in two measures of what a task is.

`work`: leased work as gate runs and builds are: queued, taken under a worker's lease with a fence, handed back. That is what
the peers do. `task`: a plan's task, which is more: claimed with an agent, its files, the worker's room, the budget's headroom
and accounts of its own in one transaction, and taken through every state until it has landed.
"""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from bench.engines.measuring import GAP_S, Asked, Measured, answer, asked, now_s
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import AgentId, RandomIds, SwarmId, TaskId, WorkerId, WorkId
from swarmworks.domain.agent import Agent
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.domain.plan import Plan, PlannedTask, Source, Stack
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.task import TaskEvent
from swarmworks.policy.admit import choose
from swarmworks.store.postgres import open_postgres
from swarmworks.store.protocol import NewSwarm, NewWork, SessionTerms
from swarmworks.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swarmworks.domain.lease import WorkerLease
    from swarmworks.domain.session import Session
    from swarmworks.store.protocol import Store, Tx

WORKERS = 4
PLACES = 32  # of each worker
PER_COMMIT = 100  # pieces of work enqueued in one transaction, as a control plane does with the gates of a batch
SWARM, FIRST = SwarmId("swm"), TaskId("t-first")
ROOM = Capacity(PLACES, PLACES, 1 << 50)
TERMS = SessionTerms("model", "b" * 40, Capacity(1, 0, 1 << 20), Amount(), Limit())


class Kind(Protocol):
    async def enqueue(self, store: Store, count: int) -> None: ...
    def claim(self, tx: Tx, lease: WorkerLease, most: int) -> Sequence[Any]: ...
    def finish(self, tx: Tx, lease: WorkerLease, claimed: Any) -> None: ...


class LeasedWork:
    def __init__(self) -> None:
        self._ids = RandomIds()

    async def enqueue(self, store: Store, count: int) -> None:
        numbers = [range(at, min(at + PER_COMMIT, count)) for at in range(0, count, PER_COMMIT)]
        await asyncio.gather(*(store.transact(lambda tx, each=each: self._enqueue(tx, len(each))) for each in numbers))

    def _enqueue(self, tx: Tx, count: int) -> None:
        for _ in range(count):
            name = WorkId(self._ids.new("wrk"))
            tx.enqueue_work(NewWork(name, WorkKind.GATES, SWARM, FIRST, "chg", Capacity(0, 1, 1 << 20), "{}"))

    def claim(self, tx: Tx, lease: WorkerLease, most: int) -> Sequence[Any]:
        return tx.claim_work(lease, Capacity(most, most, 1 << 50), (WorkKind.GATES,))

    def finish(self, tx: Tx, lease: WorkerLease, claimed: Any) -> None:
        tx.finish_work(lease, claimed.id, claimed.fence, "{}", swarm_id=claimed.swarm_id)


class PlanTask:
    """Many tasks come with a swarm, in one transaction, as `swarm run` brings them; a single one is added to the latest."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._swarm = SWARM

    async def enqueue(self, store: Store, count: int) -> None:
        tasks = [_planned(f"t{next(self._numbers)}") for _ in range(count)]
        if count == 1:
            await store.transact(lambda tx: tx.insert_task(self._swarm, tasks[0], 1))
            return
        self._swarm = SwarmId(f"swm-{tasks[0].id}")
        await store.transact(lambda tx: tx.insert_swarm(_swarm(self._swarm, tasks)))

    def claim(self, tx: Tx, lease: WorkerLease, most: int) -> Sequence[Any]:
        return tx.claim_sessions(lease, self._swarm, TERMS, most, choose)

    def finish(self, tx: Tx, lease: WorkerLease, claimed: Any) -> None:
        session: Session = claimed[0]
        tx.finish_work(lease, claimed[1].id, claimed[1].fence, "{}", swarm_id=session.swarm_id)
        tx.end_session(session.id, SessionOutcome.SUBMITTED, None)
        for event in (TaskEvent.SUBMIT, TaskEvent.APPROVE, TaskEvent.LAND):
            tx.move_task(session.swarm_id, session.task_id, event)


KINDS: dict[str, Callable[[], Kind]] = {"work": LeasedWork, "task": PlanTask}


def _planned(name: str) -> PlannedTask:
    return PlannedTask(TaskId(name), "code", "t", "coder", "do", "it", owns=(f"src/{name}.py",))


def _swarm(name: SwarmId, tasks: Sequence[PlannedTask]) -> NewSwarm:
    plan = Plan(f"pln-{name}", "bench", "", Stack("python", ""), Source("text", "-", ""), tuple(tasks))
    ranks = {task.id: 1 for task in tasks}
    return NewSwarm(name, "p", plan, ranks, f"refs/{name}", "b" * 40, "{}", Limit(10**15), Limit())


def _begin(tx: Tx) -> list[WorkerLease]:
    agents = [Agent(AgentId(f"a{n}"), f"a{n}", "coder", frozenset({"code"})) for n in range(WORKERS * PLACES)]
    tx.set_agents("p", agents)
    tx.insert_swarm(_swarm(SWARM, [_planned(FIRST)]))
    tx.move_task(SWARM, FIRST, TaskEvent.CANCEL)
    return [tx.register_worker(WorkerId(f"w{n}"), f"w{n}", ROOM, 60.0) for n in range(WORKERS)]


class Workers:
    """Simulated workers on one store. `finished` counts what is recorded as done."""

    def __init__(self, store: Store, kind: Kind, leases: Sequence[WorkerLease]) -> None:
        self.store, self.kind, self.leases = store, kind, leases
        self.finished = 0
        self._news = asyncio.Condition()

    async def listen(self) -> None:
        async for _ in self.store.commits():
            async with self._news:
                self._news.notify_all()

    async def drain(self, count: int) -> None:
        """Until `count` more are done."""
        wanted = self.finished + count
        await asyncio.gather(*(self._work(lease, wanted) for lease in self.leases))

    async def _work(self, lease: WorkerLease, wanted: int) -> None:
        while self.finished < wanted:
            claimed = await self.store.transact(lambda tx: self.kind.claim(tx, lease, PLACES))
            if not claimed:
                async with self._news:
                    if self.finished < wanted:
                        await self._news.wait()
                continue
            await asyncio.gather(*(self.finish(lease, each) for each in claimed))
            if self.finished >= wanted:
                async with self._news:
                    self._news.notify_all()

    async def finish(self, lease: WorkerLease, claimed: Any) -> None:
        await self.store.transact(lambda tx: self.kind.finish(tx, lease, claimed))
        self.finished += 1

    async def probe(self, enqueueing: Store) -> tuple[float, float]:
        """One piece, from before it is enqueued until it is claimed, and the claim alone, both in ms."""
        lease = self.leases[0]
        async with self._news:
            began = now_s()
            enqueued = asyncio.create_task(self.kind.enqueue(enqueueing, 1))
            while True:
                await self._news.wait()
                asking = now_s()
                claimed = await self.store.transact(lambda tx: self.kind.claim(tx, lease, 1))
                if claimed:
                    break
        start_ms, claim_ms = (now_s() - began) * 1000, (now_s() - asking) * 1000
        await enqueued
        await self.finish(lease, claimed[0])
        return start_ms, claim_ms


async def measure(request: Asked, kind: Kind) -> Measured:
    store, other, version = await _open(request.address)
    workers = Workers(store, kind, await store.transact(_begin))
    listening = asyncio.create_task(workers.listen())
    found = Measured(version)
    began = now_s()
    await asyncio.gather(kind.enqueue(store, request.tasks), workers.drain(request.tasks))
    found.tasks_per_s = request.tasks / (now_s() - began)
    for _ in range(request.probes):
        await asyncio.sleep(GAP_S)
        start_ms, claim_ms = await workers.probe(other or store)
        found.start_ms.append(start_ms)
        found.claim_ms.append(claim_ms)
    for opened in (store, other):
        if opened is not None:
            await opened.close()
    await listening
    return found


async def _open(address: str) -> tuple[Store, Store | None, str]:
    """The store, and with several control planes another one's, which enqueues what this one hears of."""
    clock, ids = SystemClock(), RandomIds()
    if address.startswith("postgresql://"):
        opened = [await open_postgres(address, clock, ids) for _ in range(2)]
        return opened[0], opened[1], "PostgreSQL"
    return await open_store(Path(address), clock, ids), None, f"SQLite {sqlite3.sqlite_version}"


if __name__ == "__main__":
    arguments = asked()
    answer(asyncio.run(measure(arguments, KINDS[arguments.kind]())))
