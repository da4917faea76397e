"""Where changes touch a branch, so that those that cannot be merged with each other are known before anybody tries.

Each change is merged onto the branch first: only then are the places of two changes comparable, whatever each began with. Two
conflict when they touch the same or neighbouring lines of a file, which is merge-ort's own rule, or when one of them makes,
removes or replaces a file as a whole. Called by the merge queue for what waits, a change at a time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError
from swarmworks.git.command import path_text
from swarmworks.git.protocol import Footprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swarmworks.git.hub import BareHub

WHOLE = (-1, 1 << 40)
MOST_PLACES = 20_000
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+")


def footprint(hub: BareHub, head: str, change: str) -> Footprint | None:
    """None when the change conflicts with the branch itself, or nothing can be said."""
    with hub.merging() as merging:
        merged = merging.merge(head, change)
        if merged is None or merged[1]:
            return None
        text = merging.patch(hub.tree_of(head), merged[0])
    return None if text is None else read_patch(text)


def touched(hub: BareHub, old: str, new: str) -> frozenset[bytes]:
    """GitError when it cannot be said: that is not the same as nothing."""
    text = hub.persistent.patch(hub.tree_of(old), hub.tree_of(new))
    if text is None:
        raise GitError("git does not say what changed", where=f"{old}..{new}", mend="run git fsck in the hub")
    return frozenset(read_patch(text))


def read_patch(text: bytes) -> Footprint:
    """Of a patch without context: by path, the gaps between lines that it touches, as closed intervals. A line lies between two."""
    places: dict[bytes, list[tuple[int, int]]] = {}
    path = b""
    left = 0  # lines of the hunk at hand that are still to come: what is in them is no header
    for line in text.split(b"\n"):
        if left > 0 and line[:1] in {b"+", b"-"}:
            left -= 1
        elif line.startswith(b"diff --git "):
            path, left = line, 0
            places[path] = []
        elif found := _HUNK.match(line):
            start, count = int(found[1]), int(found[2] or 1)
            places[path].append((start, start) if count == 0 else (start - 1, start + count - 1))
            left = count + _added(line)
        elif line.startswith((b"new file", b"deleted file", b"Binary files", b"old mode")):
            places[path].append(WHOLE)
    total = sum(len(found) for found in places.values())
    if total > MOST_PLACES:
        return dict.fromkeys(places, (WHOLE,))
    return {name: tuple(found) for name, found in places.items()}


def _added(line: bytes) -> int:
    count = line.split(b" ")[2].partition(b",")[2]
    return int(count) if count else 1


def overlapping(one: Footprint, others: Mapping[str, Footprint]) -> set[str]:
    """Those of `others` that touch what `one` touches."""
    return {
        name
        for name, other in others.items()
        if any(_touch(one[path], other[path]) for path in one.keys() & other.keys())
    }


def shared(one: Footprint, other: Footprint) -> list[str]:
    """The names of the files in which both touch the same places."""
    return sorted(_name(path) for path in one.keys() & other.keys() if _touch(one[path], other[path]))


def _name(header: bytes) -> str:
    """Of `diff --git a/name b/name`, both the same; git quotes those that are odd, which stay as it writes them."""
    both = header.removeprefix(b"diff --git ")
    half = both[: (len(both) - 1) // 2]
    return path_text(half.removeprefix(b"a/"))


def _touch(one: Iterable[tuple[int, int]], other: Iterable[tuple[int, int]]) -> bool:
    mine, theirs = sorted(one), sorted(other)
    place = 0
    for start, end in mine:
        while place < len(theirs) and theirs[place][1] < start:
            place += 1
        if place < len(theirs) and theirs[place][0] <= end:
            return True
    return False
