"""Giving a directory tree to the sandbox's uid, as root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def hand_over(path: Path, uid: int, gid: int) -> None:
    """Change the owner of `path` and everything below it. Walks by directory descriptor and follows no link, so that a
    tree an agent wrote cannot lead it elsewhere.
    """
    os.chown(path, uid, gid, follow_symlinks=False)
    if path.is_symlink() or not path.is_dir():
        return
    for _, directories, files, directory_fd in os.fwalk(path, follow_symlinks=False):
        for name in (*directories, *files):
            os.chown(name, uid, gid, dir_fd=directory_fd, follow_symlinks=False)
