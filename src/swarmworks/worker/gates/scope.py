"""Gate `scope`: a change touches only what its task owns, and nothing in it is a trap for whoever checks it out."""

from __future__ import annotations

import os
import stat
import unicodedata
from typing import TYPE_CHECKING

from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.policy.patterns import matching_pattern, normal_path
from swarmworks.wire.protected import protecting_pattern
from swarmworks.worker.gates.copies import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swarmworks.git.protocol import FileChange
    from swarmworks.worker.gates.request import GatesRequest

MAX_FINDINGS = 50
MAX_PATH = 1_000
_LINK = "120000"
_EMBEDDED = "160000"
_PLAIN_MODES = {"100644", "100755"}
_LISTED_OWNED = 8
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def check_scope(request: GatesRequest) -> GateResult:
    findings = [finding for change in request.changes for finding in _problems(change, request)]
    if not findings:
        findings += _colliding_names(request)
    count = len(request.changes)
    if findings:
        places = len({finding.file for finding in findings})
        summary = f"{places} of {count} changed paths are outside what the task may write"
        return GateResult("scope", GateOutcome.FAILED, summary, findings=tuple(findings[:MAX_FINDINGS]))
    summary = f"all {count} changed paths are owned by the task" if count else "nothing was changed"
    return GateResult("scope", GateOutcome.PASSED, summary, metrics={"changed_files": float(count)})


def _problems(change: FileChange, request: GatesRequest) -> Iterator[Finding]:
    path = change.path
    if change.status == "A" and _is_unsafe(path):
        yield Finding("this path cannot be checked out safely", path, 0, "", _unseen(path))
        return
    owner = owning_entry(path, request.owns)
    pattern = protecting_pattern(path, request.protected)
    expected = _owned_text(request.owns)
    if pattern is not None and (owner is None or not _named_as_protected(owner, path, request.protected)):
        yield Finding(f"protected by {pattern!r}: this task may not write it", path, 0, expected, _verb(change))
    elif owner is None:
        yield Finding("the task does not own this file", path, 0, expected, _verb(change))
    elif request.role_writes is not None and matching_pattern(path, request.role_writes) is None:
        allowed = ", ".join(request.role_writes[:_LISTED_OWNED]) or "no files at all"
        what = f"agents of the role {request.role!r} may not write this file"
        yield Finding(what, path, 0, f"changes only in {allowed}", _verb(change))
    if change.status == "D":
        return
    if change.mode == _EMBEDDED:
        yield Finding("an embedded repository (submodule) is not accepted", path)
    elif change.mode == _LINK:
        yield from _link_problems(path, request.tree)
    elif change.mode not in _PLAIN_MODES:
        yield Finding(f"the file mode {change.mode} is not accepted", path, 0, "100644 or 100755", change.mode)
    elif _special_bits(request.tree / path):
        yield Finding("the file has a setuid or setgid bit", path)


def owning_entry(path: str, owns: tuple[str, ...]) -> str | None:
    """The entry of `owns` that covers `path`. Case counts: another spelling is another file."""
    return next((e for e in owns if path == e or (e.endswith("/") and path.startswith(e))), None)


def _named_as_protected(entry: str, path: str, protected: tuple[str, ...]) -> bool:
    """Whether the plan named the protected thing itself: the file, or a folder that is protected as a whole. Owning a
    folder that merely could hold such a file is not enough.
    """
    return entry == path or protecting_pattern(f"{entry}any", protected) is not None


def _owned_text(owns: tuple[str, ...]) -> str:
    if not owns:
        return "no changes: the task owns no files"
    more = f" and {len(owns) - _LISTED_OWNED} more" if len(owns) > _LISTED_OWNED else ""
    return f"changes only in {', '.join(owns[:_LISTED_OWNED])}{more}"


def _verb(change: FileChange) -> str:
    return {"A": "added", "D": "deleted", "M": "modified", "T": "changed in type"}.get(change.status, change.status)


def _is_unsafe(path: str) -> bool:
    parts = path.split("/")
    return (
        path.startswith("/")
        or len(path) > MAX_PATH
        or len(parts) > MAX_DEPTH
        or any(part in {"", ".", ".."} for part in parts)
        or any(normal_path(part) == ".git" or normal_path(part).startswith("git~") for part in parts)
        or bool(_unseen(path))
    )


def _unseen(path: str) -> str:
    """The characters of the path that nobody sees, or that steer a terminal. Joiners are a part of emoji and of words."""
    found = [each for each in path if unicodedata.category(each) in _UNSEEN and each not in _JOINERS]
    return ", ".join(f"U+{ord(each):04X}" for each in dict.fromkeys(found[:_LISTED_OWNED]))


def _link_problems(path: str, tree: Path) -> Iterator[Finding]:
    """A link may lead only to what is in the tree. The whole chain is followed, since each step may be in the change."""
    try:
        target = os.readlink(tree / path)  # noqa: PTH115 - the text as it stands, not a normalised path
    except OSError:
        yield Finding("the symbolic link is not in the tree that was judged", path)
        return
    root = os.path.realpath(tree)
    resolved = os.path.realpath(tree / path)
    if target.startswith("/") or not (resolved + "/").startswith(root + "/"):
        yield Finding(
            "the symbolic link leads out of the repository", path, 0, "a target in the repository", target[:200]
        )


def _special_bits(path: Path) -> bool:
    try:
        return bool(path.lstat().st_mode & (stat.S_ISUID | stat.S_ISGID))
    except OSError:
        return False


def _colliding_names(request: GatesRequest) -> Iterator[Finding]:
    """Two names that a file system without case takes for one would overwrite each other at checkout."""
    added = [change.path for change in request.changes if change.status == "A"]
    if not added:
        return
    seen: dict[str, str] = {}
    for folder, folders, files in os.walk(request.tree):
        prefix = os.path.relpath(folder, request.tree)
        for name in sorted((*folders, *files)):
            path = name if prefix == "." else f"{prefix}/{name}"
            other = seen.setdefault(normal_path(path), path)
            if other != path:
                mine = next((p for p in added if p in {path, other} or p.startswith((f"{path}/", f"{other}/"))), None)
                if mine is not None:
                    yield Finding(f"{path} and {other} are one file on a system that ignores case", mine)
