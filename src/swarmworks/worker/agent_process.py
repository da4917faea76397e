"""How an agent's program is put into its sandbox: what it sees, what it may write, what it is told."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path

from swarmworks.base.errors import UnavailableError
from swarmworks.git.protocol import WorkingCopy
from swarmworks.runtime.protocol import Facts, Launch, Runtime
from swarmworks.sandbox.protocol import Mount, Network, ProcessLimits, Property, Sandbox, SandboxSpec
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.work import SessionWork
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt

INSIDE_COPY = "/work/copy"
INSIDE_HOME = "/work/home"
PRIVATE_TMP = "/tmp"  # noqa: S108 - the sandbox's own, private one
LISTENER_PORT = 8181


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a session's things are on the host. `home` is None where the sandbox's private /tmp is all the home it needs."""

    copy: WorkingCopy
    home: Path | None


def runtime_of(context: WorkerContext, work: SessionWork) -> Runtime:
    runtime = context.runtimes.get(work.runtime)
    if runtime is None:
        known = ", ".join(sorted(context.runtimes))
        raise UnavailableError(f"this worker has no runtime {work.runtime!r}", where=work.task.id, mend=f"use {known}")
    return runtime


def facts_of(
    work: SessionWork, briefing: Prompt, config: SwarmConfig, environment: BuiltEnvironment, placed: Placed
) -> Facts:
    return Facts(
        system=briefing.system,
        prompt=briefing.task,
        model=work.model.partition(":")[2] or work.model,
        wire=work.wire,
        token=work.token,
        gateway_url=f"http://127.0.0.1:{LISTENER_PORT}",
        workdir=INSIDE_COPY,
        home=PRIVATE_TMP if placed.home is None else INSIDE_HOME,
        owned=work.task.owns,
        limits=work.limits,
        command_timeout_s=config.limits.command_timeout_s,
        search_path=environment.search_path(),
        run=work.task.run,
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
) -> SandboxSpec:
    objects = context.hub.path / "objects"
    mounts = (
        Mount(placed.copy.path, INSIDE_COPY, writable=True),
        *(() if placed.home is None else (Mount(placed.home, INSIDE_HOME, writable=True),)),
        Mount(objects, str(objects)),  # the working copy's own git borrows its objects from the hub
        *(Mount(shown.source, shown.target) for shown in launch.shown),
        *environment.mounts,
    )
    return SandboxSpec(
        argv=launch.argv,
        workdir=INSIDE_COPY,
        mounts=mounts,
        environment={
            **environment.variables,
            "PATH": environment.search_path(),
            "HOME": PRIVATE_TMP if placed.home is None else INSIDE_HOME,
            "LANG": "C.UTF-8",
            **launch.environment,
        },
        network=Network.LISTENER,
        listener_port=LISTENER_PORT,
        protected=_protected(placed.copy.path, config, work),
        limits=ProcessLimits(memory_bytes=config.sandbox.memory_mb << 20, processes=config.sandbox.processes),
        floor=frozenset(Property(name) for name in config.sandbox.floor),
    )


def _protected(root: Path, config: SwarmConfig, work: SessionWork) -> tuple[str, ...]:
    """Protected paths that exist at the top of the copy, as mounts: a second layer under the check of the diff."""
    globs = config.files.protected_globs
    owned = set(work.task.owns)
    found: list[str] = []
    for entry in sorted(root.iterdir()):
        name = entry.name + ("/" if entry.is_dir() else "")
        if entry.name == ".git" or entry.is_symlink() or name in owned:
            continue
        if any(fnmatch.fnmatch(entry.name, glob.rstrip("/*").rstrip("/")) for glob in globs if glob.rstrip("/*")):
            found.append(f"{INSIDE_COPY}/{entry.name}")
    return tuple(found)
