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
from typing import TYPE_CHECKING

from swarmworks.git.locking import held_if_free, taken
from swarmworks.git.objects import RawObject, write_loose
from swarmworks.git.packwriter import PackWriter

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder with a name that cannot be foreseen is made in it, for its owner alone
"""Where Linux has a file system in memory."""

LEAST_FREE_BYTES = 256 << 20
MOST_BYTES = 128 << 20
"""How much a quarantine may hold before it is emptied into the repository."""

PACK_FROM = 100
"""Objects; git's own `transfer.unpackLimit`."""

GATHER_EVERY = 32
"""Commits, after which what is there begins to be packed while more is merged."""

YOUNG_S = 60.0
PREFIX = "swarm-merging-"
LOCK = "lock"
UNTOUCHED = ("-c", "core.fsync=none", "-c", "core.looseCompression=0")
"""For those who write into a quarantine: what is kept is made durable, and small, on its way into the repository."""

_FOLDER = re.compile(r"[0-9a-f]{2}")
_REST = re.compile(r"[0-9a-f]{38}")


class Quarantine:
    """Of one repository, for one thread at a time."""

    def __init__(self, hub: Path) -> None:
        self._hub = hub
        self._root, lock = _made(hub)
        self._objects = self._root / "objects"
        self._objects.mkdir()
        self._free = _free_bytes(self._root)
        self._written = 0
        self._seen: set[str] = set()
        self._packer: ThreadPoolExecutor | None = None
        self._pack: PackWriter | None = None
        self._packing: list[Future[None]] = []
        self.remove = weakref.finalize(self, _remove, self._root, lock, os.getpid())

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
        self._written += 1
        if self._free - _free_bytes(self._root) > MOST_BYTES:
            self.keep()
        elif self._written % GATHER_EVERY == 0:
            self._gather()

    def keep(self) -> None:
        """Everything into the repository. Durable when it returns."""
        if self._pack is None and len(names := self._new()) < PACK_FROM:
            write_loose(self._hub, [self._read(name) for name in names])
        else:
            self._gather()
            for each in self._packing:
                each.result()
            assert self._pack is not None
            self._pack.finish(self._hub / "objects" / "pack")
        self.clear()

    def clear(self) -> None:
        """Throw away what is there."""
        for each in self._packing:
            each.cancel()
        for each in self._packing:
            if not each.cancelled():
                each.exception()
        self._pack, self._packing, self._written = None, [], 0
        self._seen.clear()
        for folder in list(os.scandir(self._objects)):
            shutil.rmtree(folder.path)

    def _write(self, commit: RawObject) -> None:
        place = self._objects / commit.name[:2] / commit.name[2:]
        place.parent.mkdir(exist_ok=True)
        try:
            place.write_bytes(zlib.compress(commit.content, 0))
        except OSError:
            place.unlink(missing_ok=True)
            raise

    def _gather(self) -> None:
        self._pack = self._pack or PackWriter()
        self._packer = self._packer or ThreadPoolExecutor(1, "packing-merges")
        names = list(self._new())
        self._seen.update(names)
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
    parent = MEMORY if _has_room(MEMORY) else hub
    _sweep(parent)
    root = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    return root, taken(root / LOCK)


def _sweep(parent: Path) -> None:
    """What processes that are no more have left. One that is only just being made is not locked yet."""
    for root in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - root.stat().st_mtime < YOUNG_S:
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
