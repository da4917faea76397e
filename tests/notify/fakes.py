"""What channels talk to, on loopback: an HTTP server and a mail server that do as they are told, and programs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ssl
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from swarmworks.base.ids import SwarmId
from swarmworks.domain.notice import Item, ItemKind, Notice, Severity
from swarmworks.notify.protocol import Dispatch

CERTIFICATE = Path(__file__).with_name("localhost.pem")
AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def notice(seq: int = 7, severity: Severity = Severity.WARNING, **more) -> Notice:
    facts = {
        "kind": "task.blocked",
        "swarm_id": SwarmId("swm_1"),
        "seq": seq,
        "at": AT,
        "severity": severity,
        "title": f"Task users-{seq} is blocked",
        "text": "rejected 3 times; last: tests failed\nIt is not tried again until you say so.",
        "command": "swarm inbox",
        "item": Item(ItemKind.TASK, f"users-{seq}"),
    }
    return Notice(**(facts | more))


def dispatch(*notices: Notice, **more) -> Dispatch:
    return Dispatch("swm_1.7", "shop", notices or (notice(),), **more)


@asynccontextmanager
async def listening(serve, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free port. Whoever is still served when it ends is hung up on."""
    serving: set[asyncio.Task[None]] = set()

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError
            ):
                await serve(reader, writer)
        finally:
            writer.transport.abort()
            serving.discard(task)

    server = await asyncio.start_server(served, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await asyncio.sleep(0)


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeHttp:
    """Answers `status` to everything; `silent`: takes a request and says nothing."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    port: int = 0
    requests: list[Request] = field(default_factory=list)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeHttp]:
        async with listening(self._serve) as self.port:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        raw = dict(line.split(": ", 1) for line in head[1:] if line)
        self.requests.append(Request(method, path, raw, body))
        if self.silent:
            await reader.read()
        else:
            extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            writer.write(f"HTTP/1.1 {self.status} X\r\nContent-Length: 0\r\n{extra}\r\n".encode())
            await writer.drain()
            writer.write_eof()


@dataclass
class FakeMail:
    """A mail server. `password` None: no login is offered; `refuses`: an answer to RCPT; `silent`: greets nobody."""

    security: str = "none"
    password: str | None = None
    refuses: str = ""
    data_answer: str = "250 taken"
    silent: bool = False
    port: int = 0
    mails: list[str] = field(default_factory=list)
    receivers: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    secured: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeMail]:
        self.secured = self.security == "tls"
        async with listening(self._serve, self._context() if self.secured else None) as self.port:
            yield self

    @staticmethod
    def _context() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        return context

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.silent:
            await reader.read()
            return
        writer.write(b"220 mail.test\r\n")
        while line := (await reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb == "DATA":
                writer.write(b"354 go on\r\n")
                mail = (await reader.readuntil(b"\r\n.\r\n")).decode()
                self.mails.append(mail.removesuffix("\r\n.\r\n"))
                writer.write(f"{self.data_answer}\r\n".encode())
            elif verb == "STARTTLS":
                writer.write(b"220 go on\r\n")
                await writer.drain()
                await writer.start_tls(self._context())
                self.secured = True
            else:
                writer.write(f"{self._answer(verb, line)}\r\n".encode())
            await writer.drain()
            if verb == "QUIT":
                break

    def _answer(self, verb: str, line: str) -> str:
        if verb == "EHLO":
            offers = ["mail.test"]
            if self.security == "starttls" and not self.secured:
                offers.append("STARTTLS")
            if self.password is not None:
                offers.append("AUTH PLAIN")
            return "\r\n".join([*(f"250-{one}" for one in offers), "250 8BITMIME"])
        if verb == "AUTH":
            user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")[1:]
            self.logins.append(user)
            return "235 welcome" if password == self.password else "535 no"
        if verb == "RCPT":
            if self.refuses:
                return self.refuses
            self.receivers.append(line.partition("<")[2].rstrip(">"))
        return "221 bye" if verb == "QUIT" else "250 ok"


def program(folder: Path, name: str, text: str) -> Path:
    """A shell script on a PATH of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path
