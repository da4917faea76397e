"""The sandbox of Linux machines: bubblewrap in namespaces of our own, with a system-call filter and limits.

Never runs anything as the host's uid 0: started by root, programs run as a dedicated uid. `docs/sandbox.md` says what each
property stops.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
import subprocess
import threading
from functools import cache, cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox import elf, landlock, launch, seccomp, view
from swarmworks.sandbox.floor import held, require
from swarmworks.sandbox.inside import ANCHOR
from swarmworks.sandbox.launcher import ANCHOR_FD, FIRST_INHERITED_FD, STAGE
from swarmworks.sandbox.limits import resource_limits
from swarmworks.sandbox.ownership import hand_over
from swarmworks.sandbox.probing import diagnose, examine
from swarmworks.sandbox.process import LaunchedProcess
from swarmworks.sandbox.programs import Allowed, allowed
from swarmworks.sandbox.protocol import LISTENER_PORT, Network, Probe, SandboxSpec
from swarmworks.sandbox.seccomp import MemoryFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.sandbox.inside import Restrictions
    from swarmworks.sandbox.landlock import Rules
    from swarmworks.sandbox.launcher import Order
    from swarmworks.sandbox.protocol import Mount

DEFAULT_UID: Final = 60_990  # in the range systemd documents as unused; no user of the machine should have it
HOME: Final = "/home/agent"
PATH: Final = "/usr/local/bin:/usr/bin:/bin"

_ARGUMENTS_FD: Final = FIRST_INHERITED_FD
_FILTER_FD: Final = FIRST_INHERITED_FD + 1
_ANCHOR_SCRIPT: Final = f"echo >&{ANCHOR_FD}; read x <&{ANCHOR_FD}"
_TEMPORARY: Final = ("/tmp", "/dev/shm")  # noqa: S108 -- the sandbox's own


class BubblewrapSandbox:
    """Implements Sandbox. `state_dir` holds the few files of /etc shown inside; `uid` is used only when started as root."""

    def __init__(self, state_dir: Path, *, uid: int = DEFAULT_UID, program: str = "bwrap") -> None:
        self._state_dir = state_dir.absolute()
        self._program = program
        self._is_root = os.geteuid() == 0
        if uid <= 0:
            raise SandboxUnavailableError(f"programs cannot run as uid {uid}", mend="choose an unused uid above 0")
        self._uid, self._gid = (uid, uid) if self._is_root else (os.geteuid(), os.getegid())
        self._of_etc: dict[tuple[Network, str], list[str]] = {}
        self._probe: Probe | None = None
        self._probing = threading.Lock()

    def probe(self) -> Probe:
        """Starts two sandboxes the first time (some 400 ms), on a thread of its own; remembered after that."""
        with self._probing:
            if self._probe is None:
                self._probe = self._examine()
            return self._probe

    async def start(self, spec: SandboxSpec) -> LaunchedProcess:
        require(spec, await asyncio.to_thread(self.probe))
        return await self._start(spec)

    def own(self, path: Path) -> None:
        if self._is_root:
            hand_over(path, self._uid, self._gid)

    def seen(self, path: str, mounts: tuple[Mount, ...]) -> str:
        del mounts
        return path

    def listener_port(self) -> int:
        return LISTENER_PORT  # every sandbox has a loopback of its own

    def _examine(self) -> Probe:
        if (reason := self._cannot_even_start()) is not None:
            return Probe("bubblewrap", frozenset(), dict.fromkeys(Property, reason))
        try:
            return examine("bubblewrap", self._start, self._state_dir, self.own, landlock=self._landlock)
        except SandboxUnavailableError as error:
            return Probe("bubblewrap", frozenset(), dict.fromkeys(Property, diagnose(error.what)))

    def _cannot_even_start(self) -> str | None:
        if platform.system() != "Linux":
            return "bubblewrap needs Linux; mend: run the worker on Linux or in a Linux virtual machine"
        if shutil.which(self._program) is None:
            return (
                "bubblewrap is not installed; mend: apt-get install bubblewrap (dnf, apk and pacman call it the same)"
            )
        if not seccomp.supported(platform.machine()):
            return f"there is no system-call filter for {platform.machine()}; mend: use an x86_64 or aarch64 machine"
        return None

    async def _start(self, spec: SandboxSpec) -> LaunchedProcess:
        for mount in spec.mounts:
            self._require_usable(mount.source, writable=mount.writable)
        permitted = None if spec.programs is None else await asyncio.to_thread(allowed, spec.programs)
        order, arguments = self._order(spec, permitted)
        channels, started = await launch.start(order, [arguments, self._filter(MemoryFiles.ANY)], spec.limits)
        probe = self._probe
        held_here = held(spec, probe) if probe is not None else frozenset[Property]()
        return await LaunchedProcess.adopt(channels, started, spec, held_here)

    def _require_usable(self, source: Path, *, writable: bool) -> None:
        try:
            status = source.stat()
        except OSError as error:
            raise SandboxUnavailableError(f"the mount source {source} cannot be used: {error.strerror}") from error
        if not writable or not self._is_root:
            return
        if status.st_uid != self._uid and not status.st_mode & stat.S_IWOTH:
            raise SandboxUnavailableError(
                f"the writable mount {source} belongs to uid {status.st_uid}, programs inside run as uid {self._uid}",
                mend="hand it over first, with Sandbox.own",
            )

    def _order(self, spec: SandboxSpec, permitted: Allowed | None) -> tuple[Order, bytes]:
        """What the launcher is told, and the arguments bubblewrap reads from a descriptor: a command line has its limits."""
        sources = list(dict.fromkeys([self._etc, *(mount.source for mount in spec.mounts)]))
        staged = {source: f"{STAGE}/{index}" for index, source in enumerate(sources)} if self._is_root else {}
        environment = {"PATH": PATH, "HOME": HOME, "PWD": spec.workdir, **spec.environment}
        arguments = [*self._isolation(), *self._file_system(spec, environment["HOME"], staged)]
        order: Order = {
            "identity": (self._uid, self._gid) if self._is_root else None,
            "bubblewrap": [
                *(self._program_path, "--args", str(_ARGUMENTS_FD), "--"),
                *(ANCHOR, "-c", _ANCHOR_SCRIPT),
            ],
            "sources": [str(source.absolute()) for source in sources] if self._is_root else [],
            "own_network": spec.network is not Network.HOST,
            "listener_port": spec.listener_port if spec.network is Network.LISTENER else None,
            "restrictions": self._restrictions(spec, environment["HOME"], permitted),
            "argv": list(spec.argv),
            "environment": environment,
            "workdir": spec.workdir,
        }
        return order, b"".join(os.fsencode(word) + b"\0" for word in arguments)

    def _restrictions(self, spec: SandboxSpec, home: str, permitted: Allowed | None) -> Restrictions:
        writable = [mount.target for mount in spec.mounts if mount.writable]
        own_home = [] if any(view.is_within(home, mount.target) for mount in spec.mounts) else [home]
        noexec = [*_TEMPORARY, *own_home] if permitted is not None or spec.noexec else []
        return {
            "limits": resource_limits(spec.limits),
            "seccomp": self._filter(seccomp.memory_files_of(spec)),
            "landlock": self._rules(spec, [*writable, *_TEMPORARY, *own_home], permitted) if self._landlock else None,
            "covers": [] if permitted is None else list(permitted.covers),
            "masks": [] if permitted is None else list(permitted.masks),
            "noexec": [*((path, False) for path in noexec), *((path, True) for path in writable if spec.noexec)],
        }

    @staticmethod
    def _rules(spec: SandboxSpec, writable: list[str], permitted: Allowed | None) -> Rules:
        """Protected paths and read-only mounts are the mounts' to keep: Landlock cannot take away below what it gives."""
        if permitted is None:
            read, run = [], ["/"]
        else:
            shown = [mount.target for mount in spec.mounts]
            read = [*view.READABLE, *permitted.read, *shown]
            run = [*permitted.run, *elf.loaders(view.kept_files(permitted.named, spec.mounts), shown)]
            run += [] if spec.noexec else [mount.target for mount in spec.mounts if mount.writable]
        return {
            "list": ["/"],
            "read": read,
            "run": run,
            "write": writable,
            "devices": ["/dev", "/proc"],
            "connect": None,
        }

    @cached_property
    def _landlock(self) -> bool:
        return landlock.abi() >= landlock.LEAST_ABI

    @staticmethod
    @cache
    def _filter(memory_files: MemoryFiles) -> bytes:
        return seccomp.filter_program(platform.machine(), memory_files=memory_files)

    def _isolation(self) -> list[str]:
        arguments = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        arguments += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--seccomp", str(_FILTER_FD)]
        return [*arguments, "--disable-userns"] if "--disable-userns" in self._options else arguments

    def _file_system(self, spec: SandboxSpec, home: str, staged: Mapping[Path, str]) -> list[str]:
        def on_host(source: Path) -> str:
            return staged.get(source, str(source.absolute()))

        protected = [str(PurePosixPath(spec.workdir) / path) for path in spec.protected]
        shown, protections = view.bindings(spec.mounts, protected, on_host)
        sized = ["--size", str(spec.limits.file_bytes)] if "--size" in self._options else []
        arguments = [*self._system_root, *self._system_etc(spec.network, on_host(self._etc))]
        arguments += ["--ro-bind", os.path.realpath("/bin/sh"), ANCHOR]
        arguments += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys", "--dev", "/dev", "--remount-ro", "/dev"]
        arguments += [*sized, "--tmpfs", "/dev/shm", *sized, "--tmpfs", "/tmp"]  # noqa: S108 -- the sandbox's own
        arguments += ["--symlink", "../tmp", "/var/tmp", "--dir", "/run"]  # noqa: S108 -- the sandbox's own
        if not any(view.is_within(home, mount.target) for mount in spec.mounts):
            arguments += [*sized, "--tmpfs", home]
        for binding in (*shown, *protections):
            arguments += binding
        return [*arguments, "--remount-ro", "/"]

    @cached_property
    def _system_root(self) -> list[str]:
        return view.system_root()

    def _system_etc(self, network: Network, ours: str) -> list[str]:
        """Looked for once: what goes away later is left out by bubblewrap itself."""
        if (network, ours) not in self._of_etc:
            self._of_etc[network, ours] = view.system_etc(network, ours)
        return self._of_etc[network, ours]

    @cached_property
    def _program_path(self) -> str:
        return shutil.which(self._program) or self._program

    @cached_property
    def _options(self) -> frozenset[str]:
        """The options this bubblewrap knows: --size and --disable-userns are younger than what some systems ship."""
        text = subprocess.run([self._program_path, "--help"], capture_output=True, text=True, check=False, timeout=10)
        return frozenset(word for word in text.stdout.split() if word.startswith("--"))

    @cached_property
    def _etc(self) -> Path:
        directory = self._state_dir / f"sandbox-etc-{self._uid}"
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in view.etc_files(self._uid, self._gid, HOME).items():
            (directory / name).write_text(text, encoding="ascii")
            (directory / name).chmod(0o644)
        directory.chmod(0o755)
        return directory
