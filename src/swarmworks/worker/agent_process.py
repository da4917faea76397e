"""How an agent's program is put into its sandbox: what it sees, what it may write, what it is told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from swarmworks.base.errors import UnavailableError
from swarmworks.git.protocol import WorkingCopy
from swarmworks.runtime.command import Regenerating
from swarmworks.runtime.protocol import Facts, Launch, Runtime
from swarmworks.sandbox.programs import PROGRAM_FOLDERS
from swarmworks.sandbox.protocol import Mount, Network, Sandbox, SandboxSpec
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_roles import RoleSection
from swarmworks.wire.work import SessionWork
from swarmworks.worker import swarm_agent
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.databases.client import NO_CLIENT, database_client
from swarmworks.worker.databases.offering import variables
from swarmworks.worker.databases.proxy import Offered
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.isolation import process_limits
from swarmworks.worker.prompt import Prompt
from swarmworks.worker.protecting import protected_paths

INSIDE_COPY = "/work/copy"
MOST_LINKS = 40
INSIDE_HOME = "/work/home"
PRIVATE_TMP = "/tmp"  # noqa: S108 - the sandbox's own, private one


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a session's things are on the host. `home` is None where the sandbox's private /tmp is all the home it needs.
    `port` is its listener's.
    """

    copy: WorkingCopy
    home: Path | None
    port: int


def runtime_of(context: WorkerContext, work: SessionWork) -> Runtime:
    if work.regenerates:
        return Regenerating()
    runtime = context.runtimes.get(work.runtime)
    if runtime is None:
        known = ", ".join(sorted(context.runtimes))
        raise UnavailableError(f"this worker has no runtime {work.runtime!r}", where=work.task.id, mend=f"use {known}")
    return runtime


def facts_of(
    sandbox: Sandbox,
    work: SessionWork,
    briefing: Prompt,
    config: SwarmConfig,
    environment: BuiltEnvironment,
    placed: Placed,
    run: str,
) -> Facts:
    places = _writable(placed)
    return Facts(
        system=briefing.system,
        prompt=briefing.task,
        model=work.model.partition(":")[2] or work.model,
        wire=work.wire,
        token=work.token,
        gateway_url=f"http://127.0.0.1:{placed.port}",
        workdir=sandbox.seen(workdir(config.role(work.task.role)), places),
        home=sandbox.seen(PRIVATE_TMP if placed.home is None else INSIDE_HOME, places),
        owned=work.task.owns,
        limits=work.limits,
        command_timeout_s=config.limits.command_timeout_s,
        search_path=environment.search_path(),
        run=run,
        mail=config.mail.concerns(work.agent.role),
        takes_over=work.summary is not None,
        writable=config.role(work.task.role).files == "write",
    )


def furnish(home: Path, launch: Launch, sandbox: Sandbox) -> None:
    """Makes the session's home folder with what the program finds in it. Blocks."""
    home.mkdir(parents=True, mode=0o700)
    for name, content in launch.files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o600)
    sandbox.own(home)


def agent_sandbox(
    context: WorkerContext,
    work: SessionWork,
    placed: Placed,
    config: SwarmConfig,
    environment: BuiltEnvironment,
    launch: Launch,
    databases: tuple[Offered, ...],
) -> SandboxSpec:
    role = config.role(work.task.role)
    home = PRIVATE_TMP if placed.home is None else INSIDE_HOME
    url, kept = f"http://127.0.0.1:{placed.port}", INSIDE_COPY if placed.home is None else INSIDE_HOME
    command = swarm_agent.shown(context.places, context.sandbox, runtime_of(context, work), launch, url, kept)
    psql = database_client() if databases else NO_CLIENT
    mounts = (
        *_repository(context, placed, role),
        *_writable(placed)[1:],
        *(Mount(shown.source, shown.target) for shown in launch.shown),
        *(environment.mounts if role.runs_project_tools else ()),
        *command.mounts,
    )
    return SandboxSpec(
        argv=launch.argv,
        workdir=workdir(role),
        mounts=tuple({mount.target: mount for mount in mounts}.values()),
        environment={
            **environment.variables,
            **command.variables,
            **variables(databases, placed.port),
            "PATH": ":".join(filter(None, (psql.folder, environment.search_path(), command.folder))),
            "HOME": home,
            "LANG": "C.UTF-8",
            **(_proxy(placed.port) if role.reach else {}),
            **launch.environment,
        },
        network=Network.LISTENER,
        listener_port=placed.port,
        protected=tuple(protected_paths(placed.copy.path, config.files.protected_globs, work.task.owns)),
        programs=(*_programs(config, role, environment, launch), *command.programs, *psql.programs),
        limits=process_limits(config, launch.output_bytes),
        noexec=config.sandbox.agents_noexec,
        floor=config.sandbox.floor,
    )


def workdir(role: RoleSection) -> str:
    return INSIDE_HOME if role.files == "none" else INSIDE_COPY


def _writable(placed: Placed) -> tuple[Mount, ...]:
    """The working copy, and the home folder where there is one."""
    home = () if placed.home is None else (Mount(placed.home, INSIDE_HOME, writable=True),)
    return Mount(placed.copy.path, INSIDE_COPY, writable=True), *home


def _repository(context: WorkerContext, placed: Placed, role: RoleSection) -> tuple[Mount, ...]:
    if role.files == "none":
        return ()
    objects = context.hub.path / "objects"  # the working copy's own git borrows its objects from the hub
    return Mount(placed.copy.path, INSIDE_COPY, writable=role.files == "write"), Mount(objects, str(objects))


def _programs(config: SwarmConfig, role: RoleSection, environment: BuiltEnvironment, launch: Launch) -> tuple[str, ...]:
    """The agent's own program, what its role runs, and for those who run the project's tools its whole environment."""
    tools = [mount.target for mount in environment.mounts] if role.runs_project_tools else []
    return (*_own(launch.argv[0]), *role.programs(config.project.language), *tools)


def _own(program: str) -> tuple[str, ...]:
    """The agent's own program. One that is the system's, or a link to one as in a virtual environment, goes by its names there
    as well: no other way leads to it.
    """
    steps = [Path(program)]
    while steps[-1].is_symlink() and len(steps) < MOST_LINKS:
        steps.append(Path(os.path.normpath(steps[-1].parent / steps[-1].readlink())))
    return (program, *(step.name for step in steps if str(step.parent) in PROGRAM_FOLDERS))


def _proxy(port: int) -> dict[str, str]:
    """Most programs read one of these; none of them asks the proxy for the listener's own address."""
    proxy, direct = f"http://127.0.0.1:{port}", "127.0.0.1,localhost"
    names = {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": direct}
    return {**names, **{name.upper(): value for name, value in names.items()}}
