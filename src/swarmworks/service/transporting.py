"""Commits for workers that cannot open the hub: fetched by whoever holds a worker's lease, pushed by whoever holds the session.

A push names no reference. It goes to the one of the session that the worker holds, under the fence that it holds it by, and
must continue what that session was given; a worker that was given up meanwhile can push nothing.
"""

from __future__ import annotations

import asyncio

from swarmworks.base.errors import FenceLostError
from swarmworks.base.ids import SessionId, WorkId
from swarmworks.domain.lease import WorkerLease, WorkKind, WorkState
from swarmworks.domain.refs import work_ref
from swarmworks.domain.session import Session
from swarmworks.git.hub import BareHub
from swarmworks.git.packs import make_pack, take_pack
from swarmworks.store.protocol import Store, Tx


class Transporting:
    def __init__(self, store: Store, hub: BareHub) -> None:
        self._store = store
        self._hub = hub

    async def fetch(self, lease: WorkerLease, wants: tuple[str, ...], haves: tuple[str, ...]) -> bytes:
        """A pack. FenceLostError without a lease, RejectedError for a commit that is not here."""
        await self._store.transact(lambda tx: tx.hold_worker(lease))
        return await asyncio.to_thread(make_pack, self._hub, wants, haves)

    async def push(self, lease: WorkerLease, work_id: WorkId, fence: int, commit: str, pack: bytes) -> None:
        """FenceLostError when the session is not the worker's, RejectedError when the commit does not continue its base."""
        session = await self._store.transact(lambda tx: _held(tx, lease, work_id, fence))
        await asyncio.to_thread(take_pack, self._hub, pack, [commit], session.base_commit)
        await self._store.transact(lambda tx: _held(tx, lease, work_id, fence))
        ref = work_ref(session.swarm_id, session.task_id, session.fence)
        await asyncio.to_thread(self._hub.update_refs, {ref: commit})


def _held(tx: Tx, lease: WorkerLease, work_id: WorkId, fence: int) -> Session:
    tx.hold_worker(lease)
    work = tx.work(work_id)
    holds = (work.kind, work.state, work.worker_id, work.fence)
    if holds != (WorkKind.SESSION, WorkState.LEASED, lease.worker_id, fence):
        raise FenceLostError(f"{work_id} is no session of yours")
    return tx.session(SessionId(work.subject))
