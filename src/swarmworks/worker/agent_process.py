"""How the built-in agent is started in its sandbox: what it sees, what it may write, what it is told."""

from __future__ import annotations

import fnmatch
from pathlib import Path
from typing import Any

from swarmworks.git.protocol import WorkingCopy
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Mount, Network, ProcessLimits, Property, SandboxSpec
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.work import SessionWork
from swarmworks.worker.context import WorkerContext
from swarmworks.worker.environment import BuiltEnvironment
from swarmworks.worker.prompt import Prompt

INSIDE_COPY = "/work/copy"
INSIDE_PACKAGE = "/opt/swarm/swarmworks"
LISTENER_PORT = 8181
CONTEXT_BYTES = 400_000
MOST_TURNS = 60


def agent_sandbox(
    context: WorkerContext, work: SessionWork, copy: WorkingCopy, config: SwarmConfig, environment: BuiltEnvironment
) -> SandboxSpec:
    places = context.places
    objects = context.hub.path / "objects"
    mounts = (
        Mount(copy.path, INSIDE_COPY, writable=True),
        Mount(places.package, INSIDE_PACKAGE),
        Mount(objects, str(objects)),  # the working copy's own git borrows its objects from the hub
        *python_mounts(places.interpreter),
        *environment.mounts,
    )
    program = (str(places.interpreter), "-S", "-E", "-B", f"{INSIDE_PACKAGE}/agent/__main__.py")
    return SandboxSpec(
        argv=program,
        workdir=INSIDE_COPY,
        mounts=mounts,
        environment={
            **environment.variables,
            "PATH": environment.search_path(),
            "HOME": "/tmp",  # noqa: S108 - the sandbox's own, private one
            "LANG": "C.UTF-8",
            "SWARM_TOKEN": work.token,
        },
        network=Network.LISTENER,
        listener_port=LISTENER_PORT,
        protected=_protected(copy.path, config, work),
        limits=ProcessLimits(memory_bytes=config.sandbox.memory_mb << 20, processes=config.sandbox.processes),
        floor=frozenset(Property(name) for name in config.sandbox.floor),
    )


def agent_document(work: SessionWork, briefing: Prompt, config: SwarmConfig) -> dict[str, Any]:
    """What the agent reads from its standard input; see docs/agent-events.md."""
    return {
        "format": 1,
        "system": briefing.system,
        "prompt": briefing.task,
        "model": work.model.partition(":")[2] or work.model,
        "wire": work.wire,
        "base_url": f"http://127.0.0.1:{LISTENER_PORT}/v1",
        "workdir": INSIDE_COPY,
        "owned": list(work.task.owns),
        "max_turns": min(MOST_TURNS, work.limits.calls),
        "max_output_tokens": work.limits.output_tokens_per_call,
        "context_limit_bytes": CONTEXT_BYTES,
        "deadline_s": work.limits.wall_s,
        "command_timeout_s": config.limits.command_timeout_s,
    }


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
