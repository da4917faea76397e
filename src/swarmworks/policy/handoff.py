"""An agent's word against the actual diff: claims that the diff does not show are dropped, what is not mentioned is told."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from typing import TYPE_CHECKING

from swarmworks.domain.handoff import ChangedFile, Handoff

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_NAMED = 20
"""Paths named in one problem; the rest is counted."""


def check(handoff: Handoff, changed_paths: Iterable[str]) -> tuple[Handoff, list[str]]:
    """The handoff with only those changed files that are in `changed_paths` (repository paths of the diff), each once
    and under its repository path, and what did not agree, in words for the record.
    """
    actual = set(changed_paths)
    claimed: dict[str, ChangedFile] = {}
    for file in handoff.changed:
        path = posixpath.normpath(file.path)
        claimed.setdefault(path, ChangedFile(path, file.what))
    kept = tuple(file for path, file in claimed.items() if path in actual)
    problems = [
        *_named("claimed as changed, but not in the diff", claimed.keys() - actual),
        *_named("changed, but not mentioned", actual - claimed.keys()),
    ]
    if handoff.outcome == "nothing_to_do" and actual:
        problems.append(f"said there was nothing to do, but changed {_files(len(actual))}")
    if handoff.outcome == "submitted" and not actual:
        problems.append("submitted, but nothing was changed")
    return replace(handoff, changed=kept), problems


def _named(what: str, paths: set[str]) -> list[str]:
    if not paths:
        return []
    shown = ", ".join(sorted(paths)[:MAX_NAMED])
    more = len(paths) - MAX_NAMED
    return [f"{what}: {shown}" + (f" and {more} more" if more > 0 else "")]


def _files(count: int) -> str:
    return f"{count} file{'s' if count != 1 else ''}"
