"""Standard input of a session: the request in its first line, and later a person's words, a JSON object a line.

Words are taken in between two turns, never waited for.
"""

from __future__ import annotations

import os
import select

from swarmworks.agent import document

CHUNK_BYTES = 65_536
MAX_LINE_BYTES = 64 << 10
MAX_WORDS_CHARS = 8_000


class Inbox:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""
        self._open = True

    def first_line(self, limit: int) -> bytes:
        """Waits for it; cut at `limit` bytes. What is not ended by a line break ends with the input."""
        while b"\n" not in self._rest and len(self._rest) < limit and self._open:
            self._fill()
        line, _, self._rest = self._rest.partition(b"\n")
        return line[:limit]

    def words(self) -> list[str]:
        """What came since the last call. Anything but `{"say": "..."}` is passed over."""
        while self._open and select.select([self._descriptor], [], [], 0)[0]:
            self._fill()
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = b""
        return [words for line in lines if len(line) <= MAX_LINE_BYTES and (words := _said(line))]

    def _fill(self) -> None:
        chunk = os.read(self._descriptor, CHUNK_BYTES)
        self._rest += chunk
        self._open = bool(chunk)


def _said(line: bytes) -> str:
    try:
        said = document.text(document.mapping(document.parse(line)).get("say"))
    except ValueError:
        return ""
    return document.clip(said.strip(), MAX_WORDS_CHARS)
