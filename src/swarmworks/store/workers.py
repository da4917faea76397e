"""Workers, their leases, and the work they hold: gate runs and builds here, sessions in `claims.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError, FenceLostError, SwarmworksError
from swarmworks.base.ids import SwarmId
from swarmworks.domain.lease import WORK_TABLE, Capacity, WorkerLease, WorkEvent, WorkKind, WorkState
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.protocol import Renewal
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swarmworks.base.ids import WorkerId, WorkId
    from swarmworks.domain.lease import Work
    from swarmworks.store.connection import Row
    from swarmworks.store.protocol import NewWork, WorkerRow

_SQL = load("work")
_ORPHANED_AFTER = 3  # renewals running that did not name the work
_LOOKED_AT = 256  # queued pieces of work one claim considers
_MOST_LOOKS = 3  # how often a claim looks again because others took what it had chosen


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

    def free_capacity(self, lease: WorkerLease, *, to_fill: bool = False) -> Capacity:
        """What the worker said it has, without what is leased to it. FenceLostError when the lease is not the worker's.
        With `to_fill` nobody else gives it work before this transaction has ended.
        """
        workers, held = self.db.several(
            self._worker(lease, to_fill=to_fill), (_SQL["held"], {"worker_id": lease.worker_id})
        )
        return _left(_capacity(lease, workers), held)

    def has_queued(self, kinds: Sequence[WorkKind]) -> bool:
        return self.db.row(_SQL["has_queued"], kinds=tuple(kinds)) is not None

    def _whole(self, lease: WorkerLease, *, to_fill: bool) -> Capacity:
        return _capacity(lease, *self.db.several(self._worker(lease, to_fill=to_fill)))

    def _worker(self, lease: WorkerLease, *, to_fill: bool) -> tuple[str, Mapping[str, object]]:
        return _SQL["worker_to_fill" if to_fill else "worker"], {"id": lease.worker_id}


class WorkWrites(WorkReads):
    def hold_worker(self, lease: WorkerLease) -> None:
        self._whole(lease, to_fill=True)

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
        fence = {"id": lease.worker_id, "fence": lease.fence}
        self.db.post(_SQL["renew_worker"], [fence], lambda: _lost(lease))
        leased = self.db.rows(_SQL["held_pieces"], worker_id=lease.worker_id)
        lost = holding.difference(row["id"] for row in leased)
        named = [row for row in leased if row["id"] in holding and row["unnamed_renewals"]]
        unnamed = [row for row in leased if row["id"] not in holding]
        free = self._held_swarms([row["swarm_id"] for row in (*named, *unnamed)], wait=False)
        for statement, found_rows in (("named", named), ("unnamed", unnamed)):
            ids = [row["id"] for row in found_rows if row["swarm_id"] in free]
            if ids:
                self.db.change(_SQL[statement], worker_id=lease.worker_id, ids=ids)
        orphaned = [
            row["id"] for row in unnamed if row["swarm_id"] in free and row["unnamed_renewals"] + 1 >= _ORPHANED_AFTER
        ]
        return Renewal(lost=tuple(sorted(lost)), orphaned=tuple(orphaned))

    def _held_swarms(self, wanted: Sequence[SwarmId], *, wait: bool) -> frozenset[SwarmId]:
        """Those of the swarms that this transaction may write to now: the first, which may be waited for, and the others
        unless another process is at them. Their turn comes with the next claim or renewal.
        """
        in_order = dict.fromkeys(wanted)
        return frozenset(each for number, each in enumerate(in_order) if self.db.hold(each, wait=wait and number == 0))

    def remove_worker(self, lease: WorkerLease) -> None:
        self._whole(lease, to_fill=True)  # from here on nobody else gives it work
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
        self.touched.add(new.swarm_id)
        values = work_values(new, WORK_TABLE.start)
        self.db.post(_SQL["insert_work"], [values])
        return rows.work({**values, "result": None})

    def claim_work(self, lease: WorkerLease, free: Capacity, kinds: Sequence[WorkKind]) -> list[Work]:
        """What fits, first come first served within a priority. The first that has to wait for room stops the claim, so
        that small work cannot overtake it for ever; what this worker can never run is left to others.
        """
        wanted = {"kinds": tuple(kinds), "most": _LOOKED_AT}
        workers, held, queued = self.db.several(
            self._worker(lease, to_fill=True),
            (_SQL["held"], {"worker_id": lease.worker_id}),
            (_SQL["queued"], wanted),
        )
        whole = _capacity(lease, workers)
        room = _least(free, _left(whole, held))
        for _ in range(_MOST_LOOKS):
            chosen = _fitting(queued, whole, room)
            claimed = self._lease(lease, chosen) if chosen else []
            if claimed or not chosen:
                return claimed
            queued = self.db.rows(_SQL["queued"], **wanted)
        return []  # others were faster each time: whoever asks next sees what they left

    def _lease(self, lease: WorkerLease, chosen: Mapping[WorkId, SwarmId]) -> list[Work]:
        """Those of the chosen that still are queued, in their order. They were only looked at: nobody takes a lock on work
        before that on its swarm.
        """
        free = self._held_swarms(list(chosen.values()), wait=True)
        leased = self.db.rows(
            _SQL["lease_work"],
            ids=[work_id for work_id, swarm_id in chosen.items() if swarm_id in free],
            state=WORK_TABLE.next(WorkState.QUEUED, WorkEvent.LEASE),
            expected=WorkState.QUEUED,
            worker_id=lease.worker_id,
            leased_at=self.now(),
        )
        by_id = {row["id"]: rows.work(row) for row in leased}
        self.touched.update(work.swarm_id for work in by_id.values())
        return [by_id[work_id] for work_id in chosen if work_id in by_id]

    def finish_work(
        self, lease: WorkerLease, work_id: WorkId, fence: int, result: str, *, swarm_id: SwarmId | None = None
    ) -> None:
        if swarm_id is None:  # the swarm's lock before the work's
            swarm_id = SwarmId(found(self.db.row(_SQL["swarm_of_work"], id=work_id), "work", work_id)["swarm_id"])
        done = {
            "id": work_id,
            "swarm_id": swarm_id,
            "state": WORK_TABLE.next(WorkState.LEASED, WorkEvent.FINISH),
            "expected": WorkState.LEASED,
            "fence": fence,
            "worker_id": lease.worker_id,
            "worker_fence": lease.fence,
            "result": result,
        }
        self.db.post(_SQL["finish_work"], [done], lambda: self._not_held(lease, work_id, fence))
        self.touched.add(swarm_id)

    def _not_held(self, lease: WorkerLease, work_id: WorkId, fence: int) -> Exception:
        try:
            self._whole(lease, to_fill=False)
            work = self.work(work_id)
        except SwarmworksError as error:
            return error
        return FenceLostError(
            f"the work is {work.state} at fence {work.fence}, not leased to {lease.worker_id} at fence {fence}",
            where=work_id,
        )

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


def work_values(
    new: NewWork, state: WorkState, *, fence: int = 0, lease: WorkerLease | None = None, at: str | None = None
) -> dict[str, object]:
    """The row of a new piece of work."""
    return {
        "id": new.id,
        "kind": new.kind,
        "swarm_id": new.swarm_id,
        "task_id": new.task_id,
        "subject": new.subject,
        "state": state,
        "fence": fence,
        "need": rows.capacity_text(new.need),
        "payload": new.payload,
        "priority": new.priority,
        "worker_id": lease.worker_id if lease else None,
        "leased_at": at,
    }


def _capacity(lease: WorkerLease, workers: Sequence[Row]) -> Capacity:
    """What the worker said it has. FenceLostError when the lease is not its own."""
    if not workers or workers[0]["fence"] != lease.fence:
        raise _lost(lease)
    return rows.capacity(workers[0]["capacity"])


def _left(whole: Capacity, held: Sequence[Row]) -> Capacity:
    for each in held:
        whole = whole.minus(rows.capacity(each["need"]).times(each["pieces"]))
    return whole


def _fitting(queued: Sequence[Row], whole: Capacity, room: Capacity) -> dict[WorkId, SwarmId]:
    chosen: dict[WorkId, SwarmId] = {}
    for row in queued:
        need = rows.capacity(row["need"])
        if not whole.fits(need):
            continue
        if not room.fits(need):
            break
        room = room.minus(need)
        chosen[row["id"]] = row["swarm_id"]
    return chosen


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
