"""What an agent's program is to the worker: how it is started, how it is spoken to, and what its output means.

A runtime is data as far as its program allows: words, variables and files for one session, and a reader that turns each line
of its output into the normal form of `wire.session_events`. It starts nothing itself: the worker does, in a sandbox. Every
runtime passes `tests/runtime/conformance`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from swarmworks.domain.session import SessionLimits
    from swarmworks.policy.tiers import Wire
    from swarmworks.wire.session_events import SessionEvent

BUILTIN = "builtin"
COMMAND = "command"
SMALL_BYTES = 128 << 20
"""The memory of a session whose program is small: an interpreter and one command under way."""
SPARE_S = 30.0
"""What a program may be silent for beyond the longest command it may run."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One session, as its program needs to know it. `model` is the name at the gateway, `wire` the format the provider
    speaks, `token` the only key the session has. `gateway_url` is the sandbox's listener, without a path. `workdir` and
    `home` are paths inside; `search_path` is where the project's tools are found. `run` is the task's own command, empty for
    one that an agent is to think about. `writable` is false where the working copy can only be read. `mail`: whether it may write to other agents, or they to it; `takes_over`: whether it
    goes on from another session.
    """

    system: str
    prompt: str
    model: str
    wire: str
    token: str = field(repr=False)
    gateway_url: str
    workdir: str
    home: str
    owned: tuple[str, ...]
    limits: SessionLimits
    command_timeout_s: float
    search_path: str
    run: str = ""
    mail: bool = False
    takes_over: bool = False
    writable: bool = True

    @property
    def silence_s(self) -> float:
        """How long an agent may say nothing: never less than a command takes that it is allowed."""
        return max(self.limits.idle_s, self.command_timeout_s + SPARE_S)


@dataclass(frozen=True, slots=True)
class Shown:
    """A file or folder of the host that appears, read-only, at `target` inside."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class Launch:
    """How the worker starts the program. `files` are put into its home folder: path below it, and content.
    `first_input` goes to its standard input at once, which is closed after it unless `input_stays_open`. `silence_s`: how
    long it may neither say anything nor be answered by a model before it counts as stalled; None for the session's limit. `working_s`:
    how long while a tool call it has told of is under way; None for no longer.
    `output_bytes`: how much it may print, None for what any program may.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    first_input: bytes
    input_stays_open: bool
    shown: tuple[Shown, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    silence_s: float | None = None
    working_s: float | None = None
    output_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What a line of output means. `reply` is to be written to the program's standard input."""

    events: tuple[SessionEvent, ...] = ()
    reply: bytes = b""


class Reading(Protocol):
    """The reader of one session's output; it may remember what came before. The last event of a session is `End`."""

    def hear(self, line: bytes) -> Heard:
        """Never raises: a line that means nothing is a `Garbage` event."""
        ...

    def finish(self, status: int) -> tuple[SessionEvent, ...]:
        """The program ended with this exit status, without an `End` so far. One is among these where the program's end is
        that of the session; empty where it is a fault.
        """
        ...

    def ended(self) -> str:
        """What there is to say of a program that ended without an `End`, in words for the record; empty for nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What this machine has of a runtime. `lacking` is empty when it can be used, else what is missing; `mend` how it is
    had. `wires` are the formats the program speaks with a model; empty when it needs none. `tested` is the version that the
    platform was tested with, empty where there is none; `lost` are flags that it is started with and does not know.
    """

    program: str
    version: str = ""
    lacking: str = ""
    mend: str = ""
    wires: frozenset[Wire] = frozenset()
    tested: str = ""
    lost: tuple[str, ...] = ()


class Runtime(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def wires(self) -> frozenset[Wire]:
        """The wire formats the program can speak with a model."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What a session is admitted with: its program at work, with one command under way."""
        ...

    @property
    def own_home(self) -> bool:
        """Whether it needs a home folder of its own on the disk, beside the sandbox's private /tmp."""
        ...

    def probe(self) -> Found:
        """Looks at this machine; may start the program to ask its version."""
        ...

    def launch(self, facts: Facts) -> Launch: ...

    def reading(self) -> Reading: ...

    def says(self, text: str) -> bytes | None:
        """A person's words as the program reads them from its standard input while it runs; None when it cannot."""
        ...

    def tells(self, text: str) -> bytes | None:
        """The platform's words, which ask for nothing, as the program reads them while it runs; None when it cannot."""
        ...

    def asks_to_hand_over(self, text: str) -> bytes | None:
        """The platform's words as the program reads them while it runs: it is to end with a summary for a fresh session.
        None when it cannot be told.
        """
        ...
