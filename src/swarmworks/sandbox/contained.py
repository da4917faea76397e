"""The back end for machines without user namespaces, as Docker's default profile and Ubuntu's AppArmor leave them: the program binds
itself by Landlock, a stricter system-call filter and limits, and its tree is hunted down to the last process.

There is no root of its own: paths inside become paths of the host, `/tmp` and `$HOME` become folders made for one start. Without a
network namespace, every socket but TCP is refused, and of TCP every port but the listener's; at which address, nothing here can say.
Only for ordinary users: dropped from root, a program could not enter the folders that root keeps to itself, and there is no mount
namespace to show them elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox import elf, landlock, launch, seccomp, view
from swarmworks.sandbox.bubblewrap import HOME, PATH
from swarmworks.sandbox.floor import held, require
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.leftovers import discard
from swarmworks.sandbox.limits import resource_limits, tasks_of_user
from swarmworks.sandbox.none import free_port, translated_variables
from swarmworks.sandbox.probing import examine, on_own_thread, output_of
from swarmworks.sandbox.process import LaunchedProcess
from swarmworks.sandbox.programs import PROGRAM_FOLDERS, Allowed, allowed
from swarmworks.sandbox.protocol import Mount, Network, Probe, SandboxSpec
from swarmworks.sandbox.view import translate

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from swarmworks.sandbox.inside import Restrictions
    from swarmworks.sandbox.landlock import Rules
    from swarmworks.sandbox.launcher import Order

_BACKEND: Final = "contained"
_LEAST_ABI: Final = 4  # of Linux 6.7: before it, Landlock knew no ports
_FIRST_WITH_SIGNALS: Final = 6  # of Linux 6.12
_DEVICES: Final = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
_FACTS: Final = (
    *(
        f"/proc/{name}"
        for name in ("self", "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "uptime", "version")
    ),
    *("/proc/sys", "/sys/devices/system/cpu", "/sys/devices/system/node"),
)
"""Of the machine, what says nothing of what else runs on it. `/proc/self` is the program's own, not its children's."""
_PRIVATE_TMP: Final = "/tmp"  # noqa: S108 -- what a program means by it; never the host's
_TOO_OLD: Final = (
    "the kernel offers no Landlock, or one older than Linux 6.7; mend: a newer kernel (6.12 for the whole level), booted with landlock "
    "among its lsm= modules"
)
_NOT_HERE: Final = {
    Property.PROTECTED: "nothing can be made read-only within what is writable without a mount namespace; the check of the diff "
    "stands",
    Property.NOEXEC: "nothing can be mounted noexec without a mount namespace",
    Property.NETWORK: "without a network namespace, whatever is at the listener's port of any other address can be reached",
}
_SIGNALS: Final = (
    "before Linux 6.12, Landlock does not keep signals from the user's other processes; mend: a newer kernel"
)

_SOCKET_SCRIPT: Final = """
import socket
def refused(attempt):
    try:
        attempt()
    except OSError:
        return True
    return False
def unconnected(family, kind, address):
    return refused(lambda: socket.socket(family, kind).connect(address))
print("alone" * all((
    unconnected(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", {other})),
    unconnected(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", {other})),
    unconnected(socket.AF_INET6, socket.SOCK_DGRAM, ("::1", {other})),
    unconnected(socket.AF_UNIX, socket.SOCK_DGRAM, "/dev/log"),
    unconnected(socket.AF_UNIX, socket.SOCK_STREAM, "/run/systemd/journal/stdout"),
    refused(lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)),
    refused(lambda: socket.socket().listen()),
)), end="")
"""


class ContainedSandbox:
    """Implements Sandbox. `why` tells, for each property, what keeps the machine from a better back end."""

    def __init__(self, state_dir: Path, *, why: Mapping[Property, str] | None = None) -> None:
        self._places = state_dir.absolute() / "contained"
        self._state_dir = state_dir.absolute()
        self._why = why or {}
        self._probe: Probe | None = None
        self._probing = threading.Lock()

    def probe(self) -> Probe:
        """Starts two programs the first time (some 300 ms), on a thread of its own; remembered after that."""
        with self._probing:
            if self._probe is None:
                self._probe = self._examine()
            return self._probe

    async def start(self, spec: SandboxSpec) -> LaunchedProcess:
        """As the back end `none` does it, paths inside are translated where words, variables and the workdir name them."""
        probe = self.probe()
        require(spec, probe)
        return await self._start(spec, held(spec, probe))

    def own(self, path: Path) -> None:
        """Programs run as the caller: nothing to hand over."""

    def seen(self, path: str, mounts: tuple[Mount, ...]) -> str:
        return translate(path, mounts)

    def listener_port(self) -> int:
        return free_port()

    def _examine(self) -> Probe:
        if (reason := self._cannot_even_start()) is not None:
            return Probe(_BACKEND, frozenset(), dict.fromkeys(Property, reason))
        _sweep(self._places)

        async def start(spec: SandboxSpec) -> LaunchedProcess:
            return await self._start(replace(spec, listener_port=free_port()), frozenset())

        try:
            probe = examine(_BACKEND, start, self._state_dir, self.own, landlock=True)
        except SandboxUnavailableError as error:
            return Probe(_BACKEND, frozenset(), dict.fromkeys(Property, error.what))
        held_here = probe.properties - set(_NOT_HERE)  # the loader, too, runs what the kernel does not
        if not self._seen_alone(start):
            held_here -= {Property.SYSCALLS}
        known = _reasons(landlock.abi())
        missing = {
            name: self._why.get(name) or known.get(name, f"the probe saw `{name}` broken here")
            for name in Property
            if name not in held_here
        }
        return Probe(_BACKEND, held_here, missing)

    def _seen_alone(self, start: Callable[[SandboxSpec], Coroutine[None, None, LaunchedProcess]]) -> bool:
        """Whether the filter and Landlock refuse a program every socket but the listener's port, seen from inside and, by a server
        of ours, from outside.
        """
        python = Path(sys.executable)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)
            script = _SOCKET_SCRIPT.format(other=server.getsockname()[1])
            spec = SandboxSpec(
                argv=(str(python), "-I", "-S", "-c", script),
                workdir=_PRIVATE_TMP,
                mounts=python_mounts(python),
                network=Network.LISTENER,
            )
            said = on_own_thread(output_of(start, spec))
            try:
                server.accept()[0].close()
            except BlockingIOError:
                return said == "alone"
        return False

    def _cannot_even_start(self) -> str | None:
        if platform.system() != "Linux" or not seccomp.supported(platform.machine()):
            return "this back end needs Linux on x86_64 or aarch64; mend: run the worker on such a machine"
        if landlock.abi() < _LEAST_ABI:
            return _TOO_OLD
        if os.geteuid() == 0:
            return (
                "root's own folders cannot be shown to another user without a mount namespace; mend: start the worker as an "
                "ordinary user"
            )
        return None

    async def _start(self, spec: SandboxSpec, holds: frozenset[Property]) -> LaunchedProcess:
        place = await asyncio.to_thread(self._make_place)
        try:
            shown = replace(spec, mounts=(*_private(place, spec), *spec.mounts))
            order = await asyncio.to_thread(self._order, shown, place)
            channels, started = await launch.start(order, [], spec.limits)
        except BaseException:
            discard(place)
            raise
        return await LaunchedProcess.adopt(channels, started, shown, holds, place)

    def _make_place(self) -> Path:
        self._places.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=self._places))
        for name in ("tmp", "home"):
            (place / name).mkdir(mode=0o700)
        return place

    def _order(self, spec: SandboxSpec, place: Path) -> Order:
        workdir = Path(translate(spec.workdir, spec.mounts))
        if not workdir.is_dir():
            raise SandboxUnavailableError(f"the workdir {spec.workdir} does not exist")
        variables = {"PATH": PATH, "HOME": translate(HOME, spec.mounts), "TMPDIR": translate(_PRIVATE_TMP, spec.mounts)}
        return {
            "identity": None,
            "bubblewrap": [],
            "sources": [],
            "own_network": False,
            "listener_port": spec.listener_port if spec.network is Network.LISTENER else None,
            "restrictions": self._restrictions(spec, place),
            "argv": [translate(word, spec.mounts) for word in spec.argv],
            "environment": {**variables, **translated_variables(spec), "PWD": str(workdir)},
            "workdir": str(workdir),
        }

    def _restrictions(self, spec: SandboxSpec, place: Path) -> Restrictions:
        permitted = None if spec.programs is None else allowed(spec.programs)
        only_tcp = spec.network is not Network.HOST
        return {
            "limits": resource_limits(spec.limits, beside=tasks_of_user()),
            "seccomp": seccomp.filter_program(
                platform.machine(),
                memory_files=seccomp.memory_files_of(spec),
                only_tcp=only_tcp,
                own_ipc=False,
                own_processes=False,
            ),
            "landlock": self._rules(spec, place, permitted),
            "covers": [],
            "masks": [],
            "noexec": [],
        }

    @staticmethod
    def _rules(spec: SandboxSpec, place: Path, permitted: Allowed | None) -> Rules:
        """An allowlist without mounts: each program by itself, and of the folders they lie in nothing else can be read; of folders of
        libraries with programs among them, what is no such program.
        """
        sources = [str(mount.source.absolute()) for mount in spec.mounts]
        writable = [str(mount.source.absolute()) for mount in spec.mounts if mount.writable]
        read = [*_FACTS, *view.readable_etc(spec.network), *sources]
        if permitted is None:
            run = [*view.ROOT_DIRECTORIES, *sources]
        else:
            read += permitted.parts
            run = [translate(path, spec.mounts) for path in permitted.run if path not in PROGRAM_FOLDERS]
            run += elf.loaders(view.kept_files(permitted.named, spec.mounts), sources)
            run += [real for cover in permitted.covers for _, real in (*cover["files"], *cover["links"])]
            run += [] if spec.noexec else [path for path in writable if not view.is_within(path, str(place))]
        ports = [spec.listener_port] if spec.network is Network.LISTENER else []
        return {
            "list": [] if permitted is None else list(permitted.listed),
            "read": read,
            "run": run,
            "write": writable,
            "devices": list(_DEVICES),
            "connect": None if spec.network is Network.HOST else ports,
        }


def _private(place: Path, spec: SandboxSpec) -> list[Mount]:
    """What programs write beside what they were given; mounts, so that the disk they take is counted."""
    own = {_PRIVATE_TMP: place / "tmp", HOME: place / "home"}
    given = {mount.target for mount in spec.mounts}
    return [Mount(folder, target, writable=True) for target, folder in own.items() if target not in given]


def _reasons(version: int) -> Mapping[Property, str]:
    """What cannot be had at this level, where Landlock is of `version`."""
    return _NOT_HERE if version >= _FIRST_WITH_SIGNALS else {**_NOT_HERE, Property.PROCESSES: _SIGNALS}


def _sweep(places: Path) -> None:
    """What workers left that were killed: a folder carries the number of the one that made it."""
    for place in places.glob("*-*"):
        maker = place.name.partition("-")[0]
        if maker.isdecimal() and not Path(f"/proc/{maker}").exists():
            discard(place)
