"""The project's tools: built once from its lock files, in a sandbox, and then only read by sessions and gates.

A build runs the set-up commands of `swarm.toml` on a read-only view of the tree, with the host's network only where the
project says `registries = true`. The result lies under a name made of everything it depends on, so a change of a lock file
is another environment. Nothing is relocated after a build: virtual environments hold absolute paths.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import stat
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import SandboxUnavailableError, UnavailableError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox.protocol import Mount, Network, ProcessLimits, SandboxSpec
from swarmworks.worker.running import SYSTEM_PATH, Ran, run_sandboxed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from swarmworks.sandbox.protocol import Sandbox
    from swarmworks.worker.registries import RegistryAccess

TREE = "/swarm/tree"
LOG_TAIL_CHARACTERS = 4_096
_LOCK_FILE_LIMIT = 32 << 20
_LOCK_POLL_S = 0.2
_BUILD_FILE_BYTES = 4 << 30
_BUILD_DISK_BYTES = 32 << 30
_BUILD_MEMORY_BYTES = 16 << 30


@dataclass(frozen=True, slots=True)
class EnvironmentSpec:
    """`setup`: shell commands, in order. `lock_files`: repository paths. `python`: the interpreter whose program builds and gates
    find as `python` and `$SWARM_PYTHON`; `python_mounts` what it needs inside, `python_version` its full version text.
    """

    setup: tuple[str, ...]
    lock_files: tuple[str, ...]
    registries: bool
    python: Path
    python_version: str
    python_mounts: tuple[Mount, ...] = ()
    timeout_s: float = 900.0


@dataclass(frozen=True, slots=True)
class BuiltEnvironment:
    """What a sandbox needs to use the project's tools. `id` is part of every gate's cache key."""

    id: str
    path: Path | None
    mounts: tuple[Mount, ...]
    path_entries: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def search_path(self) -> str:
        return ":".join([*self.path_entries, SYSTEM_PATH])


def environment_id(spec: EnvironmentSpec, tree: Path) -> str:
    """The hash of all an environment depends on. A lock file that is missing counts as such, a link as its target's name."""
    facts = {
        "setup": spec.setup,
        "locks": {name: _digest(tree / name) for name in spec.lock_files},
        "registries": spec.registries,
        "python": [str(interpreter(spec.python)), spec.python_version],
        "platform": [platform.system(), platform.machine(), *platform.libc_ver()],
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    """Lock files come from an agent's tree: links are not followed, and only regular files are read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return f"link:{path.readlink()}" if path.is_symlink() else "missing"
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return "missing"
        return hashlib.sha256(file.read(_LOCK_FILE_LIMIT)).hexdigest()


async def ensure_environment(
    spec: EnvironmentSpec,
    tree: Path,
    state: Path,
    sandbox: Sandbox,
    *,
    access: RegistryAccess,
    floor: frozenset[Property] = frozenset(),
    limits: ProcessLimits | None = None,
) -> BuiltEnvironment:
    """The environment for the lock files in `tree`, built when it is not there yet; one build at a time per environment,
    across processes. Without set-up commands there is nothing to build, and only the interpreter is offered.

    Raises UnavailableError with the end of the log when a command fails, SandboxUnavailableError when there is no sandbox.
    """
    spec = replace(spec, python=interpreter(spec.python))
    key = environment_id(spec, tree)
    if not spec.setup:
        return _offered(spec, key, None)
    home = state / "environments" / key
    home.mkdir(parents=True, exist_ok=True)
    async with _locked(home.with_suffix(".lock"), spec.timeout_s):
        if not (home / "complete").is_file():
            await _build(
                spec, tree, home, sandbox, access, floor - {Property.NETWORK} if spec.registries else floor, limits
            )
            (home / "complete").touch()
    return _offered(spec, key, home / "env")


@contextlib.asynccontextmanager
async def _locked(path: Path, timeout_s: float) -> AsyncGenerator[None]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await _acquire(fd, path, timeout_s)
        yield
    finally:
        os.close(fd)


async def _acquire(fd: int, path: Path, timeout_s: float) -> None:
    deadline = asyncio.get_running_loop().time() + timeout_s + 60
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise UnavailableError(
                    "another process has been building this environment for too long",
                    where=str(path),
                    mend="end that process; the build starts anew by itself",
                ) from None
            await asyncio.sleep(_LOCK_POLL_S)
        else:
            return


async def _build(
    spec: EnvironmentSpec,
    tree: Path,
    home: Path,
    sandbox: Sandbox,
    access: RegistryAccess,
    floor: frozenset[Property],
    limits: ProcessLimits | None,
) -> None:
    target = home / "env"
    await asyncio.to_thread(_start_afresh, target)
    await asyncio.to_thread(sandbox.own, target)
    built = _offered(spec, home.name, target)
    mounts = [*spec.python_mounts, Mount(tree, TREE), Mount(target, str(target), writable=True)]
    environment = {
        **built.variables,
        "PATH": built.search_path(),
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
    }
    if spec.registries:
        environment.update(access.variables)
        mounts.extend(access.mounts)
    log: list[str] = []
    bounds = limits or ProcessLimits(
        file_bytes=_BUILD_FILE_BYTES,
        open_files=4_096,
        disk_bytes=_BUILD_DISK_BYTES,
        tree_memory_bytes=_BUILD_MEMORY_BYTES,
    )
    for command in spec.setup:
        log.append(f"$ {command}\n")
        ran = await run_sandboxed(
            sandbox,
            SandboxSpec(
                argv=("/bin/sh", "-ec", command),
                workdir=TREE,
                mounts=tuple(mounts),
                environment=environment,
                network=Network.HOST if spec.registries else Network.NONE,
                limits=bounds,
                floor=floor,
            ),
            timeout_s=spec.timeout_s,
        )
        log.append(ran.text())
        (home / "build.log").write_text("".join(log), "utf-8", errors="replace")
        if ran.exit_code != 0 or ran.timed_out:
            raise _failure(command, ran, home, spec)


def _start_afresh(target: Path) -> None:
    """A build that was cut off left a part; nothing of it is kept."""
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(mode=0o755)


def _failure(command: str, ran: Ran, home: Path, spec: EnvironmentSpec) -> UnavailableError:
    reason = f"did not end within {spec.timeout_s:g} s" if ran.timed_out else f"exit status {ran.exit_code}"
    if ended_for := ran.exceeded or ran.hindered:
        reason = f"was ended: {ended_for}"
    tail = ran.text()[-LOG_TAIL_CHARACTERS:].strip()
    mend = "correct [environment] setup in swarm.toml, or make the package registry reachable"
    if ended_for:
        mend = "let [environment] setup in swarm.toml do less, or give this machine more"
    elif not spec.registries:
        mend = "the set-up has no network: set registries = true in [environment], if it needs package registries"
    return UnavailableError(
        f"the project's environment could not be built: {command!r}: {reason}\n{tail}",
        where=str(home / "build.log"),
        mend=mend,
    )


def _offered(spec: EnvironmentSpec, key: str, path: Path | None) -> BuiltEnvironment:
    entries = [str(spec.python.parent)]
    variables = {"SWARM_PYTHON": str(spec.python)}
    mounts = list(spec.python_mounts)
    if path is not None:
        entries[:0] = [str(path / "bin"), str(path / "node_modules" / ".bin")]
        variables["SWARM_ENVIRONMENT"] = str(path)
        mounts.append(Mount(path, str(path)))
    return BuiltEnvironment(key, path, tuple(mounts), tuple(entries), variables)


def interpreter(python: Path) -> Path:
    """The program behind `python`. When that is a virtual environment's, such as the one Swarmworks itself runs in, its
    tools must not stand in for those the project's environment lacks.

    Raises SandboxUnavailableError when there is none.
    """
    found = shutil.which(str(python))
    if found is None:
        raise SandboxUnavailableError(
            f"there is no interpreter {python}", mend="name one that is installed: [environment] python in swarm.toml"
        )
    return type(python)(os.path.realpath(found))
