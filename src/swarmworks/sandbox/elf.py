"""Which loader an ELF program names: the kernel starts it like a program, so that it must be allowed together with the program."""

from __future__ import annotations

import os
import struct
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAGIC: Final = b"\x7fELF"
_64_BIT, _LITTLE_ENDIAN = 2, 1  # as the machines are that a sandbox works on
_TABLE: Final = struct.Struct(
    "<32xQ14xHH6x"
)  # of the header: where the table of segments is, and how many of which size
_SEGMENT: Final = struct.Struct("<I4xQ16xQ16x")  # kind, offset, size in the file
_INTERPRETER: Final = 3
_MOST_BYTES: Final = 1 << 16


def loaders(programs: Iterable[str], shown: Iterable[str]) -> list[str]:
    """Of `programs`, files of the host, those loaders that lie in the folders and files `shown`, named without a way up."""
    found = {loader for program in programs if (loader := loader_of(program)) and ".." not in loader.split("/")}
    places = list(shown)
    return sorted(path for path in found if any(PurePosixPath(path).is_relative_to(place) for place in places))


def loader_of(program: str) -> str:
    """Empty for what is no ELF program, cannot be read, or needs no loader."""
    try:
        if not Path(program).is_file():
            return ""
        with open(program, "rb") as file:  # noqa: PTH123 -- text, as all paths here
            head = file.read(_MOST_BYTES)
    except OSError:
        return ""
    if not head.startswith(MAGIC + bytes((_64_BIT, _LITTLE_ENDIAN))) or len(head) < _TABLE.size:
        return ""
    for kind, offset, size in _segments(head):
        if kind == _INTERPRETER:
            return os.fsdecode(head[offset : offset + size].partition(b"\0")[0])
    return ""


def _segments(head: bytes) -> Iterator[tuple[int, int, int]]:
    start, size, count = _TABLE.unpack_from(head)
    if size < _SEGMENT.size:
        return
    for number in range(count):
        if start + number * size + _SEGMENT.size > len(head):
            return
        yield _SEGMENT.unpack_from(head, start + number * size)
