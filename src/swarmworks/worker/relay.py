"""From a sandbox's only listener to a gateway: bytes both ways. The session's token says who calls.

Only the beginning of a connection is looked at: who asks for a proxy is served by `egress`, who speaks as a client of PostgreSQL
by `databases`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

from swarmworks.worker.databases.proxy import DatabaseProxy
from swarmworks.worker.egress import Egress, wants_proxy
from swarmworks.worker.gateways import Gateways

CHUNK_BYTES = 64 << 10
MOST_CONNECTIONS = 64
STARTUP = b"\0"
"""What a client of PostgreSQL begins with, the length of its first message, and no client of HTTP does."""


@dataclass(frozen=True, slots=True)
class Exits:
    """What a session reaches besides the gateway."""

    egress: Egress
    databases: DatabaseProxy


class Relay:
    """Relays every connection accepted on `listener` to a gateway that lives at that moment. `answered` is called for
    everything that comes back from there: a model that thinks aloud is at work, although its agent says nothing meanwhile.
    `exits` serve what is meant for others.
    """

    def __init__(self, listener: socket.socket, gateways: Gateways, exits: Exits, answered: Callable[[], None]) -> None:
        self._exits = exits
        self._answered = answered
        self._listener = listener
        self._gateways = gateways
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_CONNECTIONS)

    async def start(self) -> None:
        self._listener.setblocking(False)
        self._server = await asyncio.start_server(self._accepted, sock=self._listener)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (
            self._places.locked()
        ):  # an agent that opens connections without end gets no more of the worker's descriptors
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            async with self._places:
                await self._connect(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # either side went away: the other is closed below, and the agent sees a broken connection
        finally:
            self._connections.discard(task)
            writer.close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.read(1)
        if start == STARTUP:
            await self._exits.databases.serve(start, reader, writer)
            return
        while (proxy := wants_proxy(start)) is None:
            if not (chunk := await reader.read(CHUNK_BYTES)):
                break
            start += chunk
        if proxy:
            await self._exits.egress.serve(start, reader, writer)
            return
        async with self._gateways.line() as (far_reader, far_writer):
            far_writer.write(start)
            try:
                async with asyncio.TaskGroup() as pumps:
                    pumps.create_task(_pump(reader, far_writer, _unheard))
                    pumps.create_task(_pump(far_reader, writer, self._answered))
            except* OSError:
                pass  # one direction broke: the connection is over


def _unheard() -> None:
    """What an agent sends is no sign that anything comes of it."""


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, passed: Callable[[], None]) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        passed()
        target.write(chunk)
        await target.drain()
    with contextlib.suppress(OSError):
        if target.can_write_eof():
            target.write_eof()
