"""What `swarm doctor` looks at: each check says what was found, and the mend where something is lacking."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

from swarmworks import __version__
from swarmworks.base.errors import GitError, NotFoundError, SwarmworksError
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.view.amounts import size
from swarmworks.git.command import OLDEST, Git
from swarmworks.sandbox.protocol import Probe, Property
from swarmworks.wire.config import REHEARSAL, SandboxSection

GIB = 1 << 30
LEAST_FREE_BYTES = 1 * GIB
GOOD_FREE_BYTES = 5 * GIB
LEAST_MEMORY_BYTES = 1 * GIB
SESSION_MEMORY_BYTES = 256 << 20
SLOW_FSYNC_S = 0.05
FSYNCS = 15


class Finding(StrEnum):
    """`note`: it works, but a person should know."""

    OK = "ok"
    NOTE = "note"
    LACKING = "lacking"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    finding: Finding
    found: str
    mend: str = ""


def examine(launcher: Launcher, path: Path) -> list[Check]:
    """Every check, of the machine first and then of the project at `path`, which may be none."""
    project, configuration = _project(launcher, path)
    folder = project.root if project is not None else path
    return [
        *_programs(),
        *_sandbox(launcher.probe(project), project),
        *_disk(folder),
        *_machine(project),
        configuration,
        *(_keys(launcher, project) if project is not None else ()),
    ]


def _programs() -> Iterator[Check]:
    yield Check("python", Finding.OK, f"{platform.python_version()}, swarm {__version__}")
    try:
        major, minor = Git().version()
    except GitError as error:
        yield Check("git", Finding.LACKING, error.what, error.mend)
    else:
        yield Check("git", Finding.OK, f"{major}.{minor}, at least {OLDEST[0]}.{OLDEST[1]} is needed")
    where = shutil.which("bwrap")
    if where is None:
        yield Check("bubblewrap", Finding.LACKING, "not installed", "install it, such as with apt install bubblewrap")
    else:
        yield Check("bubblewrap", Finding.OK, where)


def _sandbox(probe: Probe, project: OpenProject | None) -> Iterator[Check]:
    floor = project.config.sandbox.floor if project is not None else SandboxSection().floor
    for each in Property:
        name = f"sandbox {each.value}"
        if each in probe.properties:
            yield Check(name, Finding.OK, "holds")
            continue
        needed = each.value in floor
        why = probe.missing.get(each, "not given here")
        mend = "mend that, or take it out of [sandbox] floor in swarm.toml if you accept the risk" if needed else ""
        yield Check(name, Finding.LACKING if needed else Finding.NOTE, why, mend)


def _disk(folder: Path) -> Iterator[Check]:
    try:
        free = shutil.disk_usage(folder).free
        latency_s = _fsync_s(folder)
    except OSError as error:
        yield Check("disk", Finding.LACKING, f"{folder}: {error.strerror}", "check the folder and its permissions")
        return
    found = f"{size(free)} free"
    if free < LEAST_FREE_BYTES:
        yield Check("disk", Finding.LACKING, found, f"free at least {size(LEAST_FREE_BYTES)}")
    elif free < GOOD_FREE_BYTES:
        yield Check("disk", Finding.NOTE, found, "working copies and environments may need more")
    else:
        yield Check("disk", Finding.OK, found)
    found = f"{latency_s * 1000:.1f} ms for a durable write"
    slow = latency_s > SLOW_FSYNC_S
    mend = "every step waits for the disk: put the project on a local one" if slow else ""
    yield Check("disk speed", Finding.NOTE if slow else Finding.OK, found, mend)


def _fsync_s(folder: Path) -> float:
    """The median time of a small durable write where the state is kept."""
    times: list[float] = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def _machine(project: OpenProject | None) -> Iterator[Check]:
    processors = len(os.sched_getaffinity(0))
    yield Check("processors", Finding.OK, str(processors))
    free = psutil.virtual_memory().available
    agents = project.config.agents.count if project is not None else 1
    found = f"{size(free)} free"
    wanted = agents * SESSION_MEMORY_BYTES
    if free < LEAST_MEMORY_BYTES:
        yield Check("memory", Finding.LACKING, found, f"free at least {size(LEAST_MEMORY_BYTES)}")
    elif free < wanted:
        mend = f"{agents} agents want about {size(wanted)}: fewer will work at once"
        yield Check("memory", Finding.NOTE, found, mend)
    else:
        yield Check("memory", Finding.OK, found)


def _project(launcher: Launcher, path: Path) -> tuple[OpenProject | None, Check]:
    try:
        project = launcher.project(path)
    except NotFoundError as error:
        return None, Check("project", Finding.NOTE, error.what, error.mend)
    except SwarmworksError as error:
        return None, Check("project", Finding.LACKING, str(error).partition("\n  mend:")[0], error.mend)
    model = project.config.models.default
    return project, Check("project", Finding.OK, f"{project.name} in {project.root}, model {model}")


def _keys(launcher: Launcher, project: OpenProject) -> Iterator[Check]:
    default = project.config.models.default.partition(":")[0]
    for key in launcher.provider_keys(project):
        name = f"provider {key.provider}"
        if key.present:
            yield Check(name, Finding.OK, f"key in {key.source}")
        else:
            needed = key.provider == default
            mend = f"set it before you use {key.provider}; local servers need none"
            yield Check(name, Finding.LACKING if needed else Finding.NOTE, f"{key.source} is empty", mend)
    if default == REHEARSAL:
        yield Check("model", Finding.OK, "the rehearsal model needs no key and no money")


def lacking(checks: Iterable[Check]) -> list[Check]:
    return [check for check in checks if check.finding is Finding.LACKING]
