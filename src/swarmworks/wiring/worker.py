"""One worker process, put together: it knows the control plane's address and token, the hub, and the sandbox."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

import swarmworks
from swarmworks.base.clock import SystemClock
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import Capacity
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.locking import held
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.bubblewrap import DEFAULT_UID
from swarmworks.settings import Project, setup_environment, worker_token
from swarmworks.worker.checking import Checker
from swarmworks.worker.context import Places, WorkerContext
from swarmworks.worker.executor import Executor
from swarmworks.worker.loop import WorkerLoop, register
from swarmworks.worker.registries import registry_access

PREDECESSOR_S = 60.0
"""How long a worker waits for the one before it to end: two on one state folder would tidy up each other's working copies."""

KEPT_FREE_BYTES = 1 << 30
"""Memory the worker leaves to the machine."""


async def work(project: Project, url: str) -> None:
    """Until SIGTERM, or until the control plane has not answered for a whole lease."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.raiseExceptions = False
    logging.getLogger("httpx").setLevel(logging.WARNING)
    state = project.state
    async with AsyncExitStack() as stack:
        lock = held(state / "worker.lock", timeout_s=PREDECESSOR_S)
        await asyncio.to_thread(stack.enter_context, lock)
        client = await stack.enter_async_context(ControlPlaneClient(url, worker_token()))
        context, checker, capacity = await asyncio.to_thread(_assemble, project, state, client)
        executor = Executor(context, checker)
        await asyncio.to_thread(executor.keep_leftovers)
        registered = await register(context, f"local-{os.getpid()}", capacity)
        context.gateway_port = registered.gateway_port
        loop = WorkerLoop(context, executor, registered, capacity)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, loop.stop)
        await loop.run()


def _assemble(project: Project, state: Path, client: ControlPlaneClient) -> tuple[WorkerContext, Checker, Capacity]:
    clock = SystemClock()
    hub = BareHub.open_or_create(state / "hub.git")
    owner = DEFAULT_UID if os.getuid() == 0 else None
    copies = SharedClones(hub.path, state / "copies", owner)
    sandbox = best_sandbox(state)
    places = Places(
        environments=state / "environments",
        caches=state / "caches",
        scratch=state / "scratch",
        package=Path(swarmworks.__file__).parent,
        interpreter=Path(sys.executable),
    )
    context = WorkerContext(client, hub, copies, sandbox, places, clock, gateway_port=0)
    capacity = _capacity(project)
    access = registry_access(setup_environment(), Path.home())
    return context, Checker(context, state, access, _processors()), capacity


def _processors() -> int:
    return max(2, len(os.sched_getaffinity(0)))


def _capacity(project: Project) -> Capacity:
    """As many sessions as the project has agents; a place for two merge builds and for the gates of a change beside them,
    more with more processors; and the memory that is free now. How many gate commands run at once is another matter: as
    many as there are processors.
    """
    memory = max(2 << 30, int(psutil.virtual_memory().available) - KEPT_FREE_BYTES)
    return Capacity(agents=project.config.agents.count, cpu_slots=1 + _processors(), memory_bytes=memory)
