"""Whether a change is still there in a later tree: what a silent revert looks like, found before the target moves.

Compared per file as multisets of lines, which any clean merge satisfies, whichever diff algorithm made it: a line that
was only moved, or that the change repeats, must be there as often as the change added it. Line endings do not count.
Files renamed by the change or since are followed as merge-ort does. Beyond the lines: what is binary, a link, or too long
to compare must be identical, and a file that is byte for byte what it was before the change has lost it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError
from swarmworks.git.command import path_text, records
from swarmworks.git.protocol import Loss

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.git.command import Git
    from swarmworks.git.persistent import Persistent

LINE_FILE_LIMIT_BYTES = 16 << 20
TOTAL_LIMIT_BYTES = 512 << 20
BINARY_PROBE_BYTES = 8000  # git's own rule: a NUL among the first 8,000 bytes
MOST_ONE_BY_ONE = 40  # files: from there on a process that answers them all at once is quicker
REGULAR_MODES = frozenset({"100644", "100755"})
GONE_MODE = "000000"


@dataclass(frozen=True, slots=True)
class _Entry:
    """One file of `diff-tree`: where and what it was, where and what it is."""

    source: bytes
    target: bytes
    status: str
    old_mode: str
    old_blob: str
    new_mode: str
    new_blob: str


def losses(git: Git, persistent: Persistent, hub: Path, base: str, head: str, tree: str) -> tuple[Loss, ...]:
    """What of the change between `base` and `head` is not in `tree`, by path (as `head` names it), sorted."""
    changed = [entry for entry in _differences(git, persistent, hub, base, head) if entry.status != "D"]
    later = {entry.source: entry for entry in _differences(git, persistent, hub, head, tree) if entry.status != "A"}
    touched = [(entry, later[entry.target]) for entry in changed if entry.target in later]
    blobs = _contents(git, persistent, hub, {blob for pair in touched for blob in _blobs(*pair)})
    found = [(change.target, _lost(change, after, blobs)) for change, after in touched]
    return tuple(sorted(Loss(path_text(path), lines) for path, lines in found if lines is not None))


def _blobs(change: _Entry, after: _Entry) -> tuple[str, ...]:
    modes = ((change.old_mode, change.old_blob), (change.new_mode, change.new_blob), (after.new_mode, after.new_blob))
    return tuple(blob for mode, blob in modes if mode in REGULAR_MODES)


def _lost(change: _Entry, after: _Entry, blobs: dict[str, bytes | None]) -> tuple[str, ...] | None:
    """The lines that are lost, () when the file as a whole is, None when all of it is there."""
    if (after.new_blob, after.new_mode) == (change.old_blob, change.old_mode):
        return _lost_lines(change, after, blobs) or ()
    if change.new_mode not in {change.old_mode, after.new_mode} and after.new_mode != GONE_MODE:
        return ()
    if after.new_blob == change.new_blob:
        return None
    if change.old_blob == change.new_blob:
        return None if after.new_mode in REGULAR_MODES else ()
    return _lost_lines(change, after, blobs)


def _lost_lines(change: _Entry, after: _Entry, blobs: dict[str, bytes | None]) -> tuple[str, ...] | None:
    if change.new_mode not in REGULAR_MODES or after.new_mode not in {*REGULAR_MODES, GONE_MODE}:
        return ()
    before = blobs[change.old_blob] if change.old_mode in REGULAR_MODES else b""
    written = blobs[change.new_blob]
    kept = blobs[after.new_blob] if after.new_mode in REGULAR_MODES else b""
    if before is None or written is None or kept is None:
        return ()
    gone = (_lines(written) - _lines(before)) - _lines(kept)
    return tuple(line.decode("utf-8", "backslashreplace") for line in gone.elements()) or None


def _lines(content: bytes) -> Counter[bytes]:
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return Counter(line.removesuffix(b"\r") for line in lines)


def _differences(git: Git, persistent: Persistent, hub: Path, old: str, new: str) -> list[_Entry]:
    trees = [persistent.info(f"{name}^{{tree}}") for name in (old, new)]
    out = persistent.differences(*(tree[0] for tree in trees if tree is not None)) if None not in trees else None
    if out is None:
        arguments = ["diff-tree", "-r", "-z", "-M", "--raw", "--full-index", "--no-abbrev", "--no-commit-id", old, new]
        out = git.run(hub, arguments).out
    rest = iter(records(out))
    found: list[_Entry] = []
    for header in rest:
        old_mode, new_mode, old_blob, new_blob, status = header.decode().removeprefix(":").split(" ")
        source = next(rest)
        target = next(rest) if status.startswith("R") else source
        found.append(_Entry(source, target, status[0], old_mode, old_blob, new_mode, new_blob))
    return found


def _contents(git: Git, persistent: Persistent, hub: Path, blobs: set[str]) -> dict[str, bytes | None]:
    """Each blob's bytes, None for one that is binary or too long to be compared by lines."""
    names = sorted(blobs)
    if not names:
        return {}
    sizes = _sizes(git, persistent, hub, names)
    found: dict[str, bytes | None] = dict.fromkeys(names)
    readable = [name for name in names if sizes[name] <= LINE_FILE_LIMIT_BYTES]
    total = sum(sizes[name] for name in readable)
    if total > TOTAL_LIMIT_BYTES:
        raise LimitReachedError(
            f"the change touches {total} bytes of files, over the limit of {TOTAL_LIMIT_BYTES}", mend="land it in parts"
        )
    if len(readable) <= MOST_ONE_BY_ONE:
        found |= {name: _content(git, persistent, hub, name) for name in readable}
    else:
        found |= _all_contents(git, hub, readable, sizes)
    return {
        name: None if content is None or b"\0" in content[:BINARY_PROBE_BYTES] else content
        for name, content in found.items()
    }


def _content(git: Git, persistent: Persistent, hub: Path, name: str) -> bytes:
    found = persistent.contents(name, LINE_FILE_LIMIT_BYTES)
    return git.run(hub, ["cat-file", "blob", name]).out if found is None else found[1]


def _all_contents(git: Git, hub: Path, names: list[str], sizes: dict[str, int]) -> dict[str, bytes]:
    request = "".join(f"{name}\n" for name in names).encode()
    limit = sum(sizes[name] for name in names) + 100 * len(names)
    out = git.run(hub, ["cat-file", "--batch"], given=request, limit_bytes=limit).out
    found: dict[str, bytes] = {}
    position = 0
    for name in names:
        start = out.index(b"\n", position) + 1
        found[name] = out[start : start + sizes[name]]
        position = start + sizes[name] + 1
    return found


def _sizes(git: Git, persistent: Persistent, hub: Path, names: list[str]) -> dict[str, int]:
    if len(names) <= MOST_ONE_BY_ONE:
        known = [persistent.info(name) for name in names]
        found = {one[0]: one[2] for one in known if one is not None}
        if len(found) == len(names):
            return found
    request = "".join(f"{name}\n" for name in names).encode()
    out = git.run(hub, ["cat-file", "--batch-check=%(objectname) %(objectsize)"], given=request).out.decode()
    return {name: int(size) for name, size in (line.split(" ") for line in out.splitlines())}
