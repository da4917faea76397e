"""git processes that are kept and asked again and again: starting one costs more than most of what is asked of it.

Nothing depends on them. Whoever asks and is not answered (the process died, or refused) gets None, and asks a process of its
own in the usual way, which then also says what is wrong. A process that is not returned whole is killed; one that has answered
often enough is replaced, for git keeps what it has parsed. They end with their parent: their input is closed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import threading
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError, LimitReachedError

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from swarmworks.git.command import Git

MOST_ASKED = 2_000
MOST_IDLE = 2
MOST_AT_ONCE = 400
MOST_DIFF_BYTES = 64 << 20
CHUNK_BYTES = 1 << 16


class Kind(Enum):
    READ = ("cat-file", "--batch-command")
    DIFF = ("diff-tree", "--stdin", "-r", "-z", "-M", "--raw", "--full-index", "--no-abbrev")
    PATCH = ("diff-tree", "--stdin", "-r", "-p", "-U0", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv")
    REFS = ("update-ref", "--no-deref", "--stdin")


class NotAnsweredError(Exception):
    """The process ended, or never started."""


class Talk:
    """One process; one question at a time."""

    def __init__(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._in, self._out = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._in, False)  # git may wait to be read while it is being told more
        self._timeout_s = timeout_s
        self._left = bytearray()
        self._since = time.monotonic()
        self.asked = 0

    def age_s(self) -> float:
        return time.monotonic() - self._since

    def say(self, request: bytes) -> None:
        self.asked += 1
        self._left.clear()
        self._deadline = time.monotonic() + self._timeout_s
        try:
            while request:
                try:
                    request = request[os.write(self._in, request) :]
                except BlockingIOError:
                    self._read(writing=True)
        except BrokenPipeError as error:
            raise NotAnsweredError from error

    def until(self, ends: Callable[[bytearray], int], limit_bytes: int) -> bytes:
        """What comes until `ends` finds where the answer stops (it gives a position, or -1)."""
        while (position := ends(self._left)) < 0:
            if len(self._left) > limit_bytes:
                raise LimitReachedError(f"git answered with more than {limit_bytes} bytes", mend="ask for less")
            self._read()
        answer = bytes(self._left[:position])
        del self._left[:position]
        return answer

    def _read(self, *, writing: bool = False) -> None:
        """What there is; with `writing` nothing, where git takes more now."""
        waiting = select.poll()
        waiting.register(self._out, select.POLLIN | select.POLLHUP)
        if writing:
            waiting.register(self._in, select.POLLOUT)
        ready = waiting.poll(max(0.0, self._deadline - time.monotonic()) * 1000)
        if not ready:
            raise GitError(
                f"git took longer than {self._timeout_s:g} s and was stopped",
                mend="look for a stuck disk or a very large repository",
            )
        if not any(descriptor == self._out for descriptor, _ in ready):
            return
        piece = os.read(self._out, CHUNK_BYTES)
        if not piece:
            raise NotAnsweredError
        self._left.extend(piece)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait()


class Persistent:
    """Of one repository, for several threads. A thread that finds none idle starts another."""

    def __init__(self, git: Git, hub: Path) -> None:
        self._git = git
        self._hub = hub
        self._lock = threading.Lock()
        self._idle: dict[Kind, list[Talk]] = {kind: [] for kind in Kind}
        weakref.finalize(self, _end_all, self._idle)

    def info(self, name: str) -> tuple[str, str, int] | None:
        """The id, type and size of an object; None also when there is no such object."""
        with self._asking(Kind.READ) as talk:
            talk.say(f"info {name}\n".encode())
            return _header(talk)
        return None

    def trees_of(self, commits: Sequence[str]) -> list[str] | None:
        """The trees of commits named in full."""
        found: list[str] = []
        with self._asking(Kind.READ) as talk:
            for some in _portions(commits):
                talk.say("".join(f"info {name}^{{tree}}\n" for name in some).encode())
                found.extend(header[0] for _ in some if (header := _header(talk)) is not None)
            return found if len(found) == len(commits) else None
        return None

    def contents(self, name: str, limit_bytes: int) -> tuple[str, bytes] | None:
        """The type and bytes of the object with the id `name`, which has at most `limit_bytes`."""
        with self._asking(Kind.READ) as talk:
            talk.say(f"contents {name}\n".encode())
            return _contents(talk, limit_bytes)
        return None

    def differences(self, old: str, new: str) -> bytes | None:
        """The raw records, NUL-terminated, between the trees with these ids."""
        return self._compared(Kind.DIFF, old, new)

    def patch(self, old: str, new: str) -> bytes | None:
        """A patch without context between the trees with these ids."""
        return self._compared(Kind.PATCH, old, new)

    def _compared(self, kind: Kind, old: str, new: str) -> bytes | None:
        with self._asking(kind) as talk:
            return compared(talk, old, new)
        return None

    def swap(self, moves: Sequence[tuple[str, str, str]]) -> bool:
        """Move all of `moves` (reference, new, old), or none. False when that was refused or is not known."""
        return self._transaction("".join(f"update {ref} {new} {old}\n" for ref, new, old in moves))

    def set(self, moves: Sequence[tuple[str, str]]) -> bool:
        """As `swap`, whatever the references were."""
        return self._transaction("".join(f"update {ref} {new}\n" for ref, new in moves))

    def _transaction(self, lines: str) -> bool:
        with self._asking(Kind.REFS) as talk:
            talk.say(f"start\n{lines}prepare\ncommit\n".encode())
            talk.until(_end_of_transaction, CHUNK_BYTES)
            return True
        return False

    @contextmanager
    def _asking(self, kind: Kind) -> Generator[Talk]:
        """A process to ask; the caller falls through to its own answer when that one gave none."""
        talk = self._take(kind)
        try:
            yield talk
        except NotAnsweredError:
            talk.end()
        except BaseException:
            talk.end()
            raise
        else:
            self._give_back(kind, talk)

    def _take(self, kind: Kind) -> Talk:
        with self._lock:
            if self._idle[kind]:
                return self._idle[kind].pop()
        return Talk(self._git.start(self._hub, kind.value), self._git.timeout_s)

    def _give_back(self, kind: Kind, talk: Talk) -> None:
        with self._lock:
            if talk.asked < MOST_ASKED and len(self._idle[kind]) < MOST_IDLE:
                self._idle[kind].append(talk)
                return
        talk.end()


def compared(talk: Talk, old: str, new: str) -> bytes | None:
    """What a `diff-tree` says of two trees; None when it cannot read one of them."""
    mark = f"end-{secrets.token_hex(16)}\n".encode()  # git echoes, and flushes, what names no object
    talk.say(f"{old} {new}\n".encode() + mark)
    answer = talk.until(lambda left: len(left) if left.endswith(mark) else -1, MOST_DIFF_BYTES)
    named, _, rest = answer.removesuffix(mark).partition(b"\n")
    return rest if named == f"{old} {new}".encode() else None  # git says nothing of what it cannot read


def _header(talk: Talk) -> tuple[str, str, int] | None:
    line = talk.until(lambda left: left.find(b"\n") + 1 or -1, CHUNK_BYTES).decode("utf-8", "replace")
    words = line.rstrip("\n").split(" ")
    return (words[0], words[1], int(words[2])) if len(words) == 3 and words[2].isdigit() else None


def _contents(talk: Talk, limit_bytes: int) -> tuple[str, bytes] | None:
    header = _header(talk)
    if header is None:
        return None
    size = header[2]
    if size > limit_bytes:
        raise LimitReachedError(f"the object has {size} bytes, over the limit of {limit_bytes}", where=header[0])
    data = talk.until(lambda left: size + 1 if len(left) > size else -1, size + CHUNK_BYTES)
    return header[1], data[:size]


def _portions(names: Sequence[str]) -> Generator[Sequence[str]]:
    """So many questions at once that a pipe holds them all: git may wait to be read before it reads on."""
    for start in range(0, len(names), MOST_AT_ONCE):
        yield names[start : start + MOST_AT_ONCE]


def _end_of_transaction(left: bytearray) -> int:
    return len(left) if left.endswith(b"commit: ok\n") else -1


def _end_all(idle: dict[Kind, list[Talk]]) -> None:
    for talks in idle.values():
        while talks:
            talks.pop().end()
