"""What of a working copy is read-only by mount: a second layer under the gate `scope`, which judges the diff."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from swarmworks.wire.protected import protecting_pattern

OF_GIT = (".git/config", ".git/hooks")
"""Of the copy's own git. The platform never looks at it, but a person may, and git runs what stands there."""


def protected_paths(root: Path, patterns: Sequence[str], owns: Sequence[str]) -> Iterator[str]:
    """Paths below `root` that are there, a folder for all that is in it. What the task owns by name is left out. Only what lies
    at the top, or in a folder there that is protected as a whole: each folder above a mount becomes one itself, and between
    those no file can be renamed.
    """
    yield from (path for path in OF_GIT if (root / path).exists())
    yield from _within(root, "", patterns, owns)


def _within(root: Path, folder: str, patterns: Sequence[str], owns: Sequence[str]) -> Iterator[str]:
    with os.scandir(root / folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        path, is_folder = folder + entry.name, entry.is_dir(follow_symlinks=False)
        if path == ".git" or entry.is_symlink() or not _is_protected(path, patterns, is_folder=is_folder):
            continue
        if is_folder and any(owned.startswith(f"{path}/") and owned != f"{path}/" for owned in owns):
            yield from _within(root, f"{path}/", patterns, owns)
        elif not _is_owned(path, patterns, owns):
            yield path


def _is_protected(path: str, patterns: Sequence[str], *, is_folder: bool) -> bool:
    return protecting_pattern(f"{path}/any" if is_folder else path, patterns) is not None


def _is_owned(path: str, patterns: Sequence[str], owns: Sequence[str]) -> bool:
    """As the gate `scope` has it: a folder that merely could hold it is not enough."""
    return any(
        owned.rstrip("/") == path
        or (owned.endswith("/") and path.startswith(owned) and _is_protected(owned[:-1], patterns, is_folder=True))
        for owned in owns
    )
