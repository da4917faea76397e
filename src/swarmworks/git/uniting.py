"""Files to which everybody only adds: where two changes add at the same place, git calls it a conflict, and both additions are
kept. Only for files the project names, and only when neither side took a line away.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError
from swarmworks.git.command import records
from swarmworks.git.protocol import Conflicted, Merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.git.hub import BareHub

MOST_BYTES = 4 << 20
REGULAR = frozenset({"100644", "100755"})
BASE, OURS, THEIRS = 1, 2, 3


@dataclass(frozen=True, slots=True)
class _Side:
    mode: str
    content: bytes


def union(hub: BareHub, ours: str, theirs: str, conflict: Conflicted, allowed: Sequence[str]) -> Merged | None:
    """The merge of two commits that conflict, when it can be had by keeping what both added; None when it cannot. Durable."""
    if not conflict.paths or not all(_names(allowed, path) for path in conflict.paths):
        return None
    tree, sides = _stages(hub, ours, theirs)
    entries: list[bytes] = []
    for path, stages in sides.items():
        mode, content = _united(hub, stages)
        if content is None:
            return None
        blob = hub.git.run(hub.path, ["hash-object", "-w", "--stdin"], given=content).out.decode().strip()
        entries.append(f"{mode} {blob} 0\t".encode() + path + b"\0")
    return Merged(_with(hub, tree, b"".join(entries)))


def _names(allowed: Sequence[str], path: str) -> bool:
    return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in allowed)


def _stages(hub: BareHub, ours: str, theirs: str) -> tuple[str, dict[bytes, dict[int, _Side]]]:
    """The tree with markers in it, and of each path that conflicts what the sides have."""
    arguments = ["merge-tree", "--write-tree", "-z", "--no-messages", ours, theirs]
    tree, *rows = records(hub.git.run(hub.path, arguments, ok=(0, 1)).out)
    found: dict[bytes, dict[int, _Side]] = {}
    for row in rows:
        if not row:
            break
        facts, _, path = row.partition(b"\t")
        mode, blob, stage = facts.decode().split(" ")
        found.setdefault(path, {})[int(stage)] = _Side(mode, _content(hub, mode, blob))
    return tree.decode(), found


def _content(hub: BareHub, mode: str, blob: str) -> bytes:
    """Of a file that is too large to be united, what no text holds."""
    if mode not in REGULAR:
        return b""
    try:
        return hub.git.run(hub.path, ["cat-file", "blob", blob], limit_bytes=MOST_BYTES).out
    except LimitReachedError:
        return b"\0"


def _united(hub: BareHub, stages: dict[int, _Side]) -> tuple[str, bytes | None]:
    """The mode and the content, None when a side is missing, is no text, or took lines away."""
    if OURS not in stages or THEIRS not in stages or any(side.mode not in REGULAR for side in stages.values()):
        return "", None
    sides = [stages.get(BASE, _Side(stages[OURS].mode, b"")), stages[OURS], stages[THEIRS]]
    base = Counter(sides[0].content.splitlines())
    if any(b"\0" in side.content or base - Counter(side.content.splitlines()) for side in sides):
        return "", None
    with tempfile.TemporaryDirectory(prefix="swarm-union-") as temporary:
        places = [Path(temporary) / name for name in ("base", "ours", "theirs")]
        for place, side in zip(places, sides, strict=True):
            place.write_bytes(side.content)
        before, mine, other = map(str, places)
        done = hub.git.run(hub.path, ["merge-file", "-p", "--union", mine, before, other], limit_bytes=3 * MOST_BYTES)
    return stages[OURS].mode, done.out


def _with(hub: BareHub, tree: str, entries: bytes) -> str:
    """The tree with these entries of an index in place of its own."""
    with tempfile.TemporaryDirectory(prefix="swarm-union-") as temporary:
        environment = {"GIT_INDEX_FILE": f"{temporary}/index"}
        hub.git.run(hub.path, ["read-tree", tree], environment=environment)
        hub.git.run(hub.path, ["update-index", "-z", "--index-info"], given=entries, environment=environment)
        return hub.git.run(hub.path, ["write-tree"], environment=environment).out.decode().strip()
