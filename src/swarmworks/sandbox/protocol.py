"""What a sandbox is to the worker: a way to run one program that can touch only what it was given.

Every back end passes `tests/sandbox/conformance`. Properties are probed, never assumed; a back end that cannot give the
floor refuses to start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Mapping
    from pathlib import Path


class Property(StrEnum):
    """What holds inside. See docs/sandbox.md for what each one stops."""

    FILES = "files"  # only what is mounted can be read, only the writable mounts written
    PROTECTED = "protected"  # protected paths are read-only by mount (the diff check on the host comes on top)
    NETWORK = "network"  # nothing but our own listener
    EXEC = "exec"  # only allowlisted programs
    SYSCALLS = "syscalls"
    PROCESSES = "processes"  # nothing survives, nothing outside is visible
    LIMITS = "limits"
    QUOTA = "quota"
    ENVIRONMENT = "environment"  # only the variables that were given
    UNPRIVILEGED = "unprivileged"  # not uid 0 on the host


class Network(StrEnum):
    NONE = "none"
    LISTENER = "listener"  # loopback with one listener, whose connections arrive at the worker
    HOST = "host"  # the host's network: only for building an environment, never for an agent or a gate


@dataclass(frozen=True, slots=True)
class Mount:
    """`source` on the host appears at `target` inside. A writable source must be writable for the sandbox's uid
    (`Sandbox.own`); start refuses one that is not.
    """

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    memory_bytes: int = 4 << 30  # of one process's data; the whole tree is watched by the worker
    processes: int = 512
    open_files: int = 1024
    file_bytes: int = 1 << 30
    output_bytes: int = 16 << 20  # of stdout and of stderr; past that the process tree is killed


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One program to run. `argv[0]` is looked up inside. `workdir` is a path inside. `listener_port` is where the
    listener is bound inside when `network` is LISTENER. The system's programs and libraries are there read-only, a
    private `/tmp` and `/proc` too; nothing else that is not mounted.
    """

    argv: tuple[str, ...]
    workdir: str
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    network: Network = Network.NONE
    listener_port: int = 8181
    protected: tuple[str, ...] = ()  # paths inside (or below workdir) that stay read-only within a writable mount
    limits: ProcessLimits = ProcessLimits()
    floor: frozenset[Property] = frozenset()


class SandboxedProcess(Protocol):
    """A running sandbox. Streams are bounded by `limits.output_bytes`."""

    @property
    def pid(self) -> int:
        """Host pid of the outermost process of the sandbox."""
        ...

    @property
    def stdin(self) -> asyncio.StreamWriter: ...

    @property
    def stdout(self) -> asyncio.StreamReader: ...

    @property
    def stderr(self) -> asyncio.StreamReader: ...

    @property
    def listener(self) -> socket.socket | None:
        """The listening socket bound inside the sandbox's network namespace, to accept from on the host. Whoever asks for
        it closes it.
        """
        ...

    async def wait(self) -> int:
        """The exit status (128 + signal when killed by one). Nothing of the process tree is left afterwards."""
        ...

    def kill(self) -> None:
        """End the whole process tree at once; `wait` then returns. Safe to repeat."""
        ...

    def memory_bytes(self) -> int:
        """Proportional set size of the whole tree; 0 once it has ended."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What this machine can do: the properties that hold, and for each one that does not, why and the mend."""

    backend: str
    properties: frozenset[Property]
    missing: Mapping[Property, str]


class Sandbox(Protocol):
    def probe(self) -> Probe: ...

    async def start(self, spec: SandboxSpec) -> SandboxedProcess:
        """Start `spec`. Raises SandboxUnavailableError when a property of the floor does not hold, naming it and the
        mend, or when the sandbox itself could not be set up (never reported as the program's own failure).
        """
        ...

    def own(self, path: Path) -> None:
        """Hand `path`, with all that lies below it, over to the uid programs run as inside, for a writable mount. Links
        are not followed. Blocks for as long as the tree is large. Nothing to do where that uid is the caller's own.
        """
        ...
