"""The worker's end of a launcher: its pipes and sockets, and how a sandbox is brought to the point where its program runs.

Liveness hangs on file descriptors, never on threads: the launcher ends the sandbox when the worker's process or the control
socket is gone, so it does not matter from which thread a sandbox was started.
"""

from __future__ import annotations

import asyncio
import atexit
import marshal
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.sandbox import cgroups
from swarmworks.sandbox.launcher import READY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.sandbox.cgroups import Cgroup
    from swarmworks.sandbox.launcher import Order
    from swarmworks.sandbox.protocol import ProcessLimits

_PACKAGE_ROOT: Final = str(Path(__file__).resolve().parents[2])
_BOOT: Final = (
    "import sys; sys.path.append(sys.argv[1]); from swarmworks.sandbox.starter import serve; "
    "serve(int(sys.argv[2]), int(sys.argv[3]))"
)
START_TIMEOUT_S: Final = 30.0
_ENDING_S: Final = 0.5
_MAX_SET_UP_TEXT_BYTES: Final = 1 << 16
_MAX_HANDED_FDS: Final = 3


@dataclass(frozen=True, slots=True)
class Channels:
    """Everything the worker holds of a launcher that was started. All descriptors are non-blocking and not inheritable."""

    launcher_pid: int
    launcher_pidfd: int
    control: socket.socket
    set_up_fd: int
    stdin_fd: int
    stdout_fd: int
    stderr_fd: int
    group: Cgroup | None

    def abandon(self) -> None:
        """End a launcher whose sandbox did not come up. Where there is no process namespace, the launcher alone can end what slipped
        away from it: it is killed only when it does not end by itself. Blocks for half a second at most, mostly for a moment.
        """
        with suppress(OSError):  # it has ended already
            self.control.shutdown(socket.SHUT_WR)
        if not _ended(self.launcher_pidfd, _ENDING_S):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.launcher_pidfd, signal.SIGKILL)
            _ended(self.launcher_pidfd)
        self.control.close()
        for fd in (self.launcher_pidfd, self.set_up_fd, self.stdin_fd, self.stdout_fd, self.stderr_fd):
            os.close(fd)
        if self.group is not None:
            self.group.remove()


def _ended(pidfd: int, most_s: float | None = None) -> bool:
    """Blocks until the process has ended, for `most_s` at most; whether it has."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    return bool(waiting.poll(None if most_s is None else most_s * 1000))


@dataclass(frozen=True, slots=True)
class Started:
    """`first_pidfd` refers to the first process of the sandbox: signalling it ends everything, and it ends last.
    `program_pidfd` refers to the program.
    """

    first_pidfd: int
    program_pidfd: int
    listener: socket.socket | None


def memory_file(content: bytes) -> int:
    """A descriptor from which `content` can be read once, from the start; the caller closes it."""
    fd = os.memfd_create("swarmworks", os.MFD_CLOEXEC)
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


class _Starter:
    """This process's end of its starter, which is started when it is needed: at first, after it was killed, and in a process
    that was forked from the one that had it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner = 0
        self._requests: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def send(self, fds: Sequence[int]) -> None:
        """Raises OSError when no starter can be started."""
        with self._lock:
            if self._requests is not None and self._owner == os.getpid():
                with suppress(OSError):
                    socket.send_fds(self._requests, [b"start"], fds)
                    return
            self._begin()
            assert self._requests is not None
            socket.send_fds(self._requests, [b"start"], fds)

    def end(self) -> None:
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        if self._process is not None and self._owner == os.getpid():
            self._process.wait()

    def _begin(self) -> None:
        self.end()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._owner = os.getpid()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOT, _PACKAGE_ROOT, str(theirs.fileno()), str(self._owner)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={},
                cwd="/",
                start_new_session=True,
            )


_starter: Final = _Starter()
atexit.register(_starter.end)


def spawn(order: Order, files: Sequence[bytes], limits: ProcessLimits) -> Channels:
    """Start a launcher; blocks for as long as a fork takes. `files` become fd 4, 5, ... of bubblewrap; fd 3 is the anchor's there.
    Raises SandboxUnavailableError, with nothing left open.
    """
    with ExitStack() as kept:
        try:
            with ExitStack() as given:
                stdin_read, stdin_write = _pipe(given, kept)
                stdout_read, stdout_write = _pipe(kept, given)
                stderr_read, stderr_write = _pipe(kept, given)
                set_up_read, set_up_write = _pipe(kept, given)
                mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                kept.callback(mine.close)
                given.callback(theirs.close)
                order_fd, *memory = [_memory(given, content) for content in (marshal.dumps({**order}), *files)]
                group = cgroups.make(limits)
                if group is not None:
                    kept.callback(group.remove)
                ends = [stdin_read, stdout_write, set_up_write, theirs.fileno(), order_fd, stderr_write, *memory]
                _starter.send(ends)
        except OSError as error:
            raise SandboxUnavailableError(f"the sandbox's launcher cannot be started: {error.strerror}") from error
        mine.settimeout(START_TIMEOUT_S)
        try:
            said, fds, _, _ = socket.recv_fds(mine, 64, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            said, fds = b"", []
        if not fds:
            raise SandboxUnavailableError("the sandbox's launcher could not be started")
        kept.pop_all()
    if group is not None:
        group.take(int(said))
    with suppress(OSError):  # it has ended, and its last words say why
        mine.send(b"g")
    mine.setblocking(False)
    for fd in (stdin_write, stdout_read, stderr_read, set_up_read):
        os.set_blocking(fd, False)
    return Channels(int(said), fds[0], mine, set_up_read, stdin_write, stdout_read, stderr_read, group)


def _pipe(reading: ExitStack, writing: ExitStack) -> tuple[int, int]:
    """Each end is closed with its stack."""
    ends = os.pipe()
    reading.callback(os.close, ends[0])
    writing.callback(os.close, ends[1])
    return ends


def _memory(stack: ExitStack, content: bytes) -> int:
    fd = memory_file(content)
    stack.callback(os.close, fd)
    return fd


async def readable(fd: int) -> None:
    """Return once `fd` has something to read, or has hung up."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def resolve() -> None:
        if not ready.done():
            ready.set_result(None)

    loop.add_reader(fd, resolve)
    try:
        await ready
    finally:
        loop.remove_reader(fd)


async def start(order: Order, files: Sequence[bytes], limits: ProcessLimits) -> tuple[Channels, Started]:
    """Spawn and wait until the program itself is about to run. Raises SandboxUnavailableError with the set-up's own words."""
    channels = await _spawn_on_thread(order, files, limits)
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await _program_reached(channels.set_up_fd)
            started = await _receive_started(channels.control)
    except TimeoutError as error:
        channels.abandon()
        raise SandboxUnavailableError(f"the sandbox was not up after {START_TIMEOUT_S:.0f} s") from error
    except BaseException:
        channels.abandon()
        raise
    return channels, started


async def _spawn_on_thread(order: Order, files: Sequence[bytes], limits: ProcessLimits) -> Channels:
    """A fork takes milliseconds, many at once would stall the loop."""
    spawning = asyncio.ensure_future(asyncio.to_thread(spawn, order, files, limits))
    try:
        return await asyncio.shield(spawning)
    except asyncio.CancelledError:
        (await spawning).abandon()
        raise


async def _program_reached(set_up_fd: int) -> None:
    text = b""
    while len(text) < _MAX_SET_UP_TEXT_BYTES:
        await readable(set_up_fd)
        chunk = os.read(set_up_fd, 4096)
        text += chunk
        if READY in text:
            return
        if not chunk:
            break
    reason = text.decode(errors="replace").strip() or "the launcher ended without a word"
    raise SandboxUnavailableError(
        f"the sandbox could not be set up: {reason}", mend="swarm doctor says what is missing"
    )


async def _receive_started(control: socket.socket) -> Started:
    await readable(control.fileno())
    message, fds, _, _ = socket.recv_fds(control, 64, _MAX_HANDED_FDS, socket.MSG_CMSG_CLOEXEC)
    if message != b"started" or len(fds) < _MAX_HANDED_FDS - 1:
        raise SandboxUnavailableError("the sandbox's launcher ended during set-up")
    listener = socket.socket(fileno=fds[2]) if len(fds) == _MAX_HANDED_FDS else None
    if listener is not None:
        listener.setblocking(False)
    return Started(fds[0], fds[1], listener)
