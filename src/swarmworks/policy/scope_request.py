"""More files for a task, as its agent asks for them: what a rule refuses at once, and what a person is asked. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.policy.admit import overlaps
from swarmworks.policy.patterns import matching_pattern, normal_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from swarmworks.base.ids import TaskId

MOST_PATHS = 20
MOST_NAMED = 8
MOST_PATH_CHARS = 300
_WILD = re.compile(r"[*?]")
YES, NO = frozenset({"yes", "y"}), frozenset({"no", "n"})


def refusal(
    paths: Sequence[str],
    protected: Iterable[str],
    held: Mapping[str, TaskId],
    task_id: TaskId,
    role_writes: Sequence[str] | None = None,
) -> str | None:
    """Why no person is asked: in words for the agent. `held` are the files that tasks hold now; `role_writes` the patterns of
    what the task's role may write at all, None for everything. A protected file takes a plan that names it, which is reviewed
    as a whole.
    """
    if not paths or len(paths) > MOST_PATHS:
        return f"name between 1 and {MOST_PATHS} paths"
    patterns = tuple(protected)
    for path in paths:
        if _is_no_path(path):
            return f"{path[:MOST_PATH_CHARS]!r} is no path of a file or folder/ below the repository's root"
        below = f"{path}any" if path.endswith("/") else path
        pattern = matching_pattern(path.rstrip("/"), patterns) or matching_pattern(below, patterns)
        if pattern is not None:
            return f"{path} is protected by {pattern!r}: only a plan can give it to a task"
        if role_writes is not None and not _role_may(path, role_writes):
            allowed = ", ".join(role_writes[:MOST_NAMED]) or "no files at all"
            return f"agents of your role may not write {path}, whoever allows it: they write {allowed}"
        holder = next((task for other, task in held.items() if task != task_id and overlaps(path, other)), None)
        if holder is not None:
            return f"{path} belongs to the task {holder} now: leave it to that one, or ask again when it has landed"
    return None


def _role_may(path: str, patterns: Sequence[str]) -> bool:
    """A folder for which it cannot be told is left to the person: the gate judges each file in it."""
    if not path.endswith("/"):
        return matching_pattern(path, patterns) is not None
    return any(matching_pattern(f"{path}any", (one,)) is not None or _may_meet(path, one) for one in patterns)


def _may_meet(folder: str, pattern: str) -> bool:
    if "/" not in pattern.rstrip("/"):
        return True  # it holds at every depth
    place, fixed = folder.casefold(), _WILD.split(pattern.strip("/"), 1)[0].casefold()
    return fixed.startswith(place) or place.startswith(fixed)


def _is_no_path(path: str) -> bool:
    parts = path.removesuffix("/").split("/")
    return (
        len(path) > MOST_PATH_CHARS
        or any(part in {"", ".", ".."} or normal_path(part) == ".git" for part in parts)
        or any(not letter.isprintable() or letter == "\\" for letter in path)
    )


def covered(path: str, owns: Iterable[str]) -> bool:
    return any(path == one or (one.endswith("/") and path.startswith(one)) for one in owns)


def granted(answer: str) -> bool | None:
    """A person's yes or no, by the first word of the answer; None when it is neither."""
    first = answer.strip().split(maxsplit=1)[0].strip(".,:;!").lower() if answer.strip() else ""
    return True if first in YES else False if first in NO else None


def in_words(paths: Sequence[str], reason: str) -> str:
    """The question to a person."""
    return f"May it also write {', '.join(paths)}? {reason} (yes or no)"
