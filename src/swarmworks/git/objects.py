"""Objects of a repository written, and made durable, without a git process. Those that are written together wait for the disk
together: it writes many files for the price of a few.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError, RejectedError
from swarmworks.git.durable import Temporaries, sync_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from swarmworks.git.protocol import Identity

OBJECT_NAME = re.compile(r"[0-9a-f]{40}")
SYNCS_AT_ONCE = 16
"""Those that wait for the disk at the same time share its writes."""

MOST_TRIES = 100


@dataclass(frozen=True, slots=True)
class RawObject:
    """What git computes an object's id of (type, size, a NUL, and the content), and that id."""

    name: str
    content: bytes


def commit_text(
    tree: str, parents: Sequence[str], message: bytes, author: Identity, committer: Identity, at: datetime
) -> RawObject:
    """The commit that `git commit-tree` would write. `tree` and `parents` are full ids, `message` has no NUL."""
    if at.tzinfo is None:
        raise RejectedError("a commit's time needs a time zone", mend="pass an aware datetime")
    when = f"{int(at.astimezone(UTC).timestamp())} +0000"
    head = [f"tree {tree}", *(f"parent {parent}" for parent in dict.fromkeys(parents))]
    head += [f"author {signature(author)} {when}", f"committer {signature(committer)} {when}"]
    body = ("\n".join(head) + "\n\n").encode() + message
    content = b"commit %d\0%s" % (len(body), body)
    return RawObject(hashlib.sha1(content, usedforsecurity=False).hexdigest(), content)


def blob_name(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def signature(identity: Identity) -> str:
    """Git's own rule for names: no angle brackets, no control characters, none of its crud at the ends."""
    name, email = (_plain(text) for text in (identity.name, identity.email))
    return f"{name or 'unknown'} <{email}>"


def _plain(text: str) -> str:
    kept = "".join(character for character in text if character.isprintable() and character not in "<>")
    return kept.strip(" .,:;\"'\\")


def write_loose(hub: Path, objects: Sequence[RawObject]) -> None:
    """Each is on the disk before it has its name: whatever git finds under a name is whole, and need not be written again. An
    object that is there already counts as new: it is about to be referred to. Durable when it returns.
    """
    places = {_place(hub, one.name): one for one in objects}
    if not places:
        return
    missing = {place: one for place, one in places.items() if not _renewed(place)}
    folder = hub / "objects"
    with Temporaries(folder, "tmp_obj_") as made, ThreadPoolExecutor(min(SYNCS_AT_ONCE, len(places))) as threads:
        written = list(threads.map(partial(_compressed, made), missing.values()))
        for temporary, place in zip(written, missing, strict=True):
            _put(temporary, place)
        # of those, too, that another writer has put there a moment ago, and git, which never syncs a name
        list(threads.map(sync_names, [folder, *{place.parent for place in places}]))


def _compressed(made: Temporaries, one: RawObject) -> Path:
    return made.write([zlib.compress(one.content, 1)])


def _place(hub: Path, name: str) -> Path:
    return hub / "objects" / name[:2] / name[2:]


def _renewed(place: Path) -> bool:
    try:
        os.utime(place)
    except (FileNotFoundError, PermissionError):  # another user's can be replaced, not renewed
        return False
    return True


def _put(written: Path, place: Path) -> None:
    """git, while it packs, takes away folders that it finds empty: between making one and using it, too."""
    for _ in range(MOST_TRIES):
        place.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            written.replace(place)
            return
    raise GitError("an object could not be put into its folder", where=str(place), mend="see who deletes it")


def drop_torn(hub: Path) -> int:
    """Remove loose objects without a byte, and say how many: a power cut leaves them where nothing was synced yet, and git
    takes the name for the object and never writes it again.
    """
    torn = [place for place in (hub / "objects").glob("[0-9a-f][0-9a-f]/*") if place.stat().st_size == 0]
    for place in torn:
        place.unlink(missing_ok=True)
    return len(torn)
