"""Server-sent events, split out of a byte stream that may be cut anywhere.

Events come out as the bytes they were, so that what is relayed is what was sent.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8

from swarmworks.base.errors import ProviderUnavailableError

_BLANK_LINE = re.compile(rb"\n\r?\n|\r\r")
_OVERLAP = 2  # a separator of three bytes may have begun this far before the end of what was searched


class EventSplitter:
    """Feed it chunks; it gives back whole events, each with its closing blank line."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """ProviderUnavailableError when one event grows beyond the limit."""
        self._buffer += chunk
        events: list[bytes] = []
        start = 0
        position = self._searched
        while found := _BLANK_LINE.search(self._buffer, position):
            events.append(bytes(self._buffer[start : found.end()]))
            start = position = found.end()
        del self._buffer[:start]
        self._searched = max(len(self._buffer) - _OVERLAP, 0)
        if len(self._buffer) > self._limit_bytes:
            raise ProviderUnavailableError(
                f"the provider sent a single event of more than {self._limit_bytes} bytes", where="stream"
            )
        return events

    def rest(self) -> bytes:
        """What came after the last whole event."""
        return bytes(self._buffer)


def data_of(event: bytes) -> bytes:
    """The joined `data:` lines of an event; empty when it has none."""
    if event.startswith(b"data:") and event.count(b"\n") == 2 and b"\r" not in event:
        return event[5:-2].strip()
    lines = [line[5:].strip() for line in event.removeprefix(BOM_UTF8).splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)
