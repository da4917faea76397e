"""Commits on their way between two hubs, as packs: what one asks for and has not, and what the other makes of it.

What comes from elsewhere is checked object by object before it counts, and nothing points at it until its history is whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import RejectedError
from swarmworks.git.objects import OBJECT_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.git.hub import BareHub

TIMEOUT_S = 600.0
MOST_PACK_BYTES = 1 << 30
_NO_OBJECTS = bytes(4)


def make_pack(hub: BareHub, wants: Sequence[str], haves: Sequence[str], *, limit_bytes: int = MOST_PACK_BYTES) -> bytes:
    """The objects of the commits `wants` and their history without those of `haves`, which may be unknown here. One of
    `wants` that is not here is a RejectedError; a pack over `limit_bytes` is a LimitReachedError.
    """
    for commit in wants:
        if not _is_commit(hub, commit):
            raise RejectedError(f"there is no commit {commit[:100]!r}", where=str(hub.path), mend="ask for one that is")
    without = [f"^{commit}" for commit in haves if _is_commit(hub, commit)]
    lines = "".join(f"{line}\n" for line in (*wants, *without))
    arguments = ["pack-objects", "--revs", "--thin", "--stdout", "-q", "--delta-base-offset"]
    return hub.git.patient(TIMEOUT_S).run(hub.path, arguments, given=lines.encode(), limit_bytes=limit_bytes).out


def take_pack(
    hub: BareHub, pack: bytes, commits: Sequence[str], base: str | None = None, *, trusted: bool = False
) -> None:
    """Take in a pack that is to hold `commits` with what they need, on top of what is here. With `base` they must continue that
    one. RejectedError, and nothing points at anything, when they do not. Of a `trusted` one only that it is whole is checked, as
    git does it: old histories hold objects that are written in a way nobody would today.
    """
    git = hub.git.patient(TIMEOUT_S)
    strict = () if trusted else ("--strict",)
    if pack[8:12] != _NO_OBJECTS:
        taken = git.run(hub.path, ["index-pack", "--stdin", "--fix-thin", *strict], given=pack, ok=(0, 1, 128))
        if taken.code != 0:
            raise RejectedError(
                f"the pack cannot be taken: {taken.error.strip()[-300:]}", where=str(hub.path), mend="make it anew"
            )
    for commit in commits:
        if not _is_commit(hub, commit):
            raise RejectedError(f"the pack does not hold {commit[:100]!r}", where=str(hub.path), mend="make it anew")
    known = ["--not", *([base] if base is not None else ["--all"])]
    whole = git.run(hub.path, ["rev-list", "--objects", "--quiet", *commits, *known], ok=(0, 1, 128))
    if whole.code != 0:
        raise RejectedError("the pack lacks objects of its commits", where=str(hub.path), mend="make it anew")
    for commit in commits if base is not None else ():
        if not hub.is_ancestor(str(base), commit):
            raise RejectedError(
                "this does not continue the commit that was given", where=commit, mend="start from that"
            )


def _is_commit(hub: BareHub, name: str) -> bool:
    return bool(OBJECT_NAME.fullmatch(name)) and hub.resolve(name) == name
