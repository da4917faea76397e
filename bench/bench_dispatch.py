"""How long ready tasks wait for waiting workers: a hundred tasks that are ready at once, a hundred workers with a place each.

The control plane is a real one in its own process (`swarm serve`). The workers are simulated, on the real API: each registers,
renews its lease and waits for work in a long poll, and has started once it holds the session's work. From the moment the
swarm is written down to each start. Goal: the last within 5 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from tests.scenario.harness import configuration, plan, task

from bench.plant import STORES, Served, project, served
from swarmworks.base.errors import UnavailableError
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.git.locking import held
from swarmworks.wire.api import CreateSwarm, LeaseWork, RegisterWorker, RenewWorker
from swarmworks.worker.loop import RENEWALS_PER_TTL

if TYPE_CHECKING:
    from swarmworks.base.ids import WorkId
    from swarmworks.wire.api import RegisteredWorker

GOAL_S = 5.0
GIVE_UP_S = 120.0
POLL_S = 25.0
ASKED_S = 1.0  # until every long poll has found nothing, and waits
PLACE = Capacity(agents=1, cpu_slots=0, memory_bytes=4 << 30)


def run(*, smoke: bool) -> None:
    count = 5 if smoke else 100
    for store in STORES:
        with project("dispatch") as (root, base):
            (root / ".swarm").mkdir(mode=0o700)
            with held(root / ".swarm" / "worker.lock"), served(root, base, store) as plant:  # its own worker waits
                asyncio.run(_measure(store, plant, count))


async def _measure(store: str, plant: Served, count: int) -> None:
    async with AsyncExitStack() as stack:
        operator = await stack.enter_async_context(ControlPlaneClient(plant.url, plant.operator_token, "bench"))
        clients = [ControlPlaneClient(plant.url, plant.worker_token) for _ in range(count)]
        workers = [Worker(await stack.enter_async_context(one), f"w{n}") for n, one in enumerate(clients)]
        async with asyncio.timeout(GIVE_UP_S), asyncio.TaskGroup() as group:
            living = [group.create_task(worker.live()) for worker in workers]
            await asyncio.gather(*(worker.registered.wait() for worker in workers))
            asking = [group.create_task(worker.first_work()) for worker in workers]
            await asyncio.sleep(ASKED_S)
            created = await operator.create_swarm(_request(plant, count))
            starts = [await each - created.created_at.timestamp() for each in asking]
            for each in living:
                each.cancel()
    starts.sort()
    print(
        f"{store:10} {count} ready tasks to {count} waiting workers: first {starts[0] * 1000:.0f} ms, "
        f"median {statistics.median(starts) * 1000:.0f} ms, last {starts[-1]:.2f} s (goal {GOAL_S:.0f} s)",
        flush=True,
    )


class Worker:
    def __init__(self, client: ControlPlaneClient, name: str) -> None:
        self._client, self._name = client, name
        self._me: RegisteredWorker | None = None
        self._holding: tuple[WorkId, ...] = ()
        self.registered = asyncio.Event()

    async def live(self) -> None:
        """Registered and renewed until cancelled. A renewal that is late is tried again, as a worker does."""
        me = self._me = await self._client.register_worker(RegisterWorker(name=self._name, capacity=PLACE))
        self.registered.set()
        while True:
            await asyncio.sleep(me.ttl_s / RENEWALS_PER_TTL)
            with contextlib.suppress(UnavailableError):
                body = RenewWorker(fence=me.fence, holding=self._holding)
                await self._client.renew_worker(me.worker_id, body, timeout_s=me.ttl_s)

    async def first_work(self) -> float:
        """When it held a session's work, by the machine's clock, which is the control plane's too."""
        assert self._me is not None
        ask = LeaseWork(fence=self._me.fence, free=PLACE, kinds=(WorkKind.SESSION,), wait_s=POLL_S)
        while True:
            answer = await self._client.lease(self._me.worker_id, ask)
            if answer.work:
                self._holding = (answer.work[0].work_id,)
                return time.time()


def _request(plant: Served, count: int) -> CreateSwarm:
    return CreateSwarm(
        project="testing",
        repository=str(plant.root),
        base=plant.base,
        plan=plan(*(task(f"task-{n}") for n in range(count))),
        config=configuration(),
        agents=count,
        model="rehearsal:rehearsal",
    )
