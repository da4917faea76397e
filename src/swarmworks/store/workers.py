"""Workers, their leases, and the work they hold: gate runs and builds here, sessions in `claims.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError, FenceLostError
from swarmworks.domain.lease import WORK_TABLE, Capacity, WorkerLease, WorkEvent, WorkKind, WorkState
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.protocol import Renewal
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.base.ids import SwarmId, WorkerId, WorkId
    from swarmworks.domain.lease import Work
    from swarmworks.store.protocol import NewWork, WorkerRow

_SQL = load("work")
_ORPHANED_AFTER = 3  # renewals running that did not name the work
_LOOKED_AT = 256  # queued pieces of work one claim considers


class WorkReads(Scope):
    def work(self, work_id: WorkId) -> Work:
        return rows.work(found(self.db.row(_SQL["work"], id=work_id), "work", work_id))

    def works(
        self, *, swarm_id: SwarmId | None = None, states: Sequence[WorkState] = (), worker_id: WorkerId | None = None
    ) -> list[Work]:
        wanted = tuple(states) or tuple(WorkState)
        if worker_id is not None:
            of_worker = self.db.rows(_SQL["works_of_worker"], worker_id=worker_id, states=wanted)
            return [work for work in map(rows.work, of_worker) if swarm_id in {None, work.swarm_id}]
        if swarm_id is not None:
            of_swarm = self.db.rows(_SQL["works_of_swarm"], swarm_id=swarm_id, states=wanted)
            return [rows.work(row) for row in of_swarm]
        return [rows.work(row) for row in self.db.rows(_SQL["works"], states=wanted)]

    def workers(self) -> list[WorkerRow]:
        return [rows.worker(row) for row in self.db.rows(_SQL["workers"])]

    def leased_to(self, worker_id: WorkerId) -> list[Work]:
        return [rows.work(row) for row in self.db.rows(_SQL["leased_to"], worker_id=worker_id)]

    def free_capacity(self, lease: WorkerLease) -> Capacity:
        """What the worker said it has, without what is leased to it. FenceLostError when the lease is not the worker's."""
        row = self.db.row(_SQL["worker"], id=lease.worker_id)
        if row is None or row["fence"] != lease.fence:
            raise _lost(lease)
        free = rows.capacity(row["capacity"])
        for work in self.leased_to(lease.worker_id):
            free = free.minus(work.need)
        return free


class WorkWrites(WorkReads):
    def register_worker(self, worker_id: WorkerId, name: str, capacity: Capacity, ttl_s: float) -> WorkerLease:
        fence = found(self.db.row(_SQL["next_fence"]), "counter", "worker_fence")["value"]
        self.db.change(
            _SQL["register_worker"],
            id=worker_id,
            name=name,
            fence=fence,
            ttl_s=ttl_s,
            capacity=rows.capacity_text(capacity),
        )
        return WorkerLease(worker_id, fence, ttl_s)

    def renew_worker(self, lease: WorkerLease, holding: frozenset[WorkId]) -> Renewal:
        if not self.db.change(_SQL["renew_worker"], id=lease.worker_id, fence=lease.fence):
            raise _lost(lease)
        leased = [work.id for work in self.leased_to(lease.worker_id)]
        named = [work_id for work_id in leased if work_id in holding]
        unnamed = [work_id for work_id in leased if work_id not in holding]
        if named:
            self.db.change(_SQL["named"], worker_id=lease.worker_id, ids=named)
        orphaned: list[WorkId] = []
        if unnamed:
            self.db.change(_SQL["unnamed"], worker_id=lease.worker_id, ids=unnamed)
            held = self.db.rows(_SQL["leased_to"], worker_id=lease.worker_id)
            orphaned = [row["id"] for row in held if row["unnamed_renewals"] >= _ORPHANED_AFTER]
        return Renewal(lost=tuple(sorted(holding.difference(leased))), orphaned=tuple(orphaned))

    def remove_worker(self, lease: WorkerLease) -> None:
        leased = self.leased_to(lease.worker_id)
        if leased:
            raise ConflictError(
                f"{len(leased)} piece(s) of work are leased to it", where=lease.worker_id, mend="end them first"
            )
        if not self.db.change(_SQL["remove_worker"], id=lease.worker_id, fence=lease.fence):
            raise _lost(lease)

    def expire_worker(self, worker_id: WorkerId, renewals: int) -> list[Work]:
        if not self.db.change(_SQL["expire_worker"], id=worker_id, renewals=renewals):
            return []
        return self.leased_to(worker_id)

    def enqueue_work(self, new: NewWork) -> Work:
        self.insert_work(new, WORK_TABLE.start, fence=0, lease=None)
        return self.work(new.id)

    def insert_work(self, new: NewWork, state: WorkState, *, fence: int, lease: WorkerLease | None) -> None:
        self.touched.add(new.swarm_id)
        self.db.change(
            _SQL["insert_work"],
            id=new.id,
            kind=new.kind,
            swarm_id=new.swarm_id,
            task_id=new.task_id,
            subject=new.subject,
            state=state,
            fence=fence,
            need=rows.capacity_text(new.need),
            payload=new.payload,
            priority=new.priority,
            worker_id=lease.worker_id if lease else None,
            leased_at=self.now() if lease else None,
        )

    def claim_work(self, lease: WorkerLease, free: Capacity, kinds: Sequence[WorkKind]) -> list[Work]:
        """What fits, first come first served within a priority. The first that has to wait for room stops the claim, so
        that small work cannot overtake it for ever; what this worker can never run is left to others.
        """
        room = _least(free, self.free_capacity(lease))
        whole = rows.capacity(
            found(self.db.row(_SQL["worker"], id=lease.worker_id), "worker", lease.worker_id)["capacity"]
        )
        claimed: list[Work] = []
        for row in self.db.rows(_SQL["queued"], kinds=tuple(kinds), most=_LOOKED_AT):
            work = rows.work(row)
            if not whole.fits(work.need):
                continue
            if not room.fits(work.need):
                break
            self._lease(work, lease)
            room = room.minus(work.need)
            claimed.append(self.work(work.id))
        return claimed

    def _lease(self, work: Work, lease: WorkerLease) -> None:
        touched = self.db.change(
            _SQL["lease_work"],
            id=work.id,
            state=WORK_TABLE.next(work.state, WorkEvent.LEASE),
            expected=work.state,
            fence=work.fence,
            worker_id=lease.worker_id,
            leased_at=self.now(),
        )
        if not touched:
            raise ConflictError("somebody else took the work", where=work.id)
        self.touched.add(work.swarm_id)

    def finish_work(self, lease: WorkerLease, work_id: WorkId, fence: int, result: str) -> Work:
        self.free_capacity(lease)
        work = self.work(work_id)
        touched = self.db.change(
            _SQL["finish_work"],
            id=work_id,
            state=WORK_TABLE.next(WorkState.LEASED, WorkEvent.FINISH),
            expected=WorkState.LEASED,
            fence=fence,
            worker_id=lease.worker_id,
            result=result,
        )
        if not touched:
            raise FenceLostError(
                f"the work is {work.state} at fence {work.fence}, not leased to {lease.worker_id} at fence {fence}",
                where=work_id,
            )
        self.touched.add(work.swarm_id)
        return self.work(work_id)

    def expire_work(self, work_id: WorkId, fence: int) -> Work | None:
        work = self.work(work_id)
        again = WorkEvent.CANCEL if work.kind is WorkKind.SESSION else WorkEvent.EXPIRE
        touched = self.db.change(
            _SQL["cancel_work" if work.kind is WorkKind.SESSION else "expire_work"],
            id=work_id,
            state=WORK_TABLE.next(WorkState.LEASED, again),
            expected=WorkState.LEASED,
            fence=fence,
        )
        if not touched:
            return None
        self.touched.add(work.swarm_id)
        return self.work(work_id)

    def cancel_work(self, work_id: WorkId) -> Work | None:
        work = self.work(work_id)
        if work.state in WORK_TABLE.terminal:
            return None
        self.db.change(
            _SQL["cancel_work"],
            id=work_id,
            state=WORK_TABLE.next(work.state, WorkEvent.CANCEL),
            expected=work.state,
            fence=work.fence,
        )
        self.touched.add(work.swarm_id)
        return self.work(work_id)


def _least(one: Capacity, other: Capacity) -> Capacity:
    return Capacity(
        agents=min(one.agents, other.agents),
        cpu_slots=min(one.cpu_slots, other.cpu_slots),
        memory_bytes=min(one.memory_bytes, other.memory_bytes),
    )


def _lost(lease: WorkerLease) -> FenceLostError:
    return FenceLostError(
        f"the lease at fence {lease.fence} is no longer the worker's", where=lease.worker_id, mend="register again"
    )
