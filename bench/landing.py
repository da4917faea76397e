"""How long a landing takes once the last gate has spoken: from the worker's result at the control plane's door to the moved
reference, checked, written down and durable, on the store and the repository as they are.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from typing import TYPE_CHECKING, Any

from tests.chaos.landing import commit
from tests.scenario.harness import PlayedWorker, configuration, create, plan, start_plane, task

from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.service import reviews
from swarmworks.wire.work import SessionResult

if TYPE_CHECKING:
    from pathlib import Path

ROOM = Capacity(agents=64, cpu_slots=2, memory_bytes=64 << 30)


class _Timed:
    """A hub that notes when a reference has moved."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self.moved_at = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hub, name)

    def update_ref(self, ref: str, new: str, old: str | None) -> bool:
        moved = self._hub.update_ref(ref, new, old)
        self.moved_at = time.perf_counter()
        return moved


def landing_ms(folder: Path, repository: Path, base: str, changes: int) -> list[float]:
    """Of `changes` changes that land one after the other on `base` of `repository`, a bare one."""
    folder.mkdir()
    shutil.copytree(repository, folder / "hub.git")
    return asyncio.run(_landing_ms(folder, repository, base, changes))


async def _landing_ms(folder: Path, repository: Path, base: str, changes: int) -> list[float]:
    plane = await start_plane(folder)
    names = [f"t{number:03d}" for number in range(changes)]
    tasks = plan(*(task(name) for name in names))
    swarm = await create(plane, repository, base, tasks, agents=1, config=configuration())
    await plane.store.transact(lambda tx: _approve_the_plan(tx, swarm))  # type: ignore[attr-defined]
    worker = await PlayedWorker.register(plane, folder)
    timed = _Timed(plane.hub)
    plane.merging._hub = timed  # type: ignore[assignment]  # noqa: SLF001
    found: list[float] = []
    for _ in names:
        (work,) = await plane.leasing.lease(worker.lease, ROOM, (WorkKind.SESSION,))
        head = commit(plane.hub, work.base, f"{work.task.id}/1", {f"{work.task.id}.txt": "x\n"})
        result = SessionResult(
            outcome="submitted", base=work.base, head=head, handoff='{"outcome": "submitted", "done": "x"}'
        )
        await plane.finishing.finish(worker.lease, work.work_id, work.fence, result)
        (gates,) = await worker.take(WorkKind.GATES)
        await worker.gates(gates)
        await plane.settle()
        (build,) = await worker.take(WorkKind.BUILD)
        built = worker.build(build)
        started = time.perf_counter()
        await worker.finish_build(build, built)
        found.append((timed.moved_at - started) * 1000)
        assert await plane.head(swarm) == build.candidate
    await plane.store.close()  # type: ignore[attr-defined]
    return found


def _approve_the_plan(tx: Any, swarm: str) -> None:
    for review in tx.reviews(swarm):
        reviews.decide(tx, review.id, approve=True, actor="person:bench", reason="measured")
