"""The lines a change adds, from its diff, and from the files themselves where the diff does not show them all."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swarmworks.git.protocol import FileChange

FILE_LIMIT_BYTES = 8 << 20
_HUNK = re.compile(r"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_ESCAPE = re.compile(r"\\([0-7]{3}|.)")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_REGULAR = {"100644", "100755"}


@dataclass(frozen=True, slots=True)
class AddedLines:
    """`lines`: path, 1-based line, text. `unread`: changed files too large to be looked at."""

    lines: tuple[tuple[str, int, str], ...]
    unread: tuple[str, ...]


def added_lines(tree: Path, changes: tuple[FileChange, ...], diff: str) -> AddedLines:
    """A file whose added lines the diff does not hold in full (it was cut, or the file is binary) is read whole."""
    found = list(_from_diff(diff))
    counts = Counter(path for path, _, _ in found)
    unread: list[str] = []
    for change in changes:
        if change.status == "D" or change.mode not in _REGULAR or change.added == counts[change.path]:
            continue
        text = read_regular(tree / change.path, FILE_LIMIT_BYTES)
        if text is None:
            unread.append(change.path)
            continue
        found = [row for row in found if row[0] != change.path]
        found += [(change.path, number, line) for number, line in enumerate(text.split("\n"), start=1)]
    return AddedLines(tuple(found), tuple(unread))


def read_regular(path: Path, limit_bytes: int) -> str | None:
    """The text of a regular file, never through a link; None when it is something else or larger than the limit."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        content = file.read(limit_bytes + 1)
    return None if len(content) > limit_bytes else content.decode("utf-8", "replace")


def _from_diff(diff: str) -> Iterator[tuple[str, int, str]]:
    """Hunks are counted out by their headers: a line of content may look like a header of the diff."""
    path = ""
    number = removed_left = added_left = 0
    for line in diff.split("\n"):
        if removed_left > 0 or added_left > 0:
            if line.startswith("+"):
                yield path, number, line[1:]
                number += 1
                added_left -= 1
            elif line.startswith("-"):
                removed_left -= 1
            elif not line.startswith("\\"):
                number += 1
                added_left -= 1
                removed_left -= 1
        elif line.startswith("+++ "):
            path = _path(line[4:])
        elif hunk := _HUNK.match(line):
            removed_left = int(hunk.group(1) or 1)
            added_left = int(hunk.group(3) or 1)
            number = int(hunk.group(2))


def _path(text: str) -> str:
    name = text.split("\t", 1)[0]
    if name.startswith('"') and name.endswith('"'):
        raw = bytearray()
        position = 1
        for match in _ESCAPE.finditer(name):
            raw += name[position : match.start()].encode()
            code = match.group(1)
            raw += bytes([int(code, 8)]) if code.isdigit() else _LETTERS.get(code, code).encode()
            position = match.end()
        name = (bytes(raw) + name[position:-1].encode()).decode("utf-8", "replace")
    return name.removeprefix("b/")
