"""Where each key of a TOML document stands, so that a problem can name its line.

`tomllib` gives values without positions. This scans the text for table headers and keys; it is used for messages only,
so a shape it does not know (a key inside an inline table, say) answers with the nearest key above it.
"""

from __future__ import annotations

import re

_HEADER = re.compile(r"^\s*(\[{1,2})\s*([^\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_FENCES = ('"""', "'''")

Path = tuple[str, ...]


def _parts(dotted: str) -> Path:
    return tuple(next(group for group in match.groups() if group is not None) for match in _PART.finditer(dotted))


def _open_fence(line: str) -> str | None:
    """The multi-line string delimiter that `line` opens and does not close."""
    for fence in _FENCES:
        if line.count(fence) % 2:
            return fence
    return None


def key_lines(text: str) -> dict[Path, int]:
    """The 1-based line of every table header and key, by its full path; the tables of an array are numbered from "0"."""
    found: dict[Path, int] = {}
    entries: dict[Path, int] = {}
    table: Path = ()
    fence: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if fence is not None:
            fence = None if fence in line else fence
            continue
        if header := _HEADER.match(line):
            table = _parts(header.group(2))
            found.setdefault(table, number)
            if header.group(1) == "[[":
                entries[table] = entries.get(table, -1) + 1
                table = (*table, str(entries[table]))
                found.setdefault(table, number)
        elif key := _KEY.match(line):
            found.setdefault((*table, *_parts(key.group(1))), number)
        fence = _open_fence(line)
    return found


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, else of the nearest thing that holds it, else 0."""
    for length in range(len(path), 0, -1):
        if number := lines.get(path[:length]):
            return number
    return 0
