"""Writes Markdown about what a task's specification holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from swarmworks.provider.rehearsal.specification import Facts


def page(title: str, introduction: str, facts: Facts) -> str:
    lines = [f"# {title}", "", introduction.strip(), ""]
    endpoints = [*facts.entries("endpoints"), facts.mapping("endpoint")]
    rows = list(_rows(entry for entry in endpoints if entry))
    if rows:
        lines += ["## Endpoints", "", "| method | path | what it does |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _rows(entries: Iterator[Mapping[str, object]]) -> Iterator[str]:
    for entry in entries:
        words = entry.get("description") or entry.get("verb") or entry.get("action") or ""
        yield f"| {entry.get('method')} | `{entry.get('path')}` | {words} |"
