"""Control planes on loopback that can end, hang and refuse: enough of HTTP for the real client."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import parse_qs

Answer = tuple[int, Any]
LIMIT_S = 20.0


class FakePlane:
    """`answer` is called with the path's end and the body. `hanging`: it reads and says nothing. `breaking`: it hangs up after
    it has read.
    """

    def __init__(self, answer: Callable[[str, Any], Answer | Awaitable[Answer]] | None = None) -> None:
        self.answer = answer or (lambda _path, _body: (200, []))
        self.hanging = False
        self.breaking = False
        self.asked: list[tuple[str, str, Any]] = []
        self.queries: list[tuple[str, dict[str, list[str]]]] = []
        self.hung_up = 0
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def end(self) -> None:
        """At once, as a killed process does."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, what: Callable[[FakePlane], bool]) -> None:
        async with asyncio.timeout(LIMIT_S), self._news:
            await self._news.wait_for(lambda: what(self))

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await self._one(reader, writer)
        writer.close()
        self._writers.discard(writer)
        self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        length = [int(line.partition(":")[2]) for line in lines if line.lower().startswith("content-length")]
        text = await reader.readexactly(length[0]) if length else b""
        method, target, _ = first.split(" ")
        path, _, query = target.partition("?")
        body = json.loads(text) if text else None
        self.asked.append((method, path, body))
        self.queries.append((path, parse_qs(query, keep_blank_values=True)))
        await self._tell()
        if self.breaking:
            writer.transport.abort()
            raise asyncio.IncompleteReadError(b"", None)
        if self.hanging:
            with contextlib.suppress(OSError):
                await reader.read()
            self.hung_up += 1
            await self._tell()
            raise asyncio.IncompleteReadError(b"", None)
        answer = self.answer(path, body)
        status, said = answer if isinstance(answer, tuple) else await answer
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        writer.write(f"HTTP/1.1 {status} x\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
        await writer.drain()

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()
