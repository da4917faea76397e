"""Tidying up a hub without losing anything: what git's own collection would give up may still be somebody's.

Working copies borrow the hub's objects, and git does not know of them: what they were made from counts as referred to. The rest
that nothing refers to is given up after RETENTION days, so that nobody who is just about to refer to something loses it.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError
from swarmworks.git.locking import held_if_free
from swarmworks.git.objects import OBJECT_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta
    from pathlib import Path

    from swarmworks.git.hub import BareHub

TIMEOUT_S = 1800.0
MARK = "swarmworks-upkeep"
LOCK = "swarmworks-upkeep.lock"


def count(hub: Path) -> tuple[int, int]:
    """Its loose objects and its packs."""
    loose = sum(len(os.listdir(folder)) for folder in hub.glob("objects/[0-9a-f][0-9a-f]"))  # noqa: PTH208
    return loose, len(list(hub.glob("objects/pack/*.pack")))


def last_full(hub: Path) -> float:
    """When everything was tidied up last, as seconds of wall time; when the hub was made, where it never was."""
    mark = hub / MARK
    return (mark if mark.exists() else hub / "config").stat().st_mtime


def borrowed(roots: Iterable[Path]) -> set[str]:
    """The commits that working copies below `roots` were made from, kept ones among them."""
    found: set[str] = set()
    for record in [record for root in roots for record in root.glob(".state/*/copy.json")]:
        try:
            commit = str(json.loads(record.read_text(encoding="utf-8"))["commit"])
        except (OSError, ValueError, KeyError) as error:
            raise GitError(
                "the record of a working copy cannot be read: nothing is given up", where=str(record), mend=str(error)
            ) from error
        if OBJECT_NAME.fullmatch(commit):
            found.add(commit)
    return found


def pack(hub: BareHub) -> bool:
    """Loose objects into a pack. False when somebody else is at it."""
    with held_if_free(hub.path / LOCK) as got:
        if got:
            hub.maintain()
        return got


def join(hub: BareHub) -> bool:
    """Many packs, and loose objects, into one pack, with what nothing refers to. False when somebody else is at it."""
    with held_if_free(hub.path / LOCK) as got:
        if got:
            hub.git.patient(TIMEOUT_S).run(hub.path, ["repack", "-a", "-d", "-k", "-q"])
        return got


def tidy(hub: BareHub, refs: Sequence[str], needed: Iterable[str], retention: timedelta) -> bool:
    """Drop `refs`, make one pack, and give up what neither a reference nor `needed` leads to and is older than `retention`.
    False when somebody else is at it.
    """
    git = hub.git.patient(TIMEOUT_S)
    with held_if_free(hub.path / LOCK) as got:
        if not got:
            return False
        hub.delete_refs(refs)
        git.run(hub.path, ["repack", "-A", "-d", "-q"])
        known = [commit for commit in sorted(needed) if hub.resolve(commit) is not None]
        before = int(time.time() - retention.total_seconds())
        git.run(hub.path, ["prune", f"--expire=@{before}", *known])
        (hub.path / MARK).touch()
    return True
