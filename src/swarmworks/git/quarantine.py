"""Objects that merges write and the repository has not yet: in a folder of their own that nobody else looks at, in memory where
the machine has room.

Most of what is merged is only tried, and a disk takes its time for every file. What counts goes into the repository as a whole
(`keep`), on the disk before it has its names: as a pack when it is much, as loose objects when it is little, as git does with
what it is sent. The rest is thrown away. What a killed process left behind is removed when the next quarantine is made.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import time
import weakref
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError
from swarmworks.git.locking import held_if_free, taken
from swarmworks.git.objects import RawObject, write_loose
from swarmworks.git.packwriter import PackWriter

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder with a name that cannot be foreseen is made in it, for its owner alone
"""Where Linux has a file system in memory."""

LEAST_FREE_BYTES = 256 << 20
MOST_BYTES = 128 << 20
"""How much a quarantine may hold before it is emptied into the repository."""

PACK_FROM = 100
"""Objects; git's own `transfer.unpackLimit`."""

GATHER_EVERY = 32
"""Commits, after which what is there begins to be packed while more is merged."""

YOUNG_S = 5.0
"""What is younger may not be locked yet. Whoever is overtaken all the same makes another, in the repository's folder."""

PREFIX = "swarm-merging-"
LOCK, OBJECTS, AFTER = "lock", "objects", "after"
UNTOUCHED = ("-c", "core.fsync=none", "-c", "core.looseCompression=0")
"""For those who write into a quarantine: what is kept is made durable, and small, on its way into the repository."""

_FOLDER = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{38}")


class Quarantine:
    """Of one repository, for one thread at a time."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub
        self._root, lock = _made(hub)
        self.remove = weakref.finalize(self, _remove, self._root, lock, os.getpid())
        self._objects = self._root / OBJECTS
        self._free = _free_bytes(self._root)
        self._bytes = 0
        self._written = 0
        self._seen: set[str] = set()
        self._commits: set[str] = set()
        self._packer: ThreadPoolExecutor | None = None
        self._pack: PackWriter | None = None
        self._packing: list[Future[None]] = []

    @property
    def is_whole(self) -> bool:
        """False once somebody has begun to remove it: what was made before and after its objects goes before or with them."""
        return (self._root / LOCK).exists() and (self._root / AFTER).exists()

    @property
    def environment(self) -> Mapping[str, str]:
        """With it git writes here, and reads here and in the repository."""
        there = str(self._hub / "objects")
        quoted = there.replace("\\", "\\\\").replace('"', '\\"')
        return {
            "GIT_OBJECT_DIRECTORY": str(self._objects),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"' if quoted != there or ":" in there else there,
        }

    def write(self, commit: RawObject) -> None:
        """After the merge that it is a commit of. Whatever does not fit is kept first."""
        try:
            self._write(commit)
        except OSError:
            self.keep()
            self._write(commit)
        self._commits.add(commit.name)
        self._written += 1
        self.bound()

    def bound(self) -> None:
        """What is too much for a quarantine is kept now. Asked after each merge."""
        grown = self._free - self._free_bytes() > MOST_BYTES // 2  # or somebody else has taken it
        if grown or self._written >= GATHER_EVERY:
            try:
                self._gather()
            except OSError:
                self._expect_whole(self._commits)
                raise
            if self._bytes > MOST_BYTES:
                self.keep()

    def keep(self) -> None:
        """Everything into the repository. Durable when it returns."""
        try:
            self._keep()
        except OSError:
            self._expect_whole(self._commits)
            raise

    def _keep(self) -> None:
        names = self._new()
        if self._pack is None and len(names) < PACK_FROM:
            found = [self._read(name) for name in names]
            self._expect_whole(names)
            write_loose(self._hub, found)
        else:
            self._gather()
            for each in self._packing:
                each.result()
            assert self._pack is not None
            self._expect_whole(self._pack.names)
            self._pack.finish(self._hub / "objects" / "pack")
        self.clear()

    def _free_bytes(self) -> int:
        try:
            return _free_bytes(self._root)
        except OSError:
            self._expect_whole(self._commits)
            raise

    def _expect_whole(self, kept: Collection[str]) -> None:
        if not self.is_whole or not self._commits <= set(kept):
            raise GitError(
                "the folder of merges under way was removed by somebody else",
                where=str(self._root),
                mend="systemd does so when a user logs out: run `loginctl enable-linger` for the one who runs Swarmworks",
            )

    def clear(self) -> None:
        """Throw away what is there."""
        for each in self._packing:
            each.cancel()
        for each in self._packing:
            if not each.cancelled():
                each.exception()
        self._pack, self._packing, self._written, self._bytes = None, [], 0, 0
        self._seen.clear()
        self._commits.clear()
        for folder in list(os.scandir(self._objects)):
            shutil.rmtree(folder.path)
        self._free = _free_bytes(self._root)

    def _write(self, commit: RawObject) -> None:
        place = self._objects / commit.name[:2] / commit.name[2:]
        place.parent.mkdir(exist_ok=True)
        try:
            place.write_bytes(zlib.compress(commit.content, 0))
        except OSError:
            place.unlink(missing_ok=True)
            raise

    def _gather(self) -> None:
        if self._pack is None:
            self._pack = PackWriter()
        if self._packer is None:
            self._packer = ThreadPoolExecutor(1, "packing-merges")
        names = self._new()
        self._seen.update(names)
        self._bytes += sum((self._objects / name[:2] / name[2:]).stat().st_size for name in names)
        self._free, self._written = _free_bytes(self._root), 0
        self._packing.append(self._packer.submit(self._into, self._pack, names))

    def _into(self, pack: PackWriter, names: Sequence[str]) -> None:
        for name in names:
            head, _, content = self._read(name).content.partition(b"\0")
            pack.add(name, head.partition(b" ")[0], content)

    def _new(self) -> list[str]:
        return [name for name in self._names() if name not in self._seen]

    def _names(self) -> Generator[str]:
        for folder in os.scandir(self._objects):
            if _FOLDER.fullmatch(folder.name):
                for file in os.scandir(folder.path):
                    if _REST.fullmatch(file.name):
                        yield folder.name + file.name

    def _read(self, name: str) -> RawObject:
        return RawObject(name, zlib.decompress((self._objects / name[:2] / name[2:]).read_bytes()))


def _made(hub: Path) -> tuple[Path, int]:
    """The folder, and the descriptor that keeps others from removing it."""
    for parent in (MEMORY, hub):
        _sweep(parent)
    if _has_room(MEMORY):
        with contextlib.suppress(OSError):
            return _made_in(MEMORY)
    return _made_in(hub)


def _made_in(parent: Path) -> tuple[Path, int]:
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    try:
        lock = taken(root / LOCK)
    except OSError:
        shutil.rmtree(root, ignore_errors=True)
        raise
    try:
        (root / OBJECTS).mkdir()
        (root / AFTER).touch()
    except OSError:
        _remove(root, lock, os.getpid())
        raise
    return root, lock


def _sweep(parent: Path) -> None:
    """What processes of this user that are no more have left. One that is only just being made is not locked yet."""
    for root in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            found = root.lstat()
            if found.st_uid != os.geteuid() or not S_ISDIR(found.st_mode) or time.time() - found.st_mtime < YOUNG_S:
                continue
            with held_if_free(root / LOCK) as got:
                if got:
                    shutil.rmtree(root)


def _has_room(folder: Path) -> bool:
    try:
        return os.access(folder, os.W_OK | os.X_OK) and _free_bytes(folder) >= LEAST_FREE_BYTES
    except OSError:
        return False


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _remove(root: Path, lock: int, owner: int) -> None:
    """Not in a process that was forked from the owner: it ends sooner."""
    if os.getpid() == owner:
        shutil.rmtree(root, ignore_errors=True)
        os.close(lock)
