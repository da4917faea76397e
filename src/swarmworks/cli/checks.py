"""What `swarm doctor` looks at: each check says what was found, and the mend where something is lacking."""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

from swarmworks import __version__
from swarmworks.base.errors import GitError, NotFoundError, SwarmworksError, UsageError
from swarmworks.base.findings import Check, Finding
from swarmworks.cli.context import Launcher, OpenProject
from swarmworks.cli.git_settings import git_settings
from swarmworks.cli.view.amounts import size
from swarmworks.domain.isolation import Property, level_of
from swarmworks.git.best import probe_copies
from swarmworks.git.command import OLDEST, Git
from swarmworks.notify.outcomes import Outcomes
from swarmworks.policy.tiers import BUILT_IN_SPEAKS, Wire, common
from swarmworks.runtime.protocol import Found
from swarmworks.sandbox import cgroups
from swarmworks.sandbox.protocol import Probe
from swarmworks.wire.config import REHEARSAL, SandboxSection

GIB = 1 << 30
LEAST_FREE_BYTES = 1 * GIB
GOOD_FREE_BYTES = 5 * GIB
LEAST_MEMORY_BYTES = 1 * GIB
SESSION_MEMORY_BYTES = 256 << 20
SLOW_FSYNC_S = 0.05
FSYNCS = 15


def examine(launcher: Launcher, path: Path) -> list[Check]:
    """Every check, of the machine first and then of the project at `path`, which may be none."""
    project, configuration = _project(launcher, path)
    runtimes = launcher.runtimes(project)
    folder = project.root if project is not None else path
    floor = project.config.sandbox.floor if project is not None else SandboxSection().floor
    return [
        *_programs(),
        *_sandbox(launcher.probe(project), floor),
        *_disk(folder),
        *_copies(folder),
        *_machine(project),
        *_runtimes(runtimes, project),
        configuration,
        *(git_settings(project.root) if project is not None else ()),
        *(_keys(launcher, project, runtimes) if project is not None else ()),
        *(_channels(launcher, project) if project is not None else ()),
        *(_collector(launcher, project) if project is not None else ()),
    ]


def _programs() -> Iterator[Check]:
    yield Check("python", Finding.OK, f"{platform.python_version()}, swarm {__version__}")
    try:
        major, minor = Git().version()
    except GitError as error:
        yield Check("git", Finding.LACKING, error.what, error.mend)
    else:
        yield Check("git", Finding.OK, f"{major}.{minor}, at least {OLDEST[0]}.{OLDEST[1]} is needed")
        if not Git().unbuffers():
            yield Check(
                "git speed", Finding.NOTE, "there is no stdbuf, so each merge starts git anew", "install coreutils"
            )


def _sandbox(probe: Probe, floor: frozenset[Property]) -> Iterator[Check]:
    yield _bubblewrap(needed=not floor <= probe.properties)
    level = level_of(probe.properties)
    yield Check("sandbox", Finding.OK if level else Finding.NOTE, f"{probe.backend}, level {level or 'below none'}")
    for each in Property:
        name = f"sandbox {each.value}"
        if each in probe.properties:
            yield Check(name, Finding.OK, "holds")
            continue
        needed = each in floor
        why, _, mend = probe.missing.get(each, "not given here").partition("; mend: ")
        if needed:
            mend = f"{mend or 'mend that'}; or take it out of [sandbox] floor in swarm.toml if you accept the risk"
        yield Check(name, Finding.LACKING if needed else Finding.NOTE, why, mend)
    yield _control_groups()


def _bubblewrap(*, needed: bool) -> Check:
    where = shutil.which("bwrap")
    if where is None:
        finding = Finding.LACKING if needed else Finding.NOTE
        return Check("bubblewrap", finding, "not installed", "install it, such as with apt install bubblewrap")
    said = subprocess.run([where, "--version"], capture_output=True, text=True, check=False, timeout=10).stdout.split()
    return Check("bubblewrap", Finding.OK, f"{said[-1]}, {where}" if said else where)


def _control_groups() -> Check:
    name = "control groups"
    if cgroups.available():
        return Check(name, Finding.OK, "the kernel holds memory and processes of a whole session")
    mend = "to have the kernel hold it at once: systemd-run --user --scope swarm run ..., or start it as root"
    return Check(
        name, Finding.NOTE, "none can be made: the memory of a whole session is looked at 4 times a second", mend
    )


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


def _copies(folder: Path) -> Iterator[Check]:
    state = folder / ".swarm"
    try:
        probe = probe_copies(state if state.is_dir() else folder)
    except OSError as error:
        yield Check("working copies", Finding.LACKING, f"{folder}: {error.strerror}", "check the folder's permissions")
        return
    ways = {"overlay": "overlays: a copy takes what is changed in it", "clone": "shared clones: a copy takes its files"}
    why = f"; overlays would be quicker: {probe.why}" if probe.why else ""
    yield Check("working copies", Finding.NOTE if probe.why else Finding.OK, f"{ways[probe.way]}{why}")


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


def _runtimes(runtimes: Mapping[str, Found], project: OpenProject | None) -> Iterator[Check]:
    """Of the agents' programs only the project's own are needed."""
    chosen = project.config.agents.programs if project is not None else frozenset[str]()
    for name, found in runtimes.items():
        needed = Finding.LACKING if name in chosen else Finding.NOTE
        shown = f"{found.version}, {found.program}"
        if found.lacking:
            yield Check(f"runtime {name}", needed, found.lacking, found.mend)
        elif found.lost:
            yield Check(f"runtime {name}", needed, f"{shown}: it has no {', '.join(found.lost)}", found.mend)
        elif found.tested and found.version != found.tested:
            mend = f"if it does not work as it should: {found.mend}"
            yield Check(f"runtime {name}", Finding.NOTE, f"{shown}; tested with {found.tested}", mend)
        else:
            yield Check(f"runtime {name}", Finding.OK, shown)


def _project(launcher: Launcher, path: Path) -> tuple[OpenProject | None, Check]:
    try:
        project = launcher.project(path)
    except NotFoundError as error:
        return None, Check("project", Finding.NOTE, error.what, error.mend)
    except SwarmworksError as error:
        return None, Check("project", Finding.LACKING, str(error).partition("\n  mend:")[0], error.mend)
    model = project.config.models.default
    return project, Check("project", Finding.OK, f"{project.name} in {project.root}, model {model}")


def _keys(launcher: Launcher, project: OpenProject, runtimes: Mapping[str, Found]) -> Iterator[Check]:
    models = project.config.models
    first = models.chain(models.default)[0].partition(":")[0]
    for key in launcher.provider_keys(project):
        name = f"provider {key.provider}"
        if key.present:
            yield Check(name, Finding.OK, f"key in {key.source}")
        else:
            needed = key.provider.partition("/")[0] == first
            mend = f"set it before you use {key.provider}; local servers need none"
            yield Check(name, Finding.LACKING if needed else Finding.NOTE, f"{key.source} is empty", mend)
    yield from _tiers(project, runtimes)
    if first == REHEARSAL:
        yield Check("model", Finding.OK, "the rehearsal model needs no key and no money")


def _tiers(project: OpenProject, runtimes: Mapping[str, Found]) -> Iterator[Check]:
    """Which models of a tier answer for which. A session keeps the format it began with until it ends."""
    config = project.config
    kinds = {name: section.kind for name, section in config.providers.items()}
    speaks = _spoken(config.agents.programs, runtimes)
    programs = " and ".join(sorted(config.agents.programs))
    for tier, chain in config.models.tiers.items():
        formats = {model: kinds.get(model.partition(":")[0], REHEARSAL) for model in chain}
        never = [model for model, kind in formats.items() if kind != REHEARSAL and not common(kind, speaks)]
        if never:
            mend = f"the agents' program {programs} speaks {' and '.join(sorted(speaks))} only: name others"
            yield Check(f"tier {tier}", Finding.NOTE, f"never asked: {', '.join(never)}", mend)
        elif len(set(formats.values()) - {REHEARSAL}) > 1:
            mend = "a session that has begun falls back to models of its own format; the next session, to any"
            yield Check(f"tier {tier}", Finding.NOTE, f"{', '.join(chain)}: of several formats", mend)
        else:
            yield Check(f"tier {tier}", Finding.OK, ", then ".join(chain))


def _spoken(programs: Collection[str], runtimes: Mapping[str, Found]) -> frozenset[Wire]:
    """The formats that any of the programs speaks with a model."""
    spoken = [runtimes[name].wires if name in runtimes else BUILT_IN_SPEAKS for name in programs]
    return frozenset[Wire]().union(*spoken)


def _channels(launcher: Launcher, project: OpenProject) -> Iterator[Check]:
    """A channel that cannot work is lacking: who configured it counts on being told."""
    last = Outcomes(project.state).read()
    for channel in launcher.notice_channels(project):
        name, lack, outcome = f"notify {channel.name}", channel.lacks(), last.get(channel.name)
        if lack is not None:
            yield Check(name, Finding.LACKING, lack.what, lack.mend)
        elif outcome is not None and outcome.failure:
            mend = f"mend that, then: swarm notify test {channel.name}"
            yield Check(name, Finding.LACKING, f"did not work at {outcome.at}: {outcome.failure}", mend)
        else:
            tried = f", worked at {outcome.at}" if outcome is not None else ""
            yield Check(name, Finding.OK, f"{channel.address}{tried}")


def _collector(launcher: Launcher, project: OpenProject) -> Iterator[Check]:
    """As a channel: who configured it counts on it."""
    try:
        yield from launcher.check_telemetry(project)
    except UsageError as error:
        yield Check("telemetry", Finding.LACKING, f"{error.where}: {error.what}", error.mend)
