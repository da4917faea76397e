"""Databases for agents to read: at the sandbox's listener, and behind it a connection that the worker opened and looked at.

The agent gets neither the address nor the password: the user it names stands for a database of its role, and it is connected as
the configured one. Each connection is let in only after the server itself has said that this role, and every role it can turn
into, cannot write. The session starts read-only too, which the agent may undo, and the role may not.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swarmworks.policy.wording import plain
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
MOST_NAME = 60
MOST_WHY, MOST_REASON = 400, 600
ROLE_CHECK = Path(__file__).with_name("role_check.sql").read_text(encoding="utf-8")

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Refused(Exception):  # noqa: N818 - an answer, not a fault
    """In words for the agent: no address, no secret."""


@dataclass(frozen=True, slots=True)
class Offered:
    """A database as a session is offered it: `name` is the project's for it, `variable` the one that holds its address. A client
    shows `secret`, the session's own: in some sandboxes others on the machine can reach the listener.
    """

    name: str
    address: Address
    variable: str
    secret: str = field(repr=False)
    statement_timeout_s: float = 30.0


class DatabaseProxy:
    """Of one session. `record` takes every verdict."""

    def __init__(self, offered: Sequence[Offered], record: Callable[[Access], None]) -> None:
        self._offered = {one.name: one for one in offered}
        self._record = record
        self._open = 0
        self._recorded = 0

    async def serve(self, begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection that began with `begun`, to its end."""
        self._open += 1
        try:
            await self._serve(begun, reader, writer)
        except (EOFError, ProtocolError, TimeoutError):
            pass  # it went away, or speaks something else
        finally:
            self._open -= 1

    async def _serve(self, begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(CONNECT_S):
            user = await _asked_in(begun, reader, writer)
            if user is None:
                return
            word = await _password(reader, writer)
        to = f"database {user}"
        try:
            found = self._let_in(user, word)
            async with asyncio.timeout(CONNECT_S):
                far, greeting = await _entered(found)
        except (_Refused, TimeoutError, OSError, EOFError, ProtocolError) as error:
            said = str(error) if isinstance(error, _Refused | ProtocolError) else "it does not answer"
            log.warning("%s is not reached: %s", to, error)
            self._note(Access(to=to, verdict="refused", reason=said[:MOST_REASON]))
            writer.write(messages.fatal(f"the database {user} is not offered: {said}"))
            await writer.drain()
            return
        self._note(Access(to=to, verdict="allowed"))
        try:
            writer.write(messages.message(b"R", struct.pack("!i", 0)) + greeting)
            await asyncio.gather(_pump(reader, far[1]), _pump(far[0], writer), return_exceptions=True)
        finally:
            far[1].transport.abort()

    def _note(self, access: Access) -> None:
        """Once the record is full nobody is let in, which is on record once."""
        self._recorded += 1
        if self._recorded <= MOST_RECORDED + 1:
            self._record(access)

    def _let_in(self, user: str, word: bytes) -> Offered:
        if self._open > MOST_CONNECTIONS:
            raise _Refused(f"this session has {MOST_CONNECTIONS} connections to databases open, and gets no more")
        if self._recorded >= MOST_RECORDED:
            raise _Refused(f"this session has connected to databases {MOST_RECORDED} times, and gets no further")
        found = self._offered.get(user)
        if found is None:
            known = ", ".join(self._offered) or "none"
            raise _Refused(f"this role is offered {known}; its address is in SWARM_DATABASE_<NAME>")
        if not hmac.compare_digest(word, found.secret.encode()):
            raise _Refused(f"the password is not the one in SWARM_DATABASE_{found.name.upper()}")
        return found


async def _entered(offered: Offered) -> tuple[Line, bytes]:
    """A connection in which nothing was asked yet but what its role may do, and what the server says of itself."""
    line = await _connected(offered.address)
    try:
        line[1].write(messages.startup(_parameters(offered)))
        await _authenticated(line, offered.address)
        greeting = await _until_ready(line[0])
        await _check_reader(line, offered)
    except BaseException:
        line[1].transport.abort()
        raise
    return line, greeting


def _parameters(offered: Offered) -> dict[str, str]:
    timeout_ms = int(offered.statement_timeout_s * 1000)
    return {
        "user": offered.address.user,
        "database": offered.address.database,
        "application_name": "swarmworks agent",
        "options": f"-c default_transaction_read_only=on -c statement_timeout={timeout_ms}",
    }


async def _asked_in(begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str | None:
    """The user a client names that wants a session, which stands for the database it wants; None for any other client. What else it says of
    itself does not count.
    """
    for _ in range(MOST_REQUESTS):
        code, rest = await messages.read_startup(reader, begun)
        if code >> 16 == messages.VERSION >> 16:
            return plain(messages.parameters(rest).get("user", ""), MOST_NAME)
        if code not in {messages.SSL_REQUEST, messages.GSS_REQUEST}:
            return None  # a request to cancel names another connection of the server's, which is not shown here
        begun = b""
        writer.write(b"N")
        await writer.drain()
    return None


async def _password(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(messages.message(b"R", struct.pack("!i", 3)))
    await writer.drain()
    kind, payload = await messages.read(reader)
    if kind != b"p":
        raise ProtocolError("no password came")
    return payload.removesuffix(b"\0")


async def _connected(address: Address) -> Line:
    if (path := address.socket_path) is not None:
        return await asyncio.open_unix_connection(path)
    raw = await _dialled(address)
    try:
        if not await _encrypts(raw, address):
            return await asyncio.open_connection(sock=raw)
        return await asyncio.open_connection(sock=raw, ssl=address.tls_context(), server_hostname=address.host)
    except BaseException:
        raw.close()
        raise


async def _encrypts(raw: socket.socket, address: Address) -> bool:
    """Whether the server and the address want it. One byte is read and no more: what another puts behind it would else count as
    said under encryption.
    """
    if address.tls == "disable":
        return False
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(raw, struct.pack("!ii", 8, messages.SSL_REQUEST))
    answer = await loop.sock_recv(raw, 1)
    if not answer:
        raise EOFError
    if answer == b"S":
        return True
    if address.tls in ENCRYPTED:
        raise _Refused("its server does not encrypt, and its address asks for that")
    return False


async def _dialled(address: Address) -> socket.socket:
    loop = asyncio.get_running_loop()
    failed = OSError(f"{address.host} has no address")
    for family, kind, protocol, _, place in await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM):
        made = socket.socket(family, kind, protocol)
        try:
            made.setblocking(False)
            await loop.sock_connect(made, place)
        except BaseException as error:
            made.close()
            if not isinstance(error, OSError):
                raise
            failed = error
        else:
            return made
    raise failed


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


async def _check_reader(line: Line, offered: Offered) -> None:
    if why := await _more_than_a_reader(line):
        mend = f"name one in {offered.variable} that may only SELECT"
        raise _Refused(f"its role is more than a reader: {why[:MOST_WHY]}; mend: {mend}")


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
