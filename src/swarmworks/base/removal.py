"""Deletes the trees that agents leave: any depth, read-only directories, other owners, links that lead elsewhere.

`shutil.rmtree` recurses, and a tree nested a thousand deep ends it. Here every directory is first moved up to the top of
the tree and then emptied, so no path is longer than two names and no more than two directories are open. Called where sandboxes end,
and by way of `git/removal.py` for working copies.
"""

from __future__ import annotations

import errno
import itertools
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPTS = 3
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(root: Path) -> None:
    """Delete `root` and all in it; no error when it is not there. Raises OSError when something resists."""
    for attempt in itertools.count(1):
        try:
            _remove(root)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno == errno.ENOTEMPTY and attempt < ATTEMPTS:
                continue
            raise
        return


def _remove(root: Path) -> None:
    if os.geteuid() != 0:
        root.chmod(0o700)
    top = os.open(root, _DIRECTORY)
    try:
        _empty(top)
    finally:
        os.close(top)
    root.rmdir()


def _empty(top: int) -> None:
    fresh = (f"{token}-{number}" for token in [secrets.token_hex(8)] for number in itertools.count())
    pending = _clear(top)
    while pending:
        name = pending.pop()
        directory = os.open(name, _DIRECTORY, dir_fd=top)
        try:
            for inner in _clear(directory):
                moved = next(fresh)
                os.rename(inner, moved, src_dir_fd=directory, dst_dir_fd=top)
                pending.append(moved)
        finally:
            os.close(directory)
        os.rmdir(name, dir_fd=top)


def _clear(directory: int) -> list[str]:
    """Delete what is no directory; the names of the directories, opened up for their owner."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=directory)
        elif os.geteuid() != 0:  # root needs no permission; for others following a link here gains nothing
            os.chmod(name, 0o700, dir_fd=directory)
    return [name for name, is_directory in found if is_directory]
