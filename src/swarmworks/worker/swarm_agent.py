"""How `swarm-agent` gets into a sandbox: for agents' programs that have the session's token and not the platform's tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from swarmworks.git.snapshot import HANDOFF_FILE
from swarmworks.runtime.protocol import BUILTIN, Launch, Runtime
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Mount, Sandbox
from swarmworks.worker.context import Places

NAME = "swarm-agent"
INSIDE_FOLDER = "/opt/swarm/bin"
INSIDE_PACKAGE = "/opt/swarm/swarmworks"
SHELL = "sh"
TOKEN = "SWARM_TOKEN"  # noqa: S105 - the variable's name


@dataclass(frozen=True, slots=True)
class Shown:
    """What a sandbox gets for it; nothing where it would be of no use. `programs` are what may be run for it."""

    mounts: tuple[Mount, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    folder: str = ""
    programs: tuple[str, ...] = ()


def shown(places: Places, sandbox: Sandbox, runtime: Runtime, launch: Launch, gateway_url: str, kept: str) -> Shown:
    """Blocks: writes the command once, and may ask the interpreter where it lives. The built-in agent has the tools itself,
    and keeps its token from its commands. `kept` is a folder inside, of which the worker reads the handoff.
    """
    if runtime.name == BUILTIN or TOKEN not in launch.environment:
        return Shown()
    package = Mount(places.package, INSIDE_PACKAGE)
    command = Mount(_written(places, sandbox.seen(INSIDE_PACKAGE, (package,))), INSIDE_FOLDER)
    variables = {"SWARM_GATEWAY_URL": gateway_url, "SWARM_HANDOFF_FILE": f"{kept}/{HANDOFF_FILE}"}
    programs = (SHELL, f"{INSIDE_FOLDER}/{NAME}", str(places.interpreter))
    return Shown((package, command, *python_mounts(places.interpreter)), variables, INSIDE_FOLDER, programs)


def _written(places: Places, package: str) -> Path:
    """The command names the package by the path it is seen at: what is in a file, no sandbox translates."""
    folder = places.scratch / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    command = folder / NAME
    text = f'#!/bin/sh\nexec "{places.interpreter}" -S -E -B "{package}/agent/__main__.py" swarm-agent "$@"\n'
    if not command.exists() or command.read_text(encoding="utf-8") != text:
        beside = folder / f"{NAME}.new"
        beside.write_text(text, encoding="utf-8")
        beside.chmod(0o755)
        beside.replace(command)
    return folder
