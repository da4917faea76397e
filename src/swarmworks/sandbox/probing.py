"""Finding out what holds: one sandbox is started whose program tries things, and the answers are read outside.

A property is reported only when its test was seen to hold; what fails is named with its reason and mend.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox.protocol import Mount, Network, Probe, ProcessLimits, SandboxSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from swarmworks.sandbox.process import LaunchedProcess

T = TypeVar("T")
_PROBE_TIMEOUT_S: Final = 30.0
_OPEN_FILES: Final = 61  # an unusual number, to be recognised inside
_PROGRAMS: Final = ("sh", "mv", "cp")
# Prints the name of each property whose test holds. Only builtins of sh and the programs above: nothing to install.
_SCRIPT: Final = """
holds() { echo "holds $1"; }
! (: < "$OUTSIDE") && ! (: >> "$OUTSIDE") && ! (: < /etc/shadow) && ! (: > /outside) && ! (: > /usr/outside) \
  && (: > inside) && holds files
! (: > parent/kept) && ! mv parent away && [ -e parent/kept ] && holds protected
devices=unseen; [ -r /proc/net/dev ] && while read -r name rest; do
  case "$name" in lo:) [ $devices = unseen ] && devices=0 ;; *:*) devices=1 ;; esac
done < /proc/net/dev
[ "$devices" = 0 ] && holds network
while read -r name value; do case "$name" in Seccomp:) filter=$value ;; NoNewPrivs:) nnp=$value ;; esac
done < /proc/self/status
[ "$filter" = 2 ] && [ "$nnp" = 1 ] && holds syscalls
set -- /proc/[0-9]*; [ $# -le 3 ] && ! kill -0 "$WORKER" && ! (: < "/proc/$WORKER/environ") && holds processes
[ "$(ulimit -n)" = 61 ] && holds limits
[ "$INHERITED" = "" ] && [ "$ONLY" = this ] && holds environment
temporary=${TMPDIR:-/tmp}
cp own "$temporary/own" && ! (ls) && ! (tools/other) && ! ("$temporary/own") && holds exec
! (./own) && ! ("$temporary/own") && holds noexec
:
"""
_QUOTA_BYTES: Final = 64 << 10  # little: it is also tried where there is hardly any room
_FILLING_SCRIPT: Final = "cp tools/large filler; read line"
NO_LANDLOCK: Final = (
    "the kernel offers no Landlock, or one older than Linux 6.2; mend: a newer kernel, booted with landlock among "
    "its lsm= modules"
)


def examine(
    backend: str,
    start: Callable[[SandboxSpec], Coroutine[None, None, LaunchedProcess]],
    state_dir: Path,
    own: Callable[[Path], None],
    *,
    landlock: bool,
) -> Probe:
    """Blocks for two sandboxes at once. Raises SandboxUnavailableError when it cannot be started at all."""
    place = _made(state_dir)
    directory, outside = place / "mounted", place / "outside"
    try:
        _lay_out(directory, outside)
        own(directory)
        lines = on_own_thread(_tried(start, _spec(directory, outside, _PROGRAMS if landlock else None)))
        written = directory / "inside"
        if written.exists() and written.stat().st_uid != 0:  # who inside really is, as the host's files tell it
            lines.append(f"holds {Property.UNPRIVILEGED}")
    finally:
        shutil.rmtree(place)
    held = frozenset(name for name in Property if f"holds {name}" in lines)
    known = {} if landlock else {Property.EXEC: NO_LANDLOCK}
    missing = {name: known.get(name, f"the probe saw `{name}` broken here") for name in Property if name not in held}
    return Probe(backend, held, missing)


def _made(state_dir: Path) -> Path:
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="probe-", dir=state_dir)).resolve()
    except OSError as error:
        raise _no_room(state_dir, error) from error


def _lay_out(directory: Path, outside: Path) -> None:
    try:
        directory.mkdir()
        outside.touch(0o666)
        (directory / "parent").mkdir()
        (directory / "parent" / "kept").write_text("")
        (directory / "tools").mkdir()
        for name in ("own", "tools/other"):
            (directory / name).write_text("#!/bin/sh\n")
            (directory / name).chmod(0o755)
        (directory / "tools" / "large").write_bytes(bytes(2 * _QUOTA_BYTES))
    except OSError as error:
        raise _no_room(directory, error) from error


def _no_room(place: Path, error: OSError) -> SandboxUnavailableError:
    return SandboxUnavailableError(
        f"the sandbox could not be tried out: {error.strerror}",
        where=str(place),
        mend="see that there is room on that disk, and that the folder is yours",
    )


def _spec(directory: Path, outside: Path, programs: tuple[str, ...] | None) -> SandboxSpec:
    return SandboxSpec(
        argv=("/bin/sh", "-c", _SCRIPT),
        workdir="/probe",
        mounts=(Mount(directory, "/probe", writable=True), Mount(directory / "tools", "/probe/tools")),
        environment={"ONLY": "this", "OUTSIDE": str(outside), "WORKER": str(os.getpid())},
        network=Network.LISTENER,
        protected=("/probe/parent/kept",),
        programs=programs,
        noexec=True,
        limits=ProcessLimits(open_files=_OPEN_FILES),
    )


async def _tried(
    start: Callable[[SandboxSpec], Coroutine[None, None, LaunchedProcess]], spec: SandboxSpec
) -> list[str]:
    """What the script says, and whether a program that fills the disk was ended."""
    limits = replace(spec.limits, disk_bytes=_QUOTA_BYTES)
    filling = replace(spec, argv=("/bin/sh", "-c", _FILLING_SCRIPT), limits=limits)
    answers = await asyncio.gather(output_of(start, spec), _is_ended(start, filling), return_exceptions=True)
    said, filled = answers  # only when both are over: neither may be left behind because of the other
    if isinstance(said, BaseException):
        raise said
    if isinstance(filled, BaseException):
        raise filled
    return [*said.splitlines(), *([f"holds {Property.QUOTA}"] if filled else [])]


async def _is_ended(start: Callable[[SandboxSpec], Coroutine[None, None, LaunchedProcess]], spec: SandboxSpec) -> bool:
    """Whether it was ended for a limit."""
    process = await start(spec)
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    return bool(process.exceeded)


async def output_of(start: Callable[[SandboxSpec], Coroutine[None, None, LaunchedProcess]], spec: SandboxSpec) -> str:
    process = await start(spec)
    process.stdin.close()
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            await process.wait()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise SandboxUnavailableError("the probe did not end") from error
    return (await process.stdout.read()).decode(errors="replace")


def on_own_thread(probe: Coroutine[None, None, T]) -> T:
    """The caller may be inside an event loop, which must not be entered twice."""
    with ThreadPoolExecutor(1, thread_name_prefix="sandbox-probe") as executor:
        return executor.submit(asyncio.run, probe).result()


def diagnose(reason: str) -> str:
    """The set-up's own words, with the mend for the machines on which it is known to fail."""
    return f"{reason}; mend: {_mend(reason)}"


def _mend(reason: str) -> str:
    if _setting("/proc/sys/user/max_user_namespaces") == "0":
        return "sysctl -w user.max_user_namespaces=65536"
    if _setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "sysctl -w kernel.unprivileged_userns_clone=1"
    if _setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "Ubuntu's AppArmor keeps user namespaces from unconfined programs: "
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or AppArmor profiles with `userns,` for "
            f"{shutil.which('bwrap') or '/usr/bin/bwrap'} and {os.path.realpath(sys.executable)}, as in docs/sandbox.md"
        )
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "proc" in reason:
        return (
            "in a container, start it with --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
            "--security-opt systempaths=unconfined, or run the worker on the host"
        )
    return "the kernel must allow user namespaces (CONFIG_USER_NS); `bwrap --ro-bind / / --unshare-all true` shows the cause"


def _setting(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""
