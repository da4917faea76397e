"""Merges by git processes that are kept and write into a quarantine of their own (see `quarantine`): trying whether changes fit
leaves nothing in the repository, and what is merged on top of what was just merged is not written to a disk in between.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from swarmworks.git.persistent import MOST_ASKED, MOST_IDLE, Kind, NotAnsweredError, Talk, compared
from swarmworks.git.quarantine import UNTOUCHED, Quarantine

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from pathlib import Path

    from swarmworks.git.command import Git

log = logging.getLogger(__name__)

MOST_PATHS_BYTES = 16 << 20
MOST_AGE_S = 3600.0
"""git does not write what it once saw in a pack, and does not look again whether that is still there. What nobody refers to is kept for
much longer than this.
"""

MERGE = ("merge-tree", "--write-tree", "--stdin", "--name-only", "--no-messages")

Answer = TypeVar("Answer")


class Merging:
    """A quarantine, and the processes that see what is in it. For one thread at a time."""

    def __init__(self, git: Git, hub: Path, *, unbuffers: bool) -> None:
        self._git = git
        self._hub = hub
        self._unbuffers = unbuffers
        self._quarantine = Quarantine(hub)
        self._talks: dict[tuple[str, ...], Talk] = {}
        self.bound = self._quarantine.bound
        self.clear = self._quarantine.clear
        self.keep = self._quarantine.keep
        self.write = self._quarantine.write

    @property
    def environment(self) -> Mapping[str, str]:
        """For another git that has to see what was merged here."""
        return self._quarantine.environment

    def merge(self, ours: str, theirs: str) -> tuple[str, tuple[bytes, ...]] | None:
        """Of two commits named in full: the merged tree and the paths that conflict, if any. None when nobody answers, and where
        git names no path of a conflict: a process of its own says more.
        """
        return self._asked(MERGE, lambda talk: _merged(talk, ours, theirs)) if self._unbuffers else None

    def patch(self, old: str, new: str) -> bytes | None:
        """A patch without context between the trees with these ids; None when nobody answers."""
        return self._asked(Kind.PATCH.value, lambda talk: compared(talk, old, new))

    def end(self) -> None:
        _end(self._talks)
        self._quarantine.remove()

    @property
    def is_whole(self) -> bool:
        return self._quarantine.is_whole

    def _asked(self, command: tuple[str, ...], ask: Callable[[Talk], Answer | None]) -> Answer | None:
        talk = self._talks.get(command)
        if talk is not None and (talk.asked >= MOST_ASKED or talk.age_s() >= MOST_AGE_S):
            self._talks.pop(command).end()
            talk = None
        if talk is None:
            process = self._git.start(
                self._hub, (*UNTOUCHED, *command), unbuffered=command is MERGE, environment=self.environment
            )
            talk = self._talks[command] = Talk(process, self._git.timeout_s)
        try:
            return ask(talk)
        except NotAnsweredError:
            self._talks.pop(command).end()
            return None


class Mergings:
    """Those of one repository, for several threads. A thread that finds none idle makes another."""

    def __init__(self, git: Git, hub: Path) -> None:
        self._git = git
        self._hub = hub
        self._lock = threading.Lock()
        self._idle: list[Merging] = []
        self._unbuffers = git.unbuffers()
        if not self._unbuffers:
            log.warning(
                "stdbuf (coreutils) is missing: every merge starts a git process of its own, several times slower"
            )
        weakref.finalize(self, _end_all, self._idle)

    @contextmanager
    def one(self) -> Generator[Merging]:
        """What was merged with it and not kept is thrown away."""
        with self._lock:
            found = self._idle.pop() if self._idle else None
        if found is not None and not found.is_whole:
            found.end()
            found = None
        merging = found or Merging(self._git, self._hub, unbuffers=self._unbuffers)
        usable = False
        try:
            yield merging
            with contextlib.suppress(OSError):
                merging.clear()
                usable = True
        finally:
            with self._lock:
                usable = usable and len(self._idle) < MOST_IDLE
                if usable:
                    self._idle.append(merging)
            if not usable:
                merging.end()


def _merged(talk: Talk, ours: str, theirs: str) -> tuple[str, tuple[bytes, ...]] | None:
    talk.say(f"{ours} {theirs}\n".encode())
    answer = talk.until(_end_of_merge, MOST_PATHS_BYTES)
    clean, tree, *paths = answer.removesuffix(b"\0\0").split(b"\0")
    if clean == b"1":
        return tree.decode(), ()
    return (tree.decode(), tuple(sorted(set(paths)))) if paths else None


def _end_of_merge(left: bytearray) -> int:
    """An answer is the state, the tree, the paths, each ended by a NUL, and a NUL."""
    position = left.find(b"\0\0")
    return position + 2 if position >= 0 else -1


def _end(talks: dict[tuple[str, ...], Talk]) -> None:
    while talks:
        talks.popitem()[1].end()


def _end_all(idle: list[Merging]) -> None:
    while idle:
        idle.pop().end()
