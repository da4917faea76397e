"""A pack and its index (version 2, both as git's documentation has them), from whole objects without deltas: two files where there
would be hundreds, which is what a disk and git itself are quick with.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from itertools import accumulate
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError
from swarmworks.git.durable import Temporaries, sync_names

if TYPE_CHECKING:
    from pathlib import Path

KINDS = {b"commit": 1, b"tree": 2, b"blob": 3, b"tag": 4}
MOST_BYTES = (1 << 31) - 1
"""What the offsets of an index hold without its second table."""

LEVEL = 1
"""Of compression. `git repack` packs again, and better."""


class PackWriter:
    """Collects in memory; nothing is on the disk before `finish`. One thread at a time."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._found: dict[bytes, tuple[int, int]] = {}  # name: checksum, offset
        self._size = 12

    @property
    def names(self) -> set[str]:
        return {name.hex() for name in self._found}

    def add(self, name: str, kind: bytes, content: bytes) -> None:
        """`name` is the object's id in hexadecimal. One that is in already is left out."""
        key = bytes.fromhex(name)
        if key in self._found:
            return
        part = _head(KINDS[kind], len(content)) + zlib.compress(content, LEVEL)
        self._found[key] = (zlib.crc32(part), self._size)
        self._parts.append(part)
        self._size += len(part)
        if self._size > MOST_BYTES:
            raise LimitReachedError(f"the pack has more than {MOST_BYTES} bytes", mend="make it of fewer objects")

    def finish(self, folder: Path) -> None:
        """Into `folder`, the repository's `objects/pack`. Durable when it returns, and whole whenever git sees it: it looks for
        the index, which gets its name last.
        """
        folder.mkdir(exist_ok=True)
        start = b"PACK" + struct.pack(">II", 2, len(self._found))
        check = hashlib.sha1(start, usedforsecurity=False)
        for part in self._parts:
            check.update(part)
        end = check.digest()
        place = folder / f"pack-{end.hex()}"
        with Temporaries(folder, "tmp_pack_") as made:
            pack, index = made.write([start, *self._parts, end]), made.write([self._index(end)])
            pack.replace(place.with_suffix(".pack"))
            index.replace(place.with_suffix(".idx"))
        sync_names(folder)

    def _index(self, end: bytes) -> bytes:
        names = sorted(self._found)
        counts = [0] * 256
        for name in names:
            counts[name[0]] += 1
        found = [self._found[name] for name in names]
        text = b"".join(
            (
                b"\377tOc",
                struct.pack(">I", 2),
                struct.pack(">256I", *accumulate(counts)),
                *names,
                struct.pack(f">{len(found)}I", *(checksum for checksum, _ in found)),
                struct.pack(f">{len(found)}I", *(offset for _, offset in found)),
                end,
            )
        )
        return text + hashlib.sha1(text, usedforsecurity=False).digest()


def _head(kind: int, size: int) -> bytes:
    """Type and size: four bits of the size in the first byte, seven in each of the others, the top bit while more come."""
    head, byte, size = bytearray(), kind << 4 | size & 15, size >> 4
    while size:
        head.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    head.append(byte)
    return bytes(head)
