"""Objects of a repository written and made durable without a git process: commits, and what merges wrote.

`merge-tree` is told not to sync what it writes: a candidate that lands nowhere need not survive. A batch of candidates is
synced as one (`sync`), before a reference names any of them: the disk writes many files for the price of a few.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from swarmworks.git.persistent import Persistent
    from swarmworks.git.protocol import Identity

OBJECT_NAME = re.compile(r"[0-9a-f]{40}")
SYNCS_AT_ONCE = 16
"""Those that wait for the disk at the same time share its writes."""

TREE_MODE = b"40000"
MOST_TRIES = 100


@dataclass(frozen=True, slots=True)
class CommitText:
    """A commit as git writes it, and the id that gives it."""

    name: str
    content: bytes


def commit_text(
    tree: str, parents: Sequence[str], message: bytes, author: Identity, committer: Identity, at: datetime
) -> CommitText:
    """The commit that `git commit-tree` would write. `tree` and `parents` are full ids, `message` has no NUL."""
    if at.tzinfo is None:
        raise RejectedError("a commit's time needs a time zone", mend="pass an aware datetime")
    when = f"{int(at.astimezone(UTC).timestamp())} +0000"
    head = [f"tree {tree}", *(f"parent {parent}" for parent in dict.fromkeys(parents))]
    head += [f"author {signature(author)} {when}", f"committer {signature(committer)} {when}"]
    body = ("\n".join(head) + "\n\n").encode() + message
    content = b"commit %d\0%s" % (len(body), body)
    return CommitText(hashlib.sha1(content, usedforsecurity=False).hexdigest(), content)


def blob_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def signature(identity: Identity) -> str:
    """Git's own rule for names: no angle brackets, no control characters, none of its crud at the ends."""
    name, email = (_plain(text) for text in (identity.name, identity.email))
    return f"{name or 'unknown'} <{email}>"


def _plain(text: str) -> str:
    kept = "".join(character for character in text if character.isprintable() and character not in "<>")
    return kept.strip(" .,:;\"'\\")


def write_loose(hub: Path, text: CommitText) -> None:
    """Not durable yet: see `sync`. An object that is there already counts as new: it is about to be referred to."""
    place = hub / "objects" / text.name[:2] / text.name[2:]
    try:
        os.utime(place)
    except FileNotFoundError:
        pass
    else:
        return
    descriptor, temporary = tempfile.mkstemp(prefix="tmp_obj_", dir=hub / "objects")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(zlib.compress(text.content, 1))
            os.fchmod(file.fileno(), 0o444)
        _put(Path(temporary), place)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _put(written: Path, place: Path) -> None:
    """git, while it packs, takes away folders that it finds empty: between making one and using it, too."""
    for _ in range(MOST_TRIES):
        place.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            written.replace(place)
            return
    raise GitError("an object could not be put into its folder", where=str(place), mend="see who deletes it")


def sync(hub: Path, names: Iterable[str]) -> None:
    """Those of the objects that are loose, all at once. What is in a pack was synced when that was written."""
    wanted = list(dict.fromkeys(names))
    shares = [wanted[start::SYNCS_AT_ONCE] for start in range(min(SYNCS_AT_ONCE, len(wanted)))]
    if len(shares) == 1:
        _sync_files(hub, shares[0])
    elif shares:
        with ThreadPoolExecutor(len(shares)) as threads:
            list(threads.map(_sync_files, repeat(hub), shares))


def _sync_files(hub: Path, names: Sequence[str]) -> None:
    for name in names:
        try:
            descriptor = os.open(f"{hub}/objects/{name[:2]}/{name[2:]}", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # in a pack
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def drop_torn(hub: Path) -> int:
    """Remove loose objects without a byte, and say how many: a power cut leaves them where nothing was synced yet, and git
    takes the name for the object and never writes it again.
    """
    torn = [place for place in (hub / "objects").glob("[0-9a-f][0-9a-f]/*") if place.stat().st_size == 0]
    for place in torn:
        place.unlink(missing_ok=True)
    return len(torn)


def made_by_merges(persistent: Persistent, merges: Iterable[tuple[str, Collection[str]]]) -> set[str]:
    """What merges wrote: of each tree, the trees and files that none of the trees it was merged from has in the same place.
    Level by level, so that many merges take as many questions as one.
    """
    written: set[str] = set()
    known: dict[str, _Entries] = {}
    level = [(tree, frozenset(sides)) for tree, sides in merges if tree not in sides]
    while level:
        wanted = {name for tree, sides in level for name in (tree, *sides)} - known.keys()
        known |= {name: _entries(data) for name, data in persistent.trees(sorted(wanted)).items()}
        below: set[tuple[str, frozenset[str]]] = set()
        for tree, sides in level:
            written.add(tree)
            for path, (mode, name) in known.get(tree, {}).items():
                there = [known[side][path] for side in sides if path in known.get(side, {})]
                if any(name == found for _, found in there):
                    continue
                if mode == TREE_MODE:
                    below.add((name, frozenset(found for kind, found in there if kind == TREE_MODE)))
                else:
                    written.add(name)
        level = list(below)
    return written


_Entries = dict[bytes, tuple[bytes, str]]
"""Of a tree: path to mode and object."""


def _entries(data: bytes) -> _Entries:
    position, entries = 0, _Entries()
    while position < len(data):
        end = data.index(b"\0", position)
        mode, _, path = data[position:end].partition(b" ")
        entries[path] = (mode, data[end + 1 : end + 21].hex())
        position = end + 21
    return entries
