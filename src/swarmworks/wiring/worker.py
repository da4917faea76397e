"""One worker process, put together: it knows the control plane's address and token, the hub, and the sandbox."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import psutil

import swarmworks
from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import UnavailableError
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.git.best import best_copies
from swarmworks.git.hub import BareHub
from swarmworks.git.locking import held_if_free
from swarmworks.git.mounting import keep_mounts_private
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.bubblewrap import DEFAULT_UID
from swarmworks.settings import (
    REACH_VARIABLE,
    Project,
    database_address,
    reach_places,
    setup_environment,
    worker_token,
)
from swarmworks.wiring.descriptors import allow_many
from swarmworks.wiring.runtimes import runtimes
from swarmworks.worker.checking import Checker
from swarmworks.worker.context import Outside, Places, WorkerContext
from swarmworks.worker.executor import Executor
from swarmworks.worker.loop import COMPUTING, WorkerLoop, register
from swarmworks.worker.registries import registry_access
from swarmworks.worker.transport import OwnHub, SameHub

log = logging.getLogger(__name__)

STANDBY_S = 0.2
"""How often a worker that stands by looks whether the one before it is gone."""

MADE_IN_THE_HUB = (WorkKind.DELIVERY,)
"""Work that makes a commit which is no session's: only where the project's hub is."""

KEPT_FREE_BYTES = 1 << 30
"""Memory the worker leaves to the machine."""


async def work(project: Project, urls: Sequence[str], name: str | None = None, *, own_hub: bool = False) -> None:
    """Until SIGTERM, or until no control plane has answered for a whole lease. Those with a `name` have folders of their own;
    of those without, one works on this machine. With `own_hub` the project's hub need not be on this machine.
    """
    keep_mounts_private()
    allow_many()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.raiseExceptions = False
    logging.getLogger("httpx").setLevel(logging.WARNING)
    state = project.state
    async with AsyncExitStack() as stack:
        place = state if name is None else state / "workers" / name
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        await _first_in(place, stack)
        client = await stack.enter_async_context(ControlPlaneClient(urls, worker_token()))
        context, checker, capacity = await asyncio.to_thread(_assemble, project, place, client, own_hub=own_hub)
        executor = Executor(context, checker)
        await asyncio.to_thread(executor.keep_leftovers)
        registered = await register(context, f"{name or 'local'}-{os.getpid()}", capacity)
        computing = [kind for kind in COMPUTING if not (own_hub and kind in MADE_IN_THE_HUB)]
        loop = WorkerLoop(context, executor, registered, capacity, computing)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, loop.stop)
        await loop.run()


async def _first_in(place: Path, stack: AsyncExitStack) -> None:
    """Stands by while another worker is in `place`: two would tidy up each other's working copies. Raises UnavailableError when
    whoever started this one is gone meanwhile: nobody would ever end it.
    """
    parent = os.getppid()
    said = False
    while True:
        with ExitStack() as trying:
            if trying.enter_context(held_if_free(place / "worker.lock")):
                stack.push(trying.pop_all())
                return
        if os.getppid() != parent:
            raise UnavailableError("who started this worker is gone, and another one works here", where=str(place))
        if not said:
            log.info("another worker works in %s: this one stands by", place)
            said = True
        await asyncio.sleep(STANDBY_S)


def _assemble(
    project: Project, place: Path, client: ControlPlaneClient, *, own_hub: bool
) -> tuple[WorkerContext, Checker, Capacity]:
    clock, state = SystemClock(), project.state
    hub = BareHub.open_or_create(place / "own-hub.git" if own_hub else state / "hub.git")
    owner = DEFAULT_UID if os.getuid() == 0 else None
    copies = best_copies(hub.path, place / "copies", owner)
    sandbox = best_sandbox(state)
    places = Places(
        environments=state / "environments",
        caches=state / "caches",
        scratch=place / "scratch",
        package=Path(swarmworks.__file__).parent,
        interpreter=Path(sys.executable),
    )
    context = WorkerContext(
        client,
        hub,
        copies,
        sandbox,
        places,
        clock,
        runtimes=runtimes(project.config),
        outside=_outside(),
        most_copies=project.config.copies.kept,
        transport=OwnHub(client, hub) if own_hub else SameHub(),
    )
    capacity = _capacity(project)
    access = registry_access(setup_environment(), Path.home())
    return context, Checker(context, state, access, _processors()), capacity


def _outside() -> Outside:
    hosts = reach_places()
    for host, place in hosts.items():
        log.warning("%s is taken to be at %s, as %s says", host, place, REACH_VARIABLE)
    return Outside(database_address, hosts)


def _processors() -> int:
    return max(2, len(os.sched_getaffinity(0)))


def _capacity(project: Project) -> Capacity:
    """As many sessions as the project has agents; a place for two merge builds and for the gates of a change beside them,
    more with more processors; and the memory that is free now. How many gate commands run at once is another matter: as
    many as there are processors.
    """
    memory = max(2 << 30, int(psutil.virtual_memory().available) - KEPT_FREE_BYTES)
    return Capacity(agents=project.config.agents.count, cpu_slots=1 + _processors(), memory_bytes=memory)
