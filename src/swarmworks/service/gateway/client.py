"""The client's end of a call: it takes bytes at its own pace, and may leave at any moment."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from swarmworks.service.gateway.patience import Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swarmworks.service.gateway.wire import Receive, Send


class Client:
    """Sending to a client that is gone does nothing. `idle_s`: one that takes nothing for so long counts as gone. `keeps`: how
    many bytes of the answer are kept in `kept`. `on_start`: what is done when the answer begins.
    """

    def __init__(
        self, receive: Receive, send: Send, idle_s: float, keeps: int = 0, on_start: Callable[[], None] | None = None
    ) -> None:
        self._receive = receive
        self._send = send
        self._patience = Patience(idle_s)
        self._on_start = on_start
        self._on_gone: Callable[[], None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._keeps = keeps
        self.kept = bytearray()
        self.gone = False
        self.status: int | None = None

    def watch(self) -> None:
        """Begin to notice the client's leaving; the request's body must have been read."""
        self._watch = asyncio.create_task(self._until_gone())

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        if not self.gone:
            self.gone = True
            if self._on_gone is not None:
                self._on_gone()

    def when_gone(self, act: Callable[[], None] | None) -> None:
        """Act when the client leaves, at once when it has left; None: no longer."""
        self._on_gone = act
        if self.gone and act is not None:
            act()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.status = status
        if self._on_start is not None:
            self._on_start()
        lines = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._pass({"type": "http.response.start", "status": status, "headers": lines})

    async def push(self, data: bytes, *, last: bool = False) -> None:
        if len(self.kept) < self._keeps:
            self.kept += data[: self._keeps - len(self.kept)]
        await self._pass({"type": "http.response.body", "body": data, "more_body": not last})

    async def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        await self.start(status, {**headers, "content-length": str(len(body))})
        await self.push(body, last=True)

    async def _pass(self, message: dict[str, object]) -> None:
        if self.gone:
            return
        try:
            with self._patience:
                await self._send(message)
        except OSError:  # the timeout too
            self._leave()

    async def close(self) -> None:
        self._patience.close()
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
