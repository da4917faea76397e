"""Conflicts that the project says how to settle. Files to which everybody only adds: where two changes add at the same place,
git calls it a conflict, and both additions are kept; only for files the project names, and only when neither side took a
line away. Files that are made of others: one side's stands until they are made anew.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError
from swarmworks.git.command import path_text, records
from swarmworks.git.protocol import Merged
from swarmworks.policy.patterns import is_among

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.git.hub import BareHub

MOST_BYTES = 4 << 20
REGULAR = frozenset({"100644", "100755"})
BASE, OURS, THEIRS = 1, 2, 3
ABSENT = "0"
"""The mode with which an index forgets a path."""


@dataclass(frozen=True, slots=True)
class _Side:
    mode: str
    blob: str


def united(
    hub: BareHub, ours: str, theirs: str, paths: Sequence[str], union: Sequence[str], generated: Sequence[str] = ()
) -> Merged | None:
    """The merge of two commits that conflict in `paths`, when it can be had by keeping what both added, and `ours` of what is
    `generated`; None when it cannot. Durable.
    """
    if not paths or not all(is_among(path, (*union, *generated)) for path in paths):
        return None
    tree, sides = _stages(hub, ours, theirs)
    made = [path for path in sides if is_among(path_text(path), generated)]
    if not _are_named_so(hub, ours, theirs, {path: sides[path] for path in made}):
        return None
    entries: list[bytes] = []
    for path, stages in sides.items():
        if path in made:
            mode, blob = _present(stages)
        else:
            mode, content = _united(hub, stages)
            if content is None:
                return None
            blob = hub.git.run(hub.path, ["hash-object", "-w", "--stdin"], given=content).out.decode().strip()
        entries.append(f"{mode} {blob}\t".encode() + path + b"\0")
    return Merged(_with(hub, tree, b"".join(entries)))


def _are_named_so(hub: BareHub, ours: str, theirs: str, sides: dict[bytes, dict[int, _Side]]) -> bool:
    """Whether the sides have these files at these paths: where a folder stands in the way of a file, or a side has renamed what
    is above it, git names paths that neither has.
    """
    asked = [
        (commit, path, stages[stage].blob)
        for stage, commit in ((OURS, ours), (THEIRS, theirs))
        for path, stages in sides.items()
        if stage in stages
    ]
    given = b"".join(commit.encode() + b":" + path + b"\0" for commit, path, _ in asked)
    arguments = ["cat-file", "--batch-check=%(objectname)", "-z"]
    there = hub.git.run(hub.path, arguments, given=given).out.splitlines() if asked else []
    return [name.decode("utf-8", "replace") for name in there] == [blob for _, _, blob in asked]


def _present(stages: dict[int, _Side]) -> tuple[str, str]:
    """As `ours` has it, which may be not at all."""
    side = stages.get(OURS)
    if side is None:
        return ABSENT, "0" * len(next(iter(stages.values())).blob)
    return side.mode, side.blob


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
        found.setdefault(path, {})[int(stage)] = _Side(mode, blob)
    return tree.decode(), found


def _content(hub: BareHub, side: _Side) -> bytes:
    """Of a file that is too large to be united, what no text holds."""
    try:
        return hub.git.run(hub.path, ["cat-file", "blob", side.blob], limit_bytes=MOST_BYTES).out
    except LimitReachedError:
        return b"\0"


def _united(hub: BareHub, stages: dict[int, _Side]) -> tuple[str, bytes | None]:
    """The mode and the content, None when a side is missing, is no text, or took lines away."""
    if OURS not in stages or THEIRS not in stages or any(side.mode not in REGULAR for side in stages.values()):
        return "", None
    before = _content(hub, stages[BASE]) if BASE in stages else b""
    contents = [before, _content(hub, stages[OURS]), _content(hub, stages[THEIRS])]
    base = Counter(before.splitlines())
    if any(b"\0" in content or base - Counter(content.splitlines()) for content in contents):
        return "", None
    with tempfile.TemporaryDirectory(prefix="swarm-union-") as temporary:
        places = [Path(temporary) / name for name in ("base", "ours", "theirs")]
        for place, content in zip(places, contents, strict=True):
            place.write_bytes(content)
        shared, mine, other = map(str, places)
        done = hub.git.run(hub.path, ["merge-file", "-p", "--union", mine, shared, other], limit_bytes=3 * MOST_BYTES)
    return stages[OURS].mode, done.out


def _with(hub: BareHub, tree: str, entries: bytes) -> str:
    """The tree with these entries of an index in place of its own."""
    with tempfile.TemporaryDirectory(prefix="swarm-union-") as temporary:
        environment = {"GIT_INDEX_FILE": f"{temporary}/index"}
        hub.git.run(hub.path, ["read-tree", tree], environment=environment)
        hub.git.run(hub.path, ["update-index", "-z", "--index-info"], given=entries, environment=environment)
        return hub.git.run(hub.path, ["write-tree"], environment=environment).out.decode().strip()
