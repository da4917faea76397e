"""One control plane on this machine, put together: store, hub, services, gateway, API, chores, and its own processes.

`swarm run`, `swarm resume` and `swarm serve` start the same thing. Two listeners, both on loopback: the API for the
command line and workers, the gateway for sandboxes. No agent can reach the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from swarmworks.api.app import build_app
from swarmworks.api.control_plane import ControlPlaneServices
from swarmworks.base.chores import Chore
from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import UnavailableError, UsageError
from swarmworks.base.ids import RandomIds
from swarmworks.cli.context import LiveControlPlane
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.budget import Amount
from swarmworks.domain.session import Session, SessionLimits
from swarmworks.domain.swarm import SwarmState
from swarmworks.engine.local import LocalProcess
from swarmworks.git.hub import BareHub
from swarmworks.policy.capability import REHEARSAL
from swarmworks.sandbox.best import best_sandbox
from swarmworks.sandbox.floor import require
from swarmworks.sandbox.protocol import Property, SandboxSpec
from swarmworks.service.accounting.report import Report
from swarmworks.service.accounting.status import Status
from swarmworks.service.auditing import Auditing
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.record import GatewaySettings
from swarmworks.service.gating import Gating
from swarmworks.service.merging import Merging
from swarmworks.service.scheduling.finishing import Finishing
from swarmworks.service.scheduling.leasing import Leasing
from swarmworks.service.scheduling.swarms import Swarms
from swarmworks.service.waking import Waking
from swarmworks.service.watching import Watching
from swarmworks.settings import (
    Project,
    RunFile,
    clean_environment,
    prepare_state,
    providers,
    remove_run_file,
    worker_environment,
    write_run_file,
)
from swarmworks.store.protocol import Reader, Store
from swarmworks.store.sqlite import open_store
from swarmworks.wire.options import from_json
from swarmworks.wiring.models import check_model, full_name, least_amount, price_table, upstreams

log = logging.getLogger(__name__)

LOCAL_TTL_S = 3.0
CHORE_S = 2.0
READY_S = 20.0


@dataclass(frozen=True)
class _Plane:
    services: ControlPlaneServices
    gateway: Gateway
    store: Store


class _Server(uvicorn.Server):
    """A server whose signals are handled by who started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def running(
    project: Project, *, work: bool, port: int = 0, model: str | None = None
) -> AsyncGenerator[LiveControlPlane]:
    """A control plane inside this process for as long as the block runs. With `work` also the gateway, the chores and a
    worker, after what a crash left has been put in order; without, only the API, to look at what is stored.
    """
    state = prepare_state(project)
    logging.basicConfig(
        filename=state / "control-plane.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, must not cover what the user reads
    logging.getLogger("httpx").setLevel(logging.WARNING)
    accounts = providers(project.config)
    chosen = full_name(model or project.config.models.default)
    if work:
        check_model(chosen, accounts)
        await asyncio.to_thread(_check_sandbox, project)
    async with AsyncExitStack() as stack:
        listener = _bind(port)
        gateway_listener = _bind(0)
        gave_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        rehearsal_port = _free_port()
        plane = await _assemble(stack, project, state, gateway_listener.getsockname()[1], rehearsal_port)
        services = plane.services
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if work:
            await _put_in_order(plane)
            await _serve(stack, plane.gateway, gateway_listener)
        await _serve(stack, build_app(services), listener)
        stack.callback(services.waking.close)
        client = await stack.enter_async_context(ControlPlaneClient(url, services.operator_token))
        if work:
            write_run_file(state, RunFile(pid=os.getpid(), url=url, token=services.operator_token))
            stack.callback(remove_run_file, state, os.getpid())
            await _start_chores(stack, services)
            if chosen.startswith(REHEARSAL) or await services.store.read(_rehearsing):
                await _start_rehearsal(stack, project, rehearsal_port, gave_up)
            await _start_worker(stack, project, url, services.worker_token, gave_up)
        yield LiveControlPlane(client, url, gave_up)


async def serve(project: Project, port: int) -> None:
    """Until SIGTERM or SIGINT."""
    async with running(project, work=True, port=port) as live:
        print(f"control plane of {project.name} on {live.url}", flush=True)  # noqa: T201
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        waiting = asyncio.create_task(stop.wait())
        await asyncio.wait([waiting, live.gave_up], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if live.gave_up.done():
            raise UnavailableError(live.gave_up.result(), where="control plane", mend="see the logs in .swarm/")


async def _assemble(
    stack: AsyncExitStack, project: Project, state: Path, gateway_port: int, rehearsal_port: int
) -> _Plane:
    clock, ids = SystemClock(), RandomIds()
    store = await open_store(state / "state.db", clock, ids)
    stack.push_async_callback(store.close)
    hub = await asyncio.to_thread(BareHub.open_or_create, state / "hub.git")
    accounts = providers(project.config)
    found = upstreams(accounts, f"http://127.0.0.1:{rehearsal_port}/v1")
    prices = price_table(project.config)
    least: Callable[[str], Amount] = least_amount(prices, found, output_tokens=project.config.limits.max_output_tokens)
    limits = project.config.session_limits()
    gateway = Gateway(store, found, prices, clock, ids, GatewaySettings(), limits=_same_limits(limits))
    stack.push_async_callback(gateway.close)
    auditing = Auditing(store)
    wires = {name: account.kind for name, account in accounts.items()}
    services = ControlPlaneServices(
        store=store,
        ids=ids,
        swarms=Swarms(store, hub, ids, least),
        leasing=Leasing(store, hub, clock, least, wires),
        finishing=Finishing(store, hub, ids, clock, least),
        gating=Gating(store, ids, clock),
        merging=Merging(store, hub, ids, clock),
        watching=Watching(store, clock, LOCAL_TTL_S),
        auditing=auditing,
        status=Status(store, hub, clock, auditing.doing),
        report=Report(store, hub, clock),
        waking=Waking(store, clock),
        hub=str(hub.path),
        gateway_port=gateway_port,
        operator_token=secrets.token_urlsafe(32),
        worker_token=secrets.token_urlsafe(32),
    )
    return _Plane(services, gateway, store)


def _same_limits(limits: SessionLimits) -> Callable[[Session], SessionLimits]:
    return lambda _session: limits


async def _put_in_order(plane: _Plane) -> None:
    """What a crash left: money that was under way is charged in full, landings are finished or undone, and the workers of
    the process before this one are fenced out, so that their tasks can be taken again.
    """
    recovered = await plane.store.transact(lambda tx: tx.recover_reservations())
    if recovered:
        log.info("%d model calls were under way when the last control plane ended: charged in full", len(recovered))
    await plane.services.merging.recover()
    await plane.services.watching.expire_all()


async def _start_chores(stack: AsyncExitStack, services: ControlPlaneServices) -> None:
    chores = [
        Chore("settle swarms", services.swarms.settle, every_s=CHORE_S),
        Chore("advance the merge queue", services.merging.advance, every_s=CHORE_S),
    ]
    watch = Chore("watch the workers", services.watching.watch, every_s=LOCAL_TTL_S / 3)
    for chore in chores:
        services.waking.listen(chore.wake)
    for task in [asyncio.create_task(chore.run()) for chore in (*chores, watch)]:
        stack.push_async_callback(_ended, task)
    stack.push_async_callback(_ended, asyncio.create_task(services.waking.run()))


def _rehearsing(reader: Reader) -> bool:
    """Whether a swarm that may go on was started with the rehearsal model."""
    return any(
        from_json(swarm.options).model.startswith(REHEARSAL)
        for swarm in reader.swarms()
        if swarm.state is not SwarmState.LANDED
    )


async def _start_rehearsal(stack: AsyncExitStack, project: Project, port: int, gave_up: asyncio.Future[str]) -> None:
    log_path = project.state / "logs" / "rehearsal.log"
    argv = (sys.executable, "-m", "swarmworks.provider.rehearsal", "--port", str(port), "--parent", str(os.getpid()))
    process = LocalProcess(
        "the rehearsal model", argv, log_path, _giving_up(gave_up), environment=clean_environment(project.config)
    )
    await _keep_running(stack, process)
    await _answering(port, "the rehearsal model", log_path)


async def _start_worker(
    stack: AsyncExitStack, project: Project, url: str, token: str, gave_up: asyncio.Future[str]
) -> None:
    log_path = project.state / "logs" / "worker.log"
    argv = (sys.executable, "-m", "swarmworks", "worker", "--url", url, "--path", str(project.root))
    environment = worker_environment(project.config, token)
    worker = LocalProcess("the worker", argv, log_path, _giving_up(gave_up), environment=environment)
    await _keep_running(stack, worker)


def _giving_up(gave_up: asyncio.Future[str]) -> Callable[[str], None]:
    def give_up(why: str) -> None:
        if not gave_up.done():
            gave_up.set_result(why)

    return give_up


async def _keep_running(stack: AsyncExitStack, process: LocalProcess) -> None:
    task = asyncio.create_task(process.run())
    stack.push_async_callback(_ended, task)
    stack.push_async_callback(process.stop)


async def _answering(port: int, name: str, log_path: Path) -> None:
    deadline = asyncio.get_running_loop().time() + READY_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError as error:
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError(f"{name} did not start", where=str(log_path), mend="read that log") from error
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def _serve(stack: AsyncExitStack, app: Any, listener: socket.socket) -> None:
    config = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=2
    )  # its own handlers would print to the terminal; the root logger writes to the log file
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))

    async def stop() -> None:
        server.should_exit = True
        await task

    stack.push_async_callback(stop)
    while not server.started:
        if task.done():
            task.result()
            raise UnavailableError("a listener of the control plane did not start", where=str(listener.getsockname()))
        await asyncio.sleep(0.005)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _bind(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # or asyncio leaves Nagle on
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise UsageError(
            f"port {port} cannot be used: {error.strerror}",
            where=f"--port {port}",
            mend="name a free one, or leave --port out to have one chosen",
        ) from error
    return listener


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_sandbox(project: Project) -> None:
    """The floor is checked before anything starts, so that its lack is one clear refusal."""
    floor = frozenset(Property(name) for name in project.config.sandbox.floor)
    require(SandboxSpec(argv=("true",), workdir="/", floor=floor), best_sandbox(project.state).probe())
