"""Finding out what holds: one sandbox is started whose program tries things, and the answers are read outside.

A property is reported only when its test was seen to hold; what fails is named with its reason and mend.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.sandbox.protocol import Mount, Network, Probe, ProcessLimits, Property, SandboxSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from swarmworks.sandbox.process import LaunchedProcess

_PROBE_TIMEOUT_S: Final = 30.0
_OPEN_FILES: Final = 61  # an unusual number, to be recognised inside
# Prints the name of each property whose test holds. Only builtins of sh and /bin: fewer processes, and nothing to install.
_SCRIPT: Final = """
holds() { echo "holds $1"; }
[ ! -e "$OUTSIDE" ] && [ ! -e /etc/shadow ] && ! (: > /outside) 2>/dev/null && ! (: > /usr/outside) 2>/dev/null \
  && (: > /probe/inside) && holds files
! (: > /probe/parent/kept) 2>/dev/null && ! mv /probe/parent /probe/away 2>/dev/null && [ -e /probe/parent/kept ] \
  && holds protected
devices=0; while read -r name rest; do case "$name" in lo:) ;; *:*) devices=1 ;; esac; done < /proc/net/dev
[ "$devices" = 0 ] && holds network
while read -r name value; do case "$name" in Seccomp:) filter=$value ;; NoNewPrivs:) nnp=$value ;; esac
done < /proc/self/status
[ "$filter" = 2 ] && [ "$nnp" = 1 ] && holds syscalls
set -- /proc/[0-9]*; [ $# -le 3 ] && holds processes
[ "$(ulimit -n)" = 61 ] && holds limits
[ "$INHERITED" = "" ] && [ "$ONLY" = this ] && holds environment
:
"""
NOT_YET: Final = {
    Property.EXEC: "only binaries that are absent cannot run: this back end has no allowlist of programs",
    Property.QUOTA: "the disk space of writable mounts is not limited by this back end",
}


def examine(
    backend: str,
    start: Callable[[SandboxSpec], Coroutine[None, None, LaunchedProcess]],
    state_dir: Path,
    own: Callable[[Path], None],
) -> Probe:
    """Blocks for one sandbox. Raises SandboxUnavailableError when it cannot be started at all."""
    state_dir.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="probe-", dir=state_dir)).resolve()
    try:
        (directory / "parent").mkdir()
        (directory / "parent" / "kept").write_text("")
        own(directory)
        lines = _on_own_thread(_run(start, _spec(directory))).splitlines()
        written = directory / "inside"
        if written.exists() and written.stat().st_uid != 0:  # who inside really is, as the host's files tell it
            lines.append(f"holds {Property.UNPRIVILEGED}")
    finally:
        shutil.rmtree(directory)
    held = frozenset(name for name in Property if f"holds {name}" in lines)
    missing = {name: NOT_YET.get(name, f"the probe saw `{name}` broken here") for name in Property if name not in held}
    return Probe(backend, held, missing)


def _spec(directory: Path) -> SandboxSpec:
    return SandboxSpec(
        argv=("/bin/sh", "-c", _SCRIPT),
        workdir="/probe",
        mounts=(Mount(directory, "/probe", writable=True),),
        environment={"ONLY": "this", "OUTSIDE": str(directory)},
        network=Network.LISTENER,
        protected=("/probe/parent/kept",),
        limits=ProcessLimits(open_files=_OPEN_FILES),
    )


async def _run(start: Callable[[SandboxSpec], Coroutine[None, None, LaunchedProcess]], spec: SandboxSpec) -> str:
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


def _on_own_thread(probe: Coroutine[None, None, str]) -> str:
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
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,` for bwrap and python"
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
