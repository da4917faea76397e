"""A database for agents to read: a socket in the sandbox, and behind it a connection that the worker opened and looked at.

The agent gets neither the address nor the password: whatever user it names, it is connected as the configured role. Each
connection is let in only after the server itself has said that this role, and every role it can turn into, cannot write. The
session starts read-only too, which the agent may undo, and the role may not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from swarmworks.wire.session_events import Access
from swarmworks.worker.databases import messages
from swarmworks.worker.databases.address import ENCRYPTED, Address
from swarmworks.worker.databases.messages import ProtocolError

log = logging.getLogger(__name__)

CONNECT_S = 20.0
CHUNK_BYTES = 64 << 10
MOST_CONNECTIONS = 8
"""Of one session at once."""
MOST_REQUESTS = 4
MOST_RECORDED = 500
SOCKET_NAME = ".s.PGSQL.5432"
ROLE_CHECK = Path(__file__).with_name("role_check.sql").read_text(encoding="utf-8")

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Refused(Exception):  # noqa: N818 - an answer, not a fault
    """In words for the agent: no address, no secret."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A database as a session is offered it: `name` is the project's for it, `folder` where its socket is, on the host."""

    name: str
    address: Address
    folder: Path
    statement_timeout_s: float


class DatabaseProxy:
    """Of one session and one database. `record` takes every verdict."""

    def __init__(self, offered: Offered, record: Callable[[Access], None]) -> None:
        self._offered = offered
        self._record = record
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._recorded = 0

    async def start(self) -> None:
        """Makes the socket, which everybody may connect to who sees it."""
        self._offered.folder.mkdir(parents=True, exist_ok=True)
        listener = _bound(self._offered.folder)
        self._server = await asyncio.start_unix_server(self._accepted, sock=listener)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MOST_CONNECTIONS or self._recorded >= MOST_RECORDED:
            writer.write(messages.fatal("this session has too many connections to the database", "53300"))
            writer.close()
            return
        self._connections.add(task)
        self._recorded += 1
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError, ProtocolError, asyncio.CancelledError):
            pass  # either side went away, or speaks something else
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to = f"database {self._offered.name}"
        async with asyncio.timeout(CONNECT_S):
            if not await _asked_in(reader, writer):
                return
        try:
            async with asyncio.timeout(CONNECT_S):
                far, greeting = await self._entered()
        except (_Refused, TimeoutError, OSError, EOFError, ProtocolError) as error:
            said = str(error) if isinstance(error, _Refused | ProtocolError) else "it does not answer"
            log.warning("%s is not reached: %s", to, error)
            self._record(Access(to=to, verdict="refused", reason=said[:300]))
            writer.write(messages.fatal(f"the database {self._offered.name} is not offered: {said}"))
            await writer.drain()
            return
        self._record(Access(to=to, verdict="allowed"))
        try:
            writer.write(messages.message(b"R", struct.pack("!i", 0)) + greeting)
            await asyncio.gather(_pump(reader, far[1]), _pump(far[0], writer), return_exceptions=True)
        finally:
            far[1].transport.abort()

    async def _entered(self) -> tuple[Line, bytes]:
        """A connection in which nothing was asked yet but what its role may do, and what the server says of itself."""
        address = self._offered.address
        line = await _connected(address)
        try:
            line[1].write(messages.startup(self._parameters()))
            await _authenticated(line, address)
            greeting = await _until_ready(line[0])
            await _check_reader(line)
        except BaseException:
            line[1].transport.abort()
            raise
        return line, greeting

    def _parameters(self) -> dict[str, str]:
        timeout_ms = int(self._offered.statement_timeout_s * 1000)
        return {
            "user": self._offered.address.user,
            "database": self._offered.address.database,
            "application_name": "swarmworks agent",
            "options": f"-c default_transaction_read_only=on -c statement_timeout={timeout_ms}",
        }


def _bound(folder: Path) -> socket.socket:
    """By way of an open folder: a socket's path is short, and the folder's may be long."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = folder / SOCKET_NAME
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(f"/proc/self/fd/{descriptor}/{SOCKET_NAME}")
        path.chmod(0o666)
    finally:
        os.close(descriptor)
    listener.setblocking(False)
    return listener


async def _asked_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Whether the client wants a session. What it says of itself does not count."""
    for _ in range(MOST_REQUESTS):
        code, _rest = await messages.read_startup(reader)
        if code == messages.VERSION or code >> 16 == messages.VERSION >> 16:
            return True
        if code not in {messages.SSL_REQUEST, messages.GSS_REQUEST}:
            return False  # a request to cancel names another connection of the server's, which is not shown here
        writer.write(b"N")
        await writer.drain()
    return False


async def _connected(address: Address) -> Line:
    if (path := address.socket_path) is not None:
        return await asyncio.open_unix_connection(path)
    reader, writer = await asyncio.open_connection(address.host, address.port)
    if address.tls == "disable":
        return reader, writer
    try:
        writer.write(struct.pack("!ii", 8, messages.SSL_REQUEST))
        answer = await reader.readexactly(1)
        if answer == b"S":
            await writer.start_tls(address.tls_context(), server_hostname=address.host)
            return reader, writer
    except BaseException:
        writer.transport.abort()
        raise
    if address.tls in ENCRYPTED:
        writer.transport.abort()
        raise _Refused("its server does not encrypt, and its address asks for that")
    return reader, writer


async def _authenticated(line: Line, address: Address) -> None:
    reader, writer = line
    scram: messages.Scram | None = None
    while True:
        kind, payload = await messages.read(reader)
        if kind == b"E":
            log.warning("%s: %s", address.host, messages.error_text(payload))
            raise _Refused("its server does not let this role in")
        if kind != b"R" or len(payload) < 4:
            continue
        (what,), rest = struct.unpack("!i", payload[:4]), payload[4:]
        match what:
            case 0:
                if scram is not None and not scram.proved:
                    raise _Refused("its server did not prove that it knows the password")
                return
            case 3 if _unheard(writer, address):
                reply = address.password.encode() + b"\0"
            case 5:
                reply = messages.md5_password(address.user, address.password, rest[:4]) + b"\0"
            case 10 if messages.SCRAM.encode() in rest.split(b"\0"):
                scram = messages.Scram(address.password)
                reply = scram.first()
            case 11 if scram is not None:
                reply = scram.final(rest)
            case 12 if scram is not None:
                scram.check(rest)
                continue
            case _:
                raise _Refused("its server wants a proof of who we are that is not known here")
        writer.write(messages.message(b"p", reply))


def _unheard(writer: asyncio.StreamWriter, address: Address) -> bool:
    """Whether a password may be said as it is."""
    local = address.socket_path is not None or address.host in {"127.0.0.1", "::1", "localhost"}
    return local or writer.get_extra_info("ssl_object") is not None


async def _until_ready(reader: asyncio.StreamReader) -> bytes:
    """Everything the server says before it is ready, its word that it is ready with it."""
    said = b""
    while True:
        kind, payload = await messages.read(reader)
        if kind == b"E":
            log.warning("a database: %s", messages.error_text(payload))
            raise _Refused("its server does not let this role in")
        said += messages.message(kind, payload)
        if kind == b"Z":
            return said


async def _check_reader(line: Line) -> None:
    if why := await _more_than_a_reader(line):
        raise _Refused(f"its role is more than a reader: {why}")


async def _more_than_a_reader(line: Line) -> str:
    reader, writer = line
    writer.write(messages.message(b"Q", ROLE_CHECK.encode() + b"\0"))
    found: list[str | None] = []
    failed = ""
    while True:
        kind, payload = await messages.read(reader)
        if kind == b"D":
            found.append(messages.first_column(payload))
        elif kind == b"E":
            failed = messages.error_text(payload)
        elif kind == b"Z":
            break
    if failed or len(found) != 1:
        return f"what it may do could not be told ({failed or 'no answer'})"
    return found[0] or ""


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(CHUNK_BYTES):
            target.write(chunk)
            await target.drain()
    finally:
        target.close()
