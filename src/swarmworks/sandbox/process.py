"""A running sandbox as the worker sees it: bounded streams, one exit status, one way to end it."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from swarmworks.sandbox.launch import Channels, Started, readable
from swarmworks.sandbox.leftovers import discard
from swarmworks.sandbox.memory import tree_memory_bytes
from swarmworks.sandbox.protocol import LINE_BYTES
from swarmworks.sandbox.watchdog import Breach, Watchdog

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from swarmworks.sandbox.protocol import Property, SandboxSpec

_READ_BYTES = 1 << 16
_REMAINS_S = 5.0
_STATUS_OF_KILLED = 128 + signal.SIGKILL


class _Output:
    """Moves one pipe into a StreamReader. Reads ahead of the consumer, so that the limit holds whether or not anybody
    reads; memory is bounded by that limit.
    """

    def __init__(self, fd: int, limit_bytes: int, exceeded: Callable[[], None]) -> None:
        self.reader = asyncio.StreamReader(limit=LINE_BYTES)
        self._fd = fd
        self._left = limit_bytes
        self._exceeded = exceeded
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self._move)
        self._open = True

    def _move(self) -> bool:
        """Whether there may be more to read at once."""
        try:
            chunk = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return False
        if chunk and len(chunk) <= self._left:
            self._left -= len(chunk)
            self.reader.feed_data(chunk)
            return True
        if chunk:
            self.reader.feed_data(chunk[: self._left])
            self._exceeded()
        self.close()
        return False

    def finish(self) -> None:
        """Take what is left in the pipe, after the last writer has gone."""
        while self._open and self._move():
            pass
        self.close()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self.reader.feed_eof()


class LaunchedProcess:
    """Implements SandboxedProcess over a launcher. The listener belongs to whoever asks for it; closed here otherwise."""

    def __init__(
        self,
        channels: Channels,
        started: Started,
        stdin: asyncio.StreamWriter,
        spec: SandboxSpec,
        held: frozenset[Property],
        place: Path | None,
    ) -> None:
        self.held = held
        self.exceeded = ""
        self.hindered = ""
        self._place = place
        self._launcher_pid, self._launcher_pidfd = channels.launcher_pid, channels.launcher_pidfd
        self._control = channels.control
        self._group = channels.group
        self._started = started
        self._listener_taken = False
        self._stdin = stdin
        self._most_output = spec.limits.output_bytes
        self._stdout = _Output(channels.stdout_fd, self._most_output, self._end_for_output)
        self._stderr = _Output(channels.stderr_fd, self._most_output, self._end_for_output)
        self._ended = False
        places = [m.source for m in spec.mounts if m.writable]
        self._watchdog = Watchdog(self._launcher_pid, spec.limits, places, self._group)
        self._completion = asyncio.get_running_loop().create_task(self._complete())

    @classmethod
    async def adopt(
        cls,
        channels: Channels,
        started: Started,
        spec: SandboxSpec,
        held: frozenset[Property],
        place: Path | None = None,
    ) -> LaunchedProcess:
        """A caller that is cancelled meanwhile leaves nothing running. `place` is deleted when all is over."""
        adoption = asyncio.create_task(cls._adopt(channels, started, spec, held, place))
        try:
            return await asyncio.shield(adoption)
        except asyncio.CancelledError:
            process = await adoption
            process.kill()
            await process.wait()
            raise

    @classmethod
    async def _adopt(
        cls,
        channels: Channels,
        started: Started,
        spec: SandboxSpec,
        held: frozenset[Property],
        place: Path | None,
    ) -> LaunchedProcess:
        loop = asyncio.get_running_loop()
        os.close(channels.set_up_fd)
        pipe = os.fdopen(channels.stdin_fd, "wb", buffering=0)
        transport, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), pipe
        )
        return cls(channels, started, asyncio.StreamWriter(transport, protocol, None, loop), spec, held, place)

    @property
    def pid(self) -> int:
        return self._launcher_pid

    @property
    def stdin(self) -> asyncio.StreamWriter:
        return self._stdin

    @property
    def stdout(self) -> asyncio.StreamReader:
        return self._stdout.reader

    @property
    def stderr(self) -> asyncio.StreamReader:
        return self._stderr.reader

    @property
    def listener(self) -> socket.socket | None:
        self._listener_taken = True
        return self._started.listener

    async def wait(self) -> int:
        return await asyncio.shield(self._completion)

    def kill(self) -> None:
        if self._ended:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._started.first_pidfd, signal.SIGKILL)
        with suppress(OSError):  # the launcher is gone already
            self._control.shutdown(1)

    def memory_bytes(self) -> int:
        return 0 if self._ended else tree_memory_bytes(self._launcher_pid)

    def _end_for_output(self) -> None:
        self._end(Breach(f"it printed more than {self._most_output} bytes"))

    def _end(self, breach: Breach) -> None:
        self._note(breach)
        self.kill()

    def _note(self, breach: Breach) -> None:
        """The first one counts: what comes after it may come of it."""
        if self.exceeded or self.hindered:
            return
        if breach.of_machine:
            self.hindered = breach.reason
        else:
            self.exceeded = breach.reason

    async def _watch(self) -> None:
        """Until it is cancelled. What cannot be watched must not go on: its limits would be gone."""
        try:
            breach = await self._watchdog.breach()
        except Exception as error:  # noqa: BLE001 - told as the reason
            breach = Breach(f"it could not be watched: {error}", of_machine=True)
        self._end(breach)

    async def _complete(self) -> int:
        watching = asyncio.create_task(self._watch())
        await readable(self._started.program_pidfd)
        watching.cancel()
        await readable(self._launcher_pidfd)
        await self._first_ended()
        await asyncio.wait([watching])
        if breach := self._watchdog.killed():
            self._note(breach)
        status = self._reported_status()
        if self._group is not None:
            self._group.remove()
        self._ended = True
        self._stdout.finish()
        self._stderr.finish()
        self._control.close()
        os.close(self._launcher_pidfd)
        os.close(self._started.first_pidfd)
        os.close(self._started.program_pidfd)
        if self._started.listener is not None and not self._listener_taken:
            self._started.listener.close()
        if not self._stdin.is_closing():
            self._stdin.transport.abort()
        if self._place is not None:
            await asyncio.to_thread(discard, self._place)
        with suppress(OSError):  # unsent input is nobody's concern any more
            await self._stdin.wait_closed()
        return status

    async def _first_ended(self) -> None:
        """It ends last, and after the launcher only when that one was killed: then whoever inherits the program's remains has
        to take them first. On a machine where nobody does, all is over all the same.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_REMAINS_S):
                await readable(self._started.first_pidfd)

    def _reported_status(self) -> int:
        """The launcher reports unless it was killed itself, and then the sandbox was killed with it. What is ended for its output
        may meet the closed pipe before the signal.
        """
        if self.exceeded or self.hindered:
            return _STATUS_OF_KILLED
        try:
            return int(self._control.recv(64) or _STATUS_OF_KILLED)
        except OSError:
            return _STATUS_OF_KILLED
