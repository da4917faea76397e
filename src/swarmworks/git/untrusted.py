"""Reads files from a tree that its owner may change at any moment, to get out nothing but that tree's own files.

Every directory on the way is opened relative to the one before and refused when it is a symbolic link, so a directory
swapped for a link in mid-read leads nowhere. Used by the snapshots; git itself never opens a file of a working copy for
its contents.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS = 3
CHUNK_BYTES = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Taken(Enum):
    """What became of one path. `GONE`: nothing of that name in the tree. `SPECIAL`: a fifo, socket or device."""

    COPIED = "copied"
    GONE = "gone"
    DIRECTORY = "directory"
    SPECIAL = "special"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too large"
    TOO_DEEP = "nested too deep"
    FOREIGN = "a hard link to another user's file"


@dataclass(frozen=True, slots=True)
class Tree:
    """`root` is the untrusted directory. `owner_uid`: whose files these should be; None when that is not known."""

    root: Path
    owner_uid: int | None
    file_limit_bytes: int

    def take(self, path: bytes, target: bytes) -> Taken:
        """Copy the file or symbolic link `path` (relative, as git lists it) to the new file `target`. A file that changes
        while it is read is read again, and after three times taken as it is.
        """
        *parents, name = path.split(b"/")
        try:
            directory = os.open(self.root, _DIRECTORY)
            try:
                for parent in parents:
                    deeper = os.open(parent, _DIRECTORY, dir_fd=directory)
                    os.close(directory)
                    directory = deeper
                return self._take_from(directory, name, target)
            finally:
                os.close(directory)
        except OSError as error:
            if error.errno in _NOT_THERE:
                return Taken.GONE
            if error.errno in {errno.EACCES, errno.EPERM}:
                return Taken.UNREADABLE
            raise

    def _take_from(self, directory: int, name: bytes, target: bytes) -> Taken:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(name, dir_fd=directory), target)  # noqa: PTH211 (names are bytes here)
            return Taken.COPIED
        if stat.S_ISDIR(found.st_mode):
            return Taken.DIRECTORY
        if not stat.S_ISREG(found.st_mode):
            return Taken.SPECIAL
        descriptor = os.open(name, _FILE, dir_fd=directory)
        try:
            return self._copy(descriptor, target)
        finally:
            os.close(descriptor)

    def _copy(self, source: int, target: bytes) -> Taken:
        for _ in range(ATTEMPTS):
            before = os.fstat(source)
            if not stat.S_ISREG(before.st_mode):
                return Taken.SPECIAL
            if before.st_nlink > 1 and self.owner_uid is not None and before.st_uid != self.owner_uid:
                return Taken.FOREIGN
            if before.st_size > self.file_limit_bytes or not self._copy_once(source, target, before.st_mode):
                return Taken.TOO_LARGE
            after = os.fstat(source)
            if (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns):
                break
        return Taken.COPIED

    def _copy_once(self, source: int, target: bytes, mode: int) -> bool:
        executable = 0o700 if mode & stat.S_IXUSR else 0o600
        written = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, executable)
        try:
            position = 0
            while piece := os.pread(source, CHUNK_BYTES, position):
                position += len(piece)
                if position > self.file_limit_bytes:
                    return False
                os.write(written, piece)
        finally:
            os.close(written)
        return True
