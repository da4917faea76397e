"""The tools that look at and change files of the working copy. Everything they answer is bounded."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import ToolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.agent.workspace import Workspace

MAX_READ_BYTES = 48 << 10
MAX_EDIT_BYTES = 2 << 20
MAX_SEARCHED_BYTES = 1 << 20
MAX_LISTED = 2_000
DEFAULT_LISTED = 500
MAX_VISITED = 50_000
MAX_ROWS = 100
MAX_ROW_CHARS = 300
_LINE_BYTES = 1 << 20

LEFT_OUT = frozenset({
    ".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".venv", "venv",
    "node_modules", ".coverage", ".DS_Store",
})  # fmt: skip


def list_files(workspace: Workspace, path: str, limit: int) -> str:
    limit = max(1, min(limit, MAX_LISTED))
    found = sorted(_walk(workspace, path))
    if not found:
        return "(no files)"
    rows = found[:limit]
    if len(found) > limit:
        rows.append(f"[cut: {len(found) - limit} more files; list a folder, or raise the limit (at most {MAX_LISTED})]")
    return "\n".join(rows)


def read_file(workspace: Workspace, path: str, start_line: int, end_line: int | None) -> str:
    """Lines `start_line` to `end_line`, both 1-based and included; read as a stream, so that size does not matter."""
    if start_line < 1 or (end_line is not None and end_line < start_line):
        raise ToolError("start_line must be at least 1 and end_line not before it")
    kept: list[bytes] = []
    size = number = 0
    with os.fdopen(workspace.open_read(path), "rb") as file:
        _refuse_binary(path, file.read(8192), os.fstat(file.fileno()).st_size)
        file.seek(0)
        while line := file.readline(_LINE_BYTES):
            number += 1
            if number < start_line:
                continue
            if end_line is not None and number > end_line:
                break
            room = MAX_READ_BYTES - size
            kept.append(line[:room])
            size += len(line)
            if size > MAX_READ_BYTES:
                kept.append(b"\n[cut in line %d: the answer is full; go on with start_line=%d]\n" % (number, number))
                break
    if number < start_line:
        return f"(the file has {number} lines)"
    return b"".join(kept).decode("utf-8", "replace")


def search(workspace: Workspace, pattern: str, path: str) -> str:
    try:
        wanted = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ToolError(f"{pattern!r} is not a regular expression: {error}") from error
    rows: list[str] = []
    for name in sorted(_walk(workspace, path)):
        for row in _matches(workspace, name, wanted):
            rows.append(row)
            if len(rows) == MAX_ROWS:
                return "\n".join([*rows, f"[cut: only the first {MAX_ROWS} matches are shown]"])
    return "\n".join(rows) or "(no matches)"


def write_file(workspace: Workspace, path: str, content: str) -> str:
    data = _encoded(content)
    with os.fdopen(workspace.open_write(path), "r+b") as file:
        file.truncate()
        file.write(data)
    return f"wrote {workspace.locate(path)} ({len(content.splitlines())} lines)"


def edit_file(workspace: Workspace, path: str, old: str, new: str) -> str:
    if not old:
        raise ToolError("old must not be empty; write_file writes a whole file")
    workspace.require_owned(workspace.locate(path))
    content = _text_to_edit(workspace, path)
    count = content.count(old)
    if count != 1:
        raise ToolError(f"old occurs {count} times in {path!r}; it must occur exactly once (give more of the context)")
    return write_file(workspace, path, content.replace(old, new))


def _text_to_edit(workspace: Workspace, path: str) -> str:
    with os.fdopen(workspace.open_read(path), "rb") as file:
        data = file.read(MAX_EDIT_BYTES + 1)
    if len(data) > MAX_EDIT_BYTES:
        raise ToolError(f"{path!r} is larger than {MAX_EDIT_BYTES} bytes, too large to edit")
    _refuse_binary(path, data, len(data))
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ToolError(f"{path!r} is not UTF-8, so an edit would damage it") from None


def _encoded(content: str) -> bytes:
    data = content.encode("utf-8", "replace")
    if len(data) > MAX_EDIT_BYTES:
        raise ToolError(f"the content is larger than {MAX_EDIT_BYTES} bytes")
    return data


def _refuse_binary(path: str, head: bytes, size: int) -> None:
    if b"\0" in head:
        raise ToolError(f"{path!r} is a binary file ({size} bytes)")


def _walk(workspace: Workspace, path: str) -> Iterator[str]:
    """Repository paths of files beneath `path`, or `path` itself when it is one. Links are named, never followed."""
    start = workspace.root / workspace.locate(path)
    if start.is_file():
        yield start.relative_to(workspace.root).as_posix()
        return
    if not start.is_dir():
        raise ToolError(f"{path!r} does not exist")
    visited = 0
    for folder, folders, names in os.walk(start):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in names:
            visited += 1
            if visited > MAX_VISITED:
                raise ToolError(f"{path!r} holds more than {MAX_VISITED} files; name a folder in it")
            if name not in LEFT_OUT and not name.endswith(".pyc"):
                yield _printable((Path(folder) / name).relative_to(workspace.root).as_posix())


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _matches(workspace: Workspace, name: str, wanted: re.Pattern[str]) -> Iterator[str]:
    try:
        descriptor = workspace.open_read(name)
    except ToolError:
        return
    with os.fdopen(descriptor, "rb") as file:
        data = file.read(MAX_SEARCHED_BYTES)
    if b"\0" in data[:8192]:
        return
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), start=1):
        if wanted.search(line):
            yield f"{name}:{number}: {line.strip()[:MAX_ROW_CHARS]}"
