"""The anchors in a file outside the database, one line each: what was stated stays stated when the database is changed.

Control planes that share the file append under a lock. A line that a crash left half-written is cut off, or closed where the
file can only be appended to, and written again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmworks.base.errors import StoreUnavailableError
from swarmworks.domain.anchor import Anchor

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

_TAIL_BYTES = 4 << 20
"""More than one line ever takes."""


@dataclass(frozen=True, slots=True)
class Content:
    """Of the file, from its beginning. `torn` are the numbers of lines that a crash left half-written, `strange` those of all
    others that hold no anchor.
    """

    anchors: tuple[Anchor, ...]
    torn: tuple[int, ...]
    strange: tuple[int, ...]


class AnchorFile:
    """Every method raises StoreUnavailableError when the file cannot be read or written."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, anchors: Sequence[Anchor]) -> None:
        """Those that it does not hold yet, durable on return. Anchors it holds under the same number stay as they are."""
        with self._errors(), self._locked() as descriptor:
            present = _last(descriptor)
            lines = "".join(_line(anchor) for anchor in anchors if anchor.number > present)
            if lines:
                _write(descriptor, lines.encode())
                os.fsync(descriptor)

    def last_number(self) -> int:
        """0 when there is no anchor in it yet."""
        if not self.path.exists():
            return 0
        with self._errors(), self._locked() as descriptor:
            return _last(descriptor)

    def read(self) -> Content:
        if not self.path.exists():
            return Content((), (), ())
        with self._errors():
            return _content(self.path.read_bytes().removesuffix(b"\n").split(b"\n"))

    @contextlib.contextmanager
    def _locked(self) -> Generator[int]:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailableError(
                f"the file of anchors cannot be used: {error.strerror}",
                where=str(self.path),
                mend="make it and its folder writable for this user, or name another in audit.anchor_file",
            ) from error


def _content(lines: list[bytes]) -> Content:
    """A torn line is the beginning of the next anchor's; behind the last anchor, that one has yet to be written."""
    anchors: list[Anchor] = []
    torn: list[int] = []
    strange: list[int] = []
    following = b""
    for number, line in reversed(list(enumerate(lines, start=1))):
        if (anchor := _anchor(line)) is not None:
            anchors.append(anchor)
            following = line
        elif not line:
            continue
        elif not following or following.startswith(line):
            torn.append(number)
        else:
            strange.append(number)
    return Content(tuple(reversed(anchors)), tuple(reversed(torn)), tuple(reversed(strange)))


def _last(descriptor: int) -> int:
    """The number of the last anchor, 0 when there is none. What stands after the last whole line is cut off, or closed."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    whole, _newline, torn = tail.rpartition(b"\n")
    if torn:
        try:
            os.ftruncate(descriptor, size - len(torn))
        except PermissionError:  # the file can only be appended to
            _write(descriptor, b"\n")
            whole = tail
    anchors = (_anchor(line) for line in reversed(whole.split(b"\n")))
    return next((anchor.number for anchor in anchors if anchor is not None), 0)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _line(anchor: Anchor) -> str:
    row = {"number": anchor.number, "statement": anchor.statement, "signature": anchor.signature}
    return json.dumps(row, separators=(",", ":")) + "\n"


def _anchor(line: bytes) -> Anchor | None:
    try:
        row: dict[str, Any] = json.loads(line)
        found = Anchor(int(row["number"]), str(row["statement"]), str(row["signature"]))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return found if found.number > 0 else None
