"""What a sandbox is to the worker: a way to run one program that can touch only what it was given.

Every back end passes `tests/sandbox/conformance`. Properties are probed, never assumed; a back end that cannot give the
floor refuses to start.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from swarmworks.domain.isolation import Property

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Mapping
    from pathlib import Path


LISTENER_PORT = 8181
OUTPUT_BYTES = 16 << 20
LINE_BYTES = 1 << 20
"""The longest line that `readuntil` of a program's streams gives out whole."""


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
    memory_bytes: int = 4 << 30  # of one process's data
    tree_memory_bytes: int = 4 << 30  # of all processes together; past that the process tree is killed
    disk_bytes: int = 8 << 30  # below all writable mounts together, what was there included; the same
    processes: int = 512
    open_files: int = 1024
    file_bytes: int = 1 << 30
    output_bytes: int = OUTPUT_BYTES  # of stdout and of stderr; past that the process tree is killed


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """One program to run. `argv[0]` is looked up inside. `workdir` is a path inside. `listener_port` is where the
    listener is bound inside when `network` is LISTENER. The system's programs and libraries are there read-only, a
    private `/tmp` and `/proc` too; nothing else that is not mounted.

    `programs` is the allowlist: names of the system's programs, and absolute paths inside (a program, or a directory of them);
    None allows every program that is there. `noexec` takes from writable mounts that anything in them is run.
    """

    argv: tuple[str, ...]
    workdir: str
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    network: Network = Network.NONE
    listener_port: int = LISTENER_PORT
    protected: tuple[str, ...] = ()  # paths inside (or below workdir) that stay read-only within a writable mount
    programs: tuple[str, ...] | None = None
    noexec: bool = False
    limits: ProcessLimits = ProcessLimits()
    floor: frozenset[Property] = frozenset()


class SandboxedProcess(Protocol):
    """A running sandbox. Streams are bounded by `limits.output_bytes`."""

    @property
    def pid(self) -> int:
        """Host pid of the outermost process of the sandbox."""
        ...

    @property
    def held(self) -> frozenset[Property]:
        """What holds around this very process: what the back end gives, without what its spec did not ask for."""
        ...

    @property
    def exceeded(self) -> str:
        """The limit for which it was killed; empty when it was not."""
        ...

    @property
    def hindered(self) -> str:
        """What of the machine's kept it from going on, so that it was killed by no fault of its own; empty when it was not."""
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

    def listener_port(self) -> int:
        """A port for the listener of one start: programs inside may connect to it, and nobody else has it."""
        ...

    def seen(self, path: str, mounts: tuple[Mount, ...]) -> str:
        """The path by which a program started with `mounts` finds what they show at `path`: another one where there is no root
        of its own. Words, variables and the workdir of a spec are translated by `start`; what else tells a program of a path, is not.
        """
        ...
