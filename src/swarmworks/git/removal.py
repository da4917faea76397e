"""Deletes working copies and what else agents leave, in the words of git's errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base import removal
from swarmworks.base.errors import GitError

if TYPE_CHECKING:
    from pathlib import Path


def remove_tree(root: Path) -> None:
    """As `base.removal` does it. `GitError` when something resists."""
    try:
        removal.remove_tree(root)
    except OSError as error:
        raise GitError(
            f"could not be deleted: {error.strerror}",
            where=str(root),
            mend="see whether a process still writes there, and who owns the files",
        ) from error
