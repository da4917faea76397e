"""How much a sandbox has on the disk: what lies below its writable mounts, and what it holds open after deleting it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from swarmworks.sandbox.memory import open_files, tree

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MOST_FILES: Final = 1_000_000
_BLOCK_BYTES: Final = 512
_DEEPEST: Final = 256
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Usage:
    """`unseen`: a place that could not be looked into, so that there may be more."""

    disk_bytes: int = 0
    files: int = 0
    unseen: str = ""
    seen: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def count(self, status: os.stat_result) -> None:
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if (status.st_dev, status.st_ino) in self.seen:
                return
            self.seen.add((status.st_dev, status.st_ino))
        self.disk_bytes += status.st_blocks * _BLOCK_BYTES
        self.files += 1


def disk_usage(roots: Iterable[Path], pid: int) -> Usage:
    """Of everything below `roots`, and of what `pid` and its descendants hold open that has no name any more. Blocks for as long
    as the trees are large.
    """
    usage, devices = _below(roots)
    for process in tree(pid):
        _add_deleted(process, devices, usage)
    return usage


def usage_below(roots: Iterable[Path]) -> Usage:
    """Of everything below `roots`. Follows no link; counts no further than `MOST_FILES`. Blocks for as long as the trees are large."""
    return _below(roots)[0]


def _below(roots: Iterable[Path]) -> tuple[Usage, set[int]]:
    """With the devices the roots are on."""
    usage = Usage()
    devices: set[int] = set()
    for root in roots:
        try:
            devices.add(root.stat().st_dev)
            _add_tree(os.open(root, _DIRECTORY), str(root), usage)
        except NotADirectoryError:
            usage.count(root.stat())
        except OSError as error:
            usage.unseen = f"{root}: {error.strerror}"
    return usage, devices


def free_bytes(places: Iterable[Path]) -> int:
    """Of the file systems that `places` lie on, each once."""
    free: dict[int, int] = {}
    for place in places:
        try:
            found = os.statvfs(place)
            free[place.stat().st_dev] = found.f_bfree * found.f_frsize
        except OSError:
            continue
    return sum(free.values())


def _add_tree(descriptor: int, name: str, usage: Usage) -> None:
    """By descriptors, one for each level: a path may be longer than the kernel takes."""
    levels = [(descriptor, _entries(descriptor, name, usage))]
    while levels:
        directory, folders = levels[-1]
        if not folders:
            levels.pop()
            os.close(directory)
        elif len(levels) > _DEEPEST:
            usage.unseen = f"{folders[-1]}: too many folders in each other"
            folders.clear()
        else:
            _descend(directory, folders.pop(), levels, usage)


def _descend(directory: int, name: str, levels: list[tuple[int, list[str]]], usage: Usage) -> None:
    try:
        below = os.open(name, _DIRECTORY, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        usage.unseen = f"{name}: {error.strerror}"
        return
    levels.append((below, _entries(below, name, usage)))


def _entries(directory: int, name: str, usage: Usage) -> list[str]:
    """Counts what lies in `directory`; the folders in it."""
    folders: list[str] = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if usage.files >= MOST_FILES:
                    return []
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                usage.count(status)
                if stat.S_ISDIR(status.st_mode):
                    folders.append(entry.name)
    except OSError as error:
        usage.unseen = f"{name}: {error.strerror}"
    return folders


def _add_deleted(pid: int, devices: set[int], usage: Usage) -> None:
    try:
        opened = open_files(pid)
    except PermissionError:
        usage.unseen = f"process {pid}: its files cannot be seen"
        return
    for status in opened:
        known = (status.st_dev, status.st_ino)
        if (
            status.st_nlink == 0
            and status.st_dev in devices
            and stat.S_ISREG(status.st_mode)
            and known not in usage.seen
        ):
            usage.seen.add(known)
            usage.disk_bytes += status.st_blocks * _BLOCK_BYTES
