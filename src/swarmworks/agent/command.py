"""The tool that runs a command: its own process group, no secrets, no stdin, bounded time and bounded output."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmworks.base.errors import ToolError

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.agent.interrupts import Interrupts

_PROXY = ("http_proxy", "https_proxy", "no_proxy")
KEPT_VARIABLES = frozenset(
    ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", *_PROXY, *(name.upper() for name in _PROXY))
)
DATABASES = "SWARM_DATABASE_"
"""How the variables begin that hold the addresses of the databases a session may read."""

HEAD_BYTES = 8 << 10
TAIL_BYTES = 16 << 10
MAX_OUTPUT_BYTES = 16 << 20
MAX_COMMAND_BYTES = 64 << 10
_TICK_S = 0.05


@dataclass(slots=True)
class _Output:
    """The first and the last bytes; what lies between is only counted."""

    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    total: int = 0

    def add(self, data: bytes) -> None:
        self.total += len(data)
        room = HEAD_BYTES - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * TAIL_BYTES:
            del self.tail[:-TAIL_BYTES]

    def text(self) -> str:
        tail = self.tail[-TAIL_BYTES:]
        missing = self.total - len(self.head) - len(tail)
        middle = b"\n[cut: %d bytes left out]\n" % missing if missing else b""
        return (bytes(self.head) + middle + bytes(tail)).decode("utf-8", "replace")


def run_command(command: str, root: Path, timeout_s: float, interrupts: Interrupts) -> str:
    """`exit code N` and the output. ToolError when it had to be killed. Whatever it left running is killed too."""
    if "\0" in command or len(command.encode("utf-8", "replace")) > MAX_COMMAND_BYTES:
        raise ToolError(f"a command is at most {MAX_COMMAND_BYTES} bytes and holds no NUL character")
    output = _Output()
    with ExitStack() as stack:
        with interrupts.held_back():  # a process that was started and is not known yet could not be killed
            process = _start(command, root)
            stack.callback(_kill_group, process)
        problem = _follow(process, output, time.monotonic() + timeout_s)
    if problem:
        raise ToolError(f"{problem.format(timeout_s=timeout_s)}\n{output.text()}")
    status = process.returncode
    return f"exit code {status if status >= 0 else 128 - status}\n{output.text()}"


def _start(command: str, root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["sh", "-c", command.encode("utf-8", "replace")],
        cwd=root,
        env={name: value for name, value in os.environ.items() if name in KEPT_VARIABLES or name.startswith(DATABASES)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _follow(process: subprocess.Popen[bytes], output: _Output, deadline: float) -> str:
    """Read until the command has ended; what it left in the background does not count. The answer is what went wrong."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    open_ended = True
    while True:
        ended = process.poll() is not None
        if open_ended and select.select([descriptor], [], [], 0.0 if ended else _TICK_S)[0]:
            data = os.read(descriptor, 1 << 16)
            output.add(data)
            open_ended = bool(data)
        elif ended:
            return ""
        elif not open_ended:
            _wait_a_tick(process)
        if output.total > MAX_OUTPUT_BYTES:
            return f"killed: it wrote more than {MAX_OUTPUT_BYTES} bytes"
        if time.monotonic() >= deadline:
            return "killed: it was still running after {timeout_s:g} s"


def _wait_a_tick(process: subprocess.Popen[bytes]) -> None:
    """A command may close its output and go on."""
    try:
        process.wait(_TICK_S)
    except subprocess.TimeoutExpired:
        return


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with process, suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, when all have ended
        os.killpg(process.pid, signal.SIGKILL)
