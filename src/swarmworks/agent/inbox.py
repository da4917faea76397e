"""Standard input of a session: the request in its first line, and later a person's words and the platform's, a JSON object a
line.

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
        self._said: list[str] = []
        self._told: list[str] = []
        self._hand_over = ""

    def first_line(self, limit: int) -> bytes:
        """Waits for it; cut at `limit` bytes. What is not ended by a line break ends with the input."""
        while b"\n" not in self._rest and len(self._rest) < limit and self._open:
            self._fill()
        line, _, self._rest = self._rest.partition(b"\n")
        return line[:limit]

    def words(self) -> list[str]:
        """What people said since the last call. Lines that are neither theirs nor the platform's are passed over."""
        self._take_in()
        said, self._said = self._said, []
        return said

    def told(self) -> list[str]:
        """What the platform told since the last call, which asks for nothing."""
        self._take_in()
        told, self._told = self._told, []
        return told

    def hand_over(self) -> str:
        """The platform's words, once, when the session is to hand over to a fresh one; else nothing."""
        self._take_in()
        asked, self._hand_over = self._hand_over, ""
        return asked

    def _take_in(self) -> None:
        while self._open and select.select([self._descriptor], [], [], 0)[0]:
            self._fill()
        *lines, self._rest = self._rest.split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            self._rest = b""
        for line in lines:
            if len(line) <= MAX_LINE_BYTES:
                self._said += [words] if (words := _text(line, "say")) else []
                self._told += [words] if (words := _text(line, "tell")) else []
                self._hand_over = _text(line, "hand_over") or self._hand_over

    def _fill(self) -> None:
        chunk = os.read(self._descriptor, CHUNK_BYTES)
        self._rest += chunk
        self._open = bool(chunk)


def _text(line: bytes, name: str) -> str:
    try:
        text = document.text(document.mapping(document.parse(line)).get(name))
    except ValueError:
        return ""
    return document.clip(text.strip(), MAX_WORDS_CHARS)
