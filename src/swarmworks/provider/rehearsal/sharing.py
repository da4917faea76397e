"""The file that several tasks own: each describes its own part below a heading of its own.

A task that errs also writes the line at the top, which belongs to nobody. Two such tasks that began on the same commit
conflict in the merge queue, as people do who both edit the same line. The one that comes second is given both texts with git's
markers in them: it keeps what landed, and its own line where it has one of its own, and says what it left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.faults import Behaviour, Fault
from swarmworks.provider.rehearsal.mistakes import Made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.provider.rehearsal.prompt import Brief

MARKED = re.compile(r"^<{7} [^\n]*\n(?P<landed>.*?)^={7}\n(?P<own>.*?)^>{7} [^\n]*\n", re.MULTILINE | re.DOTALL)
LATEST = re.compile(r"^Last described: .*$", re.MULTILINE)


def shared_paths(brief: Brief) -> tuple[str, ...]:
    """Markdown files that a task which implements owns beside its own."""
    if brief.kind != "implement_endpoint":
        return ()
    return tuple(path for path in brief.owns if path.endswith(".md"))


def described(behaviour: Behaviour, brief: Brief, files: Mapping[str, str]) -> tuple[dict[str, str], Made | None]:
    """The shared files with this task's part in them, and the fault that was made."""
    found: dict[str, str] = {}
    made: Made | None = None
    for path in shared_paths(brief):
        text = files.get(path)
        if text is None:
            continue
        text = MARKED.sub(lambda both: both["landed"], text)
        found[path] = _own_part(brief, text)
        told = brief.rejection is not None and brief.rejection.names(path)
        if behaviour.conflict and not told and LATEST.search(text):
            found[path] = LATEST.sub(f"Last described: {brief.title}", found[path], count=1)
            made = Made(Fault.CONFLICT, path, "the line at the top, which every faulty task writes")
    return found, made


def left_out(brief: Brief, files: Mapping[str, str], written: Mapping[str, str]) -> tuple[dict[str, str], ...]:
    """Of the conflicts in `files`, the task's own lines that are not in what it has `written`."""
    rows: list[dict[str, str]] = []
    for path in shared_paths(brief):
        kept = written.get(path, "").splitlines()
        own = [line for both in MARKED.finditer(files.get(path, "")) for line in both["own"].splitlines()]
        why = "the line belongs to nobody, and what landed has written it"
        rows += [{"path": path, "line": line, "why": why} for line in own if line.strip() and line not in kept]
    return tuple(rows)


def _own_part(brief: Brief, text: str) -> str:
    """The line below the task's own heading becomes what the task is about."""
    modules = ", ".join(f"`{path}`" for path in brief.owns if path.endswith(".py"))
    pattern = re.compile(rf"^(## {re.escape(brief.task_id)}\n\n)[^\n]*$", re.MULTILINE)
    return pattern.sub(lambda match: f"{match[1]}{brief.title.rstrip('.')}: {modules}.", text, count=1)
