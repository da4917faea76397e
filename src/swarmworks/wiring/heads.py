"""HTTP requests whose heads have an end. uvicorn bounds neither a header nor their number, nor what follows the last chunk of a
body: one agent that sends headers without end would take the memory of the whole control plane.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 << 10
"""Of a request's line and headers together. No client of a model comes near it."""


class BoundedHead(HttpToolsProtocol):
    """Answers 400 and closes when a head goes on for more than HEAD_BYTES, at most one read of the socket later."""

    _head_bytes = 0
    _unread_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._unread_bytes += len(data)
        super().data_received(data)
        if max(self._unread_bytes, self._head_bytes) > HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")

    def on_message_begin(self) -> None:
        self._head_bytes = self._unread_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._unread_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._unread_bytes = 0
        super().on_message_complete()

    def _count(self, size: int) -> None:
        """Raising here ends the parsing: the server answers 400 and closes."""
        self._unread_bytes = 0
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            raise ValueError(f"a head of more than {HEAD_BYTES} bytes")
