"""Private copies for gates: of the tree, so that no gate can alter what is judged or see another's droppings, and of tool
caches, so that no run can poison another's.

A run works on a copy of the last good cache. The copy becomes the last good one only when the run was a candidate's and
all its gates passed; anything else is thrown away. A cache is bound to the gate's command and to the environment.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.domain.gate import GateDefinition

MAX_CACHE_BYTES = 1 << 30
MAX_DEPTH = 200
_CURRENT = "current"
_NO_REPOSITORY = "gitdir: /nonexistent\n"


def scratch_folder(scratch: Path) -> Path:
    """A folder of its own below `scratch`, which is made when it is not there. Where a sandbox can mount nothing, what runs there
    sees the folders above: there git finds no repository, and no tool the rules by which the user's hides the state folder.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(dir=scratch))
    (place / ".git").write_text(_NO_REPOSITORY)
    return place


def copy_tree(source: Path, target: Path, *, links: bool = True, limit_bytes: int | None = None, depth: int = 0) -> int:
    """Regular files, folders and (with `links`) symbolic links as they stand; nothing else, no times, no special bits.
    The bytes that were copied. Raises OSError past `limit_bytes` and below MAX_DEPTH folders.
    """
    if depth > MAX_DEPTH:
        raise OSError(errno.ENAMETOOLONG, f"more than {MAX_DEPTH} folders within each other", str(source))
    target.mkdir(mode=0o755, exist_ok=True)
    copied = 0
    with os.scandir(source) as entries:
        for entry in entries:
            place = target / entry.name
            if entry.is_symlink():
                if links:
                    place.symlink_to(os.readlink(entry.path))  # noqa: PTH115 - the text, not a normalised path
            elif entry.is_dir(follow_symlinks=False):
                left = None if limit_bytes is None else limit_bytes - copied
                copied += copy_tree(Path(entry.path), place, links=links, limit_bytes=left, depth=depth + 1)
            elif entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                copied += status.st_size
                if limit_bytes is not None and copied > limit_bytes:
                    raise OSError(errno.EFBIG, f"more than {limit_bytes} bytes", entry.path)
                shutil.copyfile(entry.path, place, follow_symlinks=False)
                place.chmod(stat.S_IMODE(status.st_mode) & 0o777 | 0o600)
    return copied


def remove_tree(path: Path) -> None:
    """Also what a gate left without permissions or nested deeper than Python recurses."""
    done = subprocess.run(["rm", "-rf", "--", str(path)], capture_output=True, check=False)
    if done.returncode != 0:
        subprocess.run(["chmod", "-R", "u+rwX", "--", str(path)], capture_output=True, check=False)
        subprocess.run(["rm", "-rf", "--", str(path)], capture_output=True, check=True)


class ToolCache:
    """The cache of one gate: `current` is a link to the last good generation."""

    def __init__(self, root: Path, definition: GateDefinition, environment_id: str) -> None:
        facts = "\0".join((definition.name, definition.command or "", environment_id))
        self._home = root / f"{definition.name}-{hashlib.sha256(facts.encode()).hexdigest()[:16]}"

    def check_out(self, target: Path) -> None:
        """Fill the empty folder `target`. A generation that is replaced meanwhile gives an empty cache, which is only slow."""
        try:
            copy_tree(self._home / _CURRENT, target, links=False)
        except OSError:
            if target.exists():
                remove_tree(target)
            target.mkdir(mode=0o755)

    def promote(self, source: Path) -> bool:
        """Make a copy of `source` the last good generation. False when it cannot be kept (too large, too deep)."""
        self._home.mkdir(parents=True, exist_ok=True)
        generation = self._home / uuid.uuid4().hex
        try:
            copy_tree(source, generation, links=False, limit_bytes=MAX_CACHE_BYTES)
        except OSError:
            remove_tree(generation)
            return False
        link = self._home / f"{generation.name}.link"
        link.symlink_to(generation.name)
        link.replace(self._home / _CURRENT)
        self._forget_all_but(generation)
        return True

    def _forget_all_but(self, kept: Path) -> None:
        current = (self._home / _CURRENT).resolve()
        for entry in self._home.iterdir():
            if entry.is_dir() and not entry.is_symlink() and entry not in {kept, current}:
                remove_tree(entry)
