"""One control plane on this machine, put together: store, hub, services, gateway, API, chores, and its own processes.

`swarm run`, `swarm resume` and `swarm serve` start the same thing. Two listeners, both on loopback: the API for the
command line and workers, the gateway for sandboxes. No agent can reach the API.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
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
from swarmworks.cli.faults import fault_log
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.budget import Amount
from swarmworks.domain.session import Session, SessionLimits
from swarmworks.domain.swarm import SwarmState
from swarmworks.engine.local import LocalProcess
from swarmworks.git.hub import BareHub
from swarmworks.git.identity import hub_id
from swarmworks.policy.capability import REHEARSAL
from swarmworks.sandbox.best import probed
from swarmworks.sandbox.floor import require
from swarmworks.sandbox.protocol import SandboxSpec
from swarmworks.service.accounting.report import Report
from swarmworks.service.accounting.status import Status
from swarmworks.service.accounting.why import Why
from swarmworks.service.auditing import Auditing
from swarmworks.service.belonging import begin_in, look_in
from swarmworks.service.conversing import Conversing
from swarmworks.service.delivering import Delivering
from swarmworks.service.electing import Electing
from swarmworks.service.foreseeing import Foreseeing
from swarmworks.service.gateway.app import Gateway
from swarmworks.service.gateway.price_desk import PriceDesk
from swarmworks.service.gateway.record import GatewaySettings
from swarmworks.service.gating import Gating
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.service.inbox.detail import InboxView
from swarmworks.service.inbox.reverting import Reverting
from swarmworks.service.merging import Merging
from swarmworks.service.model_reviews import ModelReviews
from swarmworks.service.reading import Reading
from swarmworks.service.replicas import Replicas
from swarmworks.service.scheduling.finishing import Finishing
from swarmworks.service.scheduling.leasing import Leasing, Program
from swarmworks.service.scheduling.purse import bound_project
from swarmworks.service.scheduling.swarms import Swarms
from swarmworks.service.secrets import SecretKeeping
from swarmworks.service.transporting import Transporting
from swarmworks.service.upkeep import HubUpkeep
from swarmworks.service.waking import Waking
from swarmworks.service.watching import Watching
from swarmworks.settings import (
    Project,
    RunFile,
    clean_environment,
    control_plane_tokens,
    person,
    prepare_state,
    providers,
    remove_run_file,
    secret_keys,
    store_address,
    worker_environment,
    write_run_file,
)
from swarmworks.store.protocol import Reader, ReplicaRow, Store
from swarmworks.telemetry.counting import CallCounts
from swarmworks.wire.options import from_json
from swarmworks.wiring.agents_tools import agents_tools
from swarmworks.wiring.auditing import start_auditing, verifying
from swarmworks.wiring.descriptors import allow_many
from swarmworks.wiring.front import front
from swarmworks.wiring.heads import BoundedHead
from swarmworks.wiring.keys import start_watching_keys
from swarmworks.wiring.models import (
    asked_models,
    check_chain,
    circuit_rules,
    configured_models,
    context_rules,
    least_amount,
    model_book,
    price_table,
    room_for,
    upstreams,
    with_secrets,
)
from swarmworks.wiring.replicas import (
    address_of,
    assemble_replicas,
    make_way,
    start_replica,
    start_watching,
    this_replica,
)
from swarmworks.wiring.runtimes import fits, runtimes
from swarmworks.wiring.stores import open_configured
from swarmworks.wiring.telemetry import content_chars, start_telemetry
from swarmworks.wiring.telling import start_telling

log = logging.getLogger(__name__)

LOCAL_TTL_S = 3.0
SERVER_TTL_S = 15.0
"""Of a worker's lease where the state lies on a database server: a pause of it, of the network or of the machine ends no session."""
CHORE_S = 2.0
FORESEE_S = 10.0
UPKEEP_S = 600.0
READY_S = 20.0


@dataclass(frozen=True)
class _Plane:
    services: ControlPlaneServices
    gateway: Gateway
    store: Store
    electing: Electing
    foreseeing: Foreseeing
    upkeep: HubUpkeep


class _Server(uvicorn.Server):
    """A server whose signals are handled by who started it. It wakes for requests only, where uvicorn's own loop looks ten
    times a second whether it should end.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def main_loop(self) -> None:
        await self.on_tick(0)  # which sets the headers of every answer
        await self._stopping.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()


@asynccontextmanager
async def running(
    project: Project, *, work: bool, port: int = 0, model: str | None = None
) -> AsyncGenerator[LiveControlPlane]:
    """A control plane inside this process for as long as the block runs. With `work` also the gateway, the chores and a
    worker, after what a crash left has been put in order; without, only the API, to look at what is stored.
    """
    allow_many()
    state = prepare_state(project)
    logging.basicConfig(
        filename=state / "control-plane.log",
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, must not cover what the user reads
    logging.getLogger("httpx").setLevel(logging.WARNING)
    accounts = providers(project.config)
    chains = [project.config.models.chain(asked) for asked in asked_models(project.config, model)]
    if work:
        for chain in chains:
            check_chain(chain, accounts)
        await asyncio.to_thread(_check_sandbox, project)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_bind(port))
        gateway_listener = stack.enter_context(_bind(0))
        gave_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        rehearsal_port = _free_port()
        url, gateway_url = address_of(listener), address_of(gateway_listener)
        me = this_replica(url, gateway_url)
        plane = await _assemble(
            stack, project, state, me, gateway_listener.getsockname()[1], rehearsal_port, _giving_up(gave_up), work=work
        )
        services = plane.services
        if work:
            await _put_in_order(plane)
            await start_auditing(stack, project, services.store, plane.electing)
            await start_telling(stack, project, services.store, gave_up, services.replicas, plane.electing)
            await _start_chores(stack, plane)
            rehearsed = any(one.startswith(REHEARSAL) for chain in chains for one in chain)
            if rehearsed or await services.store.read(_rehearsing):
                await _start_rehearsal(stack, project, rehearsal_port, gave_up)
            await _serve(
                stack,
                front(agents_tools(services, plane.gateway.shut), plane.gateway),
                gateway_listener,
                services.replicas,
            )
        await _serve(stack, build_app(services), listener, services.replicas)
        stack.callback(services.waking.close)
        client = await stack.enter_async_context(ControlPlaneClient(url, services.operator_token, person(project.root)))
        if work:
            write_run_file(state, RunFile(pid=os.getpid(), url=url, token=services.operator_token))
            stack.callback(remove_run_file, state, os.getpid())
            _start_watching_workers(stack, services.watching)
            await _start_worker(stack, project, url, services, gave_up)
            stack.push_async_callback(make_way, services.replicas)
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
    stack: AsyncExitStack,
    project: Project,
    state: Path,
    me: ReplicaRow,
    gateway_port: int,
    rehearsal_port: int,
    give_up: Callable[[str], None],
    *,
    work: bool,
) -> _Plane:
    clock, ids = SystemClock(), RandomIds()
    store = await open_configured(project, clock, ids)
    stack.push_async_callback(store.close)
    alone = store_address(project.config) is None
    hub = await asyncio.to_thread(BareHub.open_or_create, state / "hub.git")
    belongs = begin_in if work else look_in
    await belongs(store, await asyncio.to_thread(hub_id, hub.path), str(hub.path), alone=alone)
    replicas, electing = assemble_replicas(store, clock, me, alone=alone, lost=give_up)
    counts = CallCounts()
    observer = start_telemetry(stack, project, counts, clock, me.id) if work else None
    if work:
        await start_replica(stack, replicas)
        await bound_project(store, project.name, project.config.budget)
    tokens = control_plane_tokens(project)
    secrets = SecretKeeping(store, secret_keys(project))
    accounts = providers(project.config)
    if work:
        accounts = await with_secrets(accounts, secrets)
    found = upstreams(accounts, f"http://127.0.0.1:{rehearsal_port}/v1")
    prices = price_table(project.config, clock)
    book = model_book(project.config)
    least: Callable[[str], Amount] = least_amount(
        prices, found, output_tokens=project.config.limits.max_output_tokens, book=book
    )
    limits = project.config.session_limits()
    gateway = Gateway(
        store,
        found,
        prices,
        clock,
        ids,
        GatewaySettings(
            circuit=circuit_rules(project.config),
            content_chars=content_chars(project),
            context=context_rules(project.config),
        ),
        observer,
        limits=_same_limits(limits),
        replica_id=me.id,
        others=lambda: replicas.others,
        tiers=book.tiers,
    )
    stack.push_async_callback(gateway.close)
    if work:
        start_watching_keys(stack, secrets, accounts, gateway)
    auditing = Auditing(store)
    known = runtimes(project.config)
    programs = {name: Program(one.wires, one.memory_bytes) for name, one in known.items()}
    deaf = frozenset(name for name, one in known.items() if one.says("") is None)
    services = ControlPlaneServices(
        store=store,
        ids=ids,
        swarms=Swarms(store, hub, ids, clock, least, fits(project.config, accounts)),
        leasing=Leasing(store, hub, clock, least, book, programs, gateway.available, room_for(found, least, clock)),
        finishing=Finishing(store, hub, ids, clock, least, gateway.held_up),
        gating=Gating(store, hub, ids, clock),
        merging=Merging(store, hub, ids, clock),
        reverting=Reverting(store, hub, clock, working=work),
        delivering=Delivering(store, hub, ids, clock),
        model_reviews=ModelReviews(store, hub, ids),
        inbox=InboxView(store, hub, clock),
        deciding=Deciding(store, hub, ids, clock, working=work, deaf=deaf),
        watching=Watching(store, clock, LOCAL_TTL_S if alone else SERVER_TTL_S),
        auditing=auditing,
        conversing=Conversing(store, ids, clock, deaf),
        status=Status(store, hub, clock, auditing.doing, gateway.providers, gateway.fallbacks),
        report=Report(store, hub, clock),
        why=Why(store, hub),
        reading=Reading(store, hub),
        verifying=verifying(project, store),
        secrets=secrets,
        prices=PriceDesk(store, clock, ids, gateway.approved, found, configured_models(project.config)),
        transporting=Transporting(store, hub),
        waking=Waking(store, clock),
        replicas=replicas,
        counts=counts,
        hub=str(hub.path),
        gateway_port=gateway_port,
        operator_token=tokens.operator,
        worker_token=tokens.worker,
    )
    upkeep = HubUpkeep(store, hub, clock, lambda: [state / "copies", *state.glob("workers/*/copies")])
    return _Plane(services, gateway, store, electing, Foreseeing(store, hub), upkeep)


def _same_limits(limits: SessionLimits) -> Callable[[Session], SessionLimits]:
    return lambda _session: limits


async def _put_in_order(plane: _Plane) -> None:
    """What a crash left: landings are finished. Where no other control plane can be there, the workers of the process
    before this one are fenced out at once, so that their tasks can be taken again; else they may be working for another,
    and their silence will tell.
    """
    services = plane.services
    await services.merging.recover()
    if services.replicas.alone:
        await services.watching.expire_all()


async def _start_chores(stack: AsyncExitStack, plane: _Plane) -> None:
    """Before anything is served, so that they end after it: this one keeps its elected chores until it leaves the list, and
    what is under way at the end takes its time.
    """
    services, guarded = plane.services, plane.electing.guarded
    chores = [
        Chore("settle swarms", guarded("swarms", services.swarms.settle), every_s=CHORE_S),
        Chore("advance the merge queue", guarded("merge queue", services.merging.advance), every_s=CHORE_S),
    ]
    unhurried = [
        Chore("foresee conflicts", guarded("foreseeing", plane.foreseeing.look), every_s=FORESEE_S),
        Chore("keep the hub in order", guarded("hub", plane.upkeep.once), every_s=UPKEEP_S),
    ]
    for chore in unhurried:
        stack.push_async_callback(_ended, asyncio.create_task(chore.run()))
    for chore in chores:
        services.waking.listen(chore.wake)
        plane.electing.listen(chore.wake)
        stack.push_async_callback(_ended, asyncio.create_task(chore.run()))
    stack.push_async_callback(_ended, asyncio.create_task(services.waking.run()))
    start_watching(stack, services.replicas, plane.electing)


def _start_watching_workers(stack: AsyncExitStack, watching: Watching) -> None:
    """While the API is served only: who cannot renew here is not silent for that. As often for a long lease as for a short one, so
    that it is soon over when it is.
    """
    watch = Chore("watch the workers", watching.watch, every_s=LOCAL_TTL_S / 3)
    stack.push_async_callback(_ended, asyncio.create_task(watch.run()))


def _most_agents(reader: Reader) -> int:
    """Of a swarm that may go on, where `swarm run --agents` asked for more than the configuration had."""
    swarms = reader.swarms(states=frozenset(SwarmState) - {SwarmState.LANDED})
    asked = [from_json(swarm.options) for swarm in swarms]
    return max((each.agents for each in asked if each.agents > each.config.agents.count), default=0)


def _rehearsing(reader: Reader) -> bool:
    """Whether a swarm that may go on was started with the rehearsal model."""
    return any(
        from_json(swarm.options).model.startswith(REHEARSAL)
        for swarm in reader.swarms(states=frozenset(SwarmState) - {SwarmState.LANDED})
    )


async def _start_rehearsal(stack: AsyncExitStack, project: Project, port: int, gave_up: asyncio.Future[str]) -> None:
    log_path = project.state / "logs" / "rehearsal.log"
    argv = (sys.executable, "-m", "swarmworks.provider.rehearsal", "--port", str(port), "--parent", str(os.getpid()))
    argv += ("--fault-log", str(fault_log(project.state)))
    process = LocalProcess(
        "the rehearsal model", argv, log_path, _giving_up(gave_up), environment=clean_environment(project.config)
    )
    await _keep_running(stack, process)
    await _answering(port, "the rehearsal model", log_path)


async def _start_worker(
    stack: AsyncExitStack, project: Project, url: str, services: ControlPlaneServices, gave_up: asyncio.Future[str]
) -> None:
    """One of the state folder's workers has it at a time; those of other replicas stand by. When this control plane ends
    and others live, its worker goes on with them.
    """
    log_path = project.state / "logs" / "worker.log"
    others = [one.api_url for one in services.replicas.living() if one.api_url != url]
    addresses = [word for each in (url, *others) for word in ("--url", each)]
    agents = max(project.config.agents.count, await services.store.read(_most_agents))
    options = ("--path", str(project.root), "--agents", str(agents))
    argv = (sys.executable, "-m", "swarmworks", "worker", *addresses, *options)
    environment = worker_environment(project.config, services.worker_token)
    worker = LocalProcess("the worker", argv, log_path, _giving_up(gave_up), environment=environment)
    stack.push_async_callback(_ended, asyncio.create_task(worker.run()))

    async def stop() -> None:
        if not services.replicas.others:
            await worker.stop()

    stack.push_async_callback(stop)


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


async def _serve(stack: AsyncExitStack, app: Any, listener: socket.socket, replicas: Replicas) -> None:
    config = uvicorn.Config(
        app,
        http=BoundedHead,
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        date_header=False,
    )  # its own handlers would print to the terminal; the root logger writes to the log file
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))

    async def stop() -> None:
        config.timeout_graceful_shutdown = replicas.grace_s
        server.stop()
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
    floor = project.config.sandbox.floor
    asked = SandboxSpec(argv=("true",), workdir="/", programs=(), noexec=True, floor=floor)
    require(asked, probed(project.state))
