"""The gateways that sandboxes are relayed to: one in every living control plane, all on this machine's loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from swarmworks.base.clock import Clock
from swarmworks.wire.api import PlaneAddress

log = logging.getLogger(__name__)

GONE_S = 10.0
"""How long a gateway may have been missing among the living before its connections are cut: one that ends in order lets its
calls finish, one that hangs would keep them for ever.
"""

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Gateways:
    """`current` names the control plane the worker talks to: it answers, so its gateway is tried first."""

    def __init__(self, clock: Clock, current: Callable[[], str]) -> None:
        self._clock = clock
        self._current = current
        self._planes: tuple[PlaneAddress, ...] = ()
        self._lines: dict[str, set[asyncio.StreamWriter]] = {}
        self._gone: dict[str, float] = {}

    def learn(self, planes: Sequence[PlaneAddress]) -> None:
        """Those that live now. None named: whoever said so knows of no other."""
        if not planes:
            return
        self._planes = tuple(planes)
        now = self._clock.monotonic()
        living = {plane.gateway_url for plane in planes}
        self._gone = {url: self._gone.get(url, now) for url in self._lines if url not in living}
        for url, since in self._gone.items():
            if now - since >= GONE_S:
                self._cut(url)

    def urls(self) -> list[str]:
        """The one to try first, first."""
        current = self._current()
        ordered = sorted(self._planes, key=lambda plane: plane.api_url.rstrip("/") != current)
        return [plane.gateway_url for plane in ordered]

    @asynccontextmanager
    async def line(self) -> AsyncGenerator[Line]:
        """A connection to the first gateway that takes one. OSError when none does."""
        url, (reader, writer) = await self._connected()
        lines = self._lines.setdefault(url, set())
        lines.add(writer)
        try:
            yield reader, writer
        finally:
            writer.close()
            lines.discard(writer)
            if not lines and self._lines.get(url) is lines:  # not another set's, of lines made since these were cut
                del self._lines[url]

    async def _connected(self) -> tuple[str, Line]:
        failure = OSError("no gateway is known")
        for url in self.urls():
            parts = urlsplit(url)
            try:
                return url, await asyncio.open_connection(parts.hostname, parts.port)
            except OSError as error:
                failure = error
        raise failure

    def _cut(self, url: str) -> None:
        """The agents at the other end see broken connections, and ask again: at another gateway."""
        lines = self._lines.pop(url, set())
        if lines:
            log.warning("the gateway at %s is gone: %d connections to it are cut", url, len(lines))
        for writer in lines:
            writer.transport.abort()
