"""Keeping watch: workers that fell silent are fenced out, and what they held is given back.

Liveness is judged by a counter and this process's own monotonic clock: a worker whose renewal counter stands still for a
TTL is expired, on the condition that it still does in the same transaction. A wall clock that jumps kills nobody.
"""

from __future__ import annotations

from swarmworks.base.clock import Clock
from swarmworks.base.ids import SessionId, WorkerId, WorkId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind
from swarmworks.domain.session import SessionOutcome, SessionState
from swarmworks.domain.swarm import SwarmState
from swarmworks.domain.task import TaskState
from swarmworks.service.attempts import conclude
from swarmworks.store.protocol import Store, Tx


class Watching:
    def __init__(self, store: Store, clock: Clock, ttl_s: float) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s
        self._seen: dict[WorkerId, tuple[int, float]] = {}
        self._looked: float | None = None

    async def register(self, worker_id: WorkerId, name: str, capacity: Capacity) -> WorkerLease:
        return await self._store.transact(lambda tx: tx.register_worker(worker_id, name, capacity, self._ttl_s))

    async def renew(
        self, lease: WorkerLease, holding: frozenset[WorkId]
    ) -> tuple[tuple[WorkId, ...], dict[WorkId, str]]:
        """What the worker must end at once, and what it must end gracefully with the reason. FenceLostError when it has
        been expired: it must end everything.
        """

        def write(tx: Tx) -> tuple[tuple[WorkId, ...], dict[WorkId, str]]:
            renewal = tx.renew_worker(lease, holding)
            for work_id in renewal.orphaned:
                give_back(tx, tx.work(work_id), "the worker never received it")
            return renewal.lost, _to_stop(tx, holding)

        return await self._store.transact(write)

    async def remove(self, lease: WorkerLease) -> None:
        await self._store.transact(lambda tx: tx.remove_worker(lease))

    async def expire_all(self) -> None:
        """At start-up of the only control plane: whoever was registered belongs to the process before this one."""
        for worker in await self._store.read(lambda reader: reader.workers()):
            await self._expire(worker.id, worker.renewals, "the control plane was restarted")

    async def watch(self) -> bool:
        """The chore: expire the workers that stood still for a TTL. True when one was. When this process itself was away
        (suspended, or starved), nobody could reach it: no silence from before counts.
        """
        now = self._clock.monotonic()
        if self._looked is not None and now - self._looked > self._ttl_s / 2:
            self._seen.clear()
        self._looked = now
        expired = False
        workers = await self._store.read(lambda reader: reader.workers())
        for worker in workers:
            renewals, since = self._seen.get(worker.id, (-1, now))
            if renewals != worker.renewals:
                self._seen[worker.id] = (worker.renewals, now)
            elif now - since >= worker.ttl_s:
                await self._expire(worker.id, worker.renewals, f"no sign of life for {worker.ttl_s:g} s")
                expired = True
        alive = {worker.id for worker in workers}
        self._seen = {worker_id: seen for worker_id, seen in self._seen.items() if worker_id in alive}
        return expired

    async def _expire(self, worker_id: WorkerId, renewals: int, why: str) -> None:
        def write(tx: Tx) -> None:
            for work in tx.expire_worker(worker_id, renewals):
                give_back(tx, work, f"worker {worker_id} was lost: {why}")

        await self._store.transact(write)


def give_back(tx: Tx, work: Work, why: str) -> None:
    """Work whose worker is gone: gates and builds wait for another, a session's task is ready again. No attempt is
    charged, unless the task has lost sessions too often. What the session wrote is on its own ref as soon as a worker looks after the leftovers.
    """
    if tx.expire_work(work.id, work.fence) is None or work.kind is not WorkKind.SESSION:
        return
    session = tx.session(SessionId(work.subject))
    if session.state is not SessionState.ENDED:
        tx.end_session(session.id, SessionOutcome.LOST, why)
        data = {"outcome": str(SessionOutcome.LOST), "reason": why}
        tx.append(work.swarm_id, NewEvent("session.ended", "platform", data, work.task_id, session.id))
    if tx.task(work.swarm_id, work.task_id).state is TaskState.RUNNING:
        conclude(tx, session, SessionOutcome.LOST, why)


def _to_stop(tx: Tx, holding: frozenset[WorkId]) -> dict[WorkId, str]:
    """Sessions of swarms that are stopping."""
    stopping = {swarm.id: swarm.reason or "stopped" for swarm in tx.swarms() if swarm.state is SwarmState.STOPPING}
    if not stopping:
        return {}
    works = [tx.work(work_id) for work_id in holding]
    return {w.id: stopping[w.swarm_id] for w in works if w.kind is WorkKind.SESSION and w.swarm_id in stopping}
