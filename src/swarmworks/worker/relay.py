"""From a sandbox's only listener to a gateway: bytes both ways, nothing looked at. The session's token says who calls.

Only where the role may reach other hosts is the first request of a connection read, to tell which of both it is for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from swarmworks.worker.gateways import Gateways
from swarmworks.worker.reaching import open_way, read_head, wanted

CHUNK_BYTES = 64 << 10
MOST_CONNECTIONS = 64


class Relay:
    """Relays every connection accepted on `listener` to a gateway that lives at that moment. `answered` is called for
    everything that comes back from there: a model that thinks aloud is at work, although its agent says nothing meanwhile.
    """

    def __init__(
        self, listener: socket.socket, gateways: Gateways, answered: Callable[[], None], reach: tuple[str, ...] = ()
    ) -> None:
        """`reach` are the hosts that may be reached beside the gateway: see `reaching.allows`."""
        self._reach = reach
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
                if self._reach:
                    await self._told_apart(reader, writer)
                else:
                    await self._connect(reader, writer, b"")
        except (OSError, asyncio.CancelledError):
            pass  # either side went away: the other is closed below, and the agent sees a broken connection
        finally:
            self._connections.discard(task)
            writer.close()

    async def _told_apart(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        asked = wanted(head)
        if asked is None:
            await self._connect(reader, writer, head)
            return
        try:
            way = await open_way(asked, self._reach)
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if way is None:
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        if asked.tunnel:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await _both_ways(reader, writer, *way, asked.head, _unheard)
        finally:
            way[1].close()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, first: bytes) -> None:
        async with self._gateways.line() as (far_reader, far_writer):
            await _both_ways(reader, writer, far_reader, far_writer, first, self._answered)


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
    first: bytes,
    answered: Callable[[], None],
) -> None:
    far_writer.write(first)
    try:
        async with asyncio.TaskGroup() as pumps:
            pumps.create_task(_pump(reader, far_writer, _unheard))
            pumps.create_task(_pump(far_reader, writer, answered))
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
