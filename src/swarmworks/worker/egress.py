"""The way out of a sandbox to the hosts its role may reach: an HTTP and CONNECT proxy on the listener that is there anyway.

Names are resolved here, outside: there is no DNS inside. What a name resolves to is checked, and the connection goes to the
address that was checked, so a name that changes its mind in between (rebinding) gains nothing. Every request is on record
with its verdict, those that were refused too. Without rules everything is refused.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from swarmworks.policy.egress import Place, Rule, forbidden, named, normal_host, rules_of
from swarmworks.wire.session_events import Access

MOST_HEAD_BYTES = 32 << 10
HEAD_S = 30.0
CONNECT_S = 15.0
CHUNK_BYTES = 64 << 10
MOST_RECORDED = 1_000
"""Of one session; what comes after is refused: nothing goes out that is not on record."""
UNCLEAR = "an unclear request"
"""On record in place of a host that a request does not name."""

_OF_THIS_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    )
)
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}")

_NOWHERE: Mapping[str, Place] = {}

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Connect = Callable[[str, int], Awaitable[Line]]


class _Refused(Exception):  # noqa: N818 - an answer, not a fault
    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Request:
    """`head` is what goes on to the host, None for a tunnel; `body_bytes` follow it."""

    host: str
    port: int
    head: bytes | None = None
    body_bytes: int = 0


def wants_proxy(start: bytes) -> bool | None:
    """Whether a connection that begins so asks for a proxy; None when more bytes must tell."""
    method, space, rest = start.partition(b" ")
    if not space:
        return None if len(method) <= 10 and (not method or (method.isalpha() and method.isupper())) else False
    if method == b"CONNECT":
        return True
    scheme = rest[:7].lower()
    if scheme == b"http://":
        return True
    return None if method.isupper() and b"http://".startswith(scheme) else False


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of the name."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def connect(address: str, port: int) -> Line:
    return await asyncio.open_connection(address, port)


class Egress:
    """Of one session. `record` takes every verdict. A host of `places` is where they say: its name is not resolved, and its
    address may be a private one. `resolved` and `connected` are for tests to stand in for the Internet.
    """

    def __init__(
        self,
        reach: Sequence[str],
        record: Callable[[Access], None],
        *,
        places: Mapping[str, Place] = _NOWHERE,
        resolved: Resolve = resolve,
        connected: Connect = connect,
    ) -> None:
        self._rules: tuple[Rule, ...] = rules_of(reach)
        self._record = record
        self._places = places
        self._resolved = resolved
        self._connected = connected
        self._requests = 0

    async def serve(self, start: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of the connection that began with `start`; it is over afterwards."""
        try:
            self._count()
            request, rest = await self._asked(start, reader)
            far_reader, far_writer = await self._opened(request)
        except TimeoutError:
            return
        except _Refused as refused:
            text = f"{refused.reason}\n".encode()
            lines = (f"HTTP/1.1 {refused.status}", "content-type: text/plain", f"content-length: {len(text)}")
            writer.write("\r\n".join((*lines, "connection: close", "", "")).encode() + text)
            await writer.drain()
            return
        try:
            if request.head is None:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await _both_ways(rest, (reader, writer), (far_reader, far_writer))
            else:
                await _once(request, rest, (reader, writer), (far_reader, far_writer))
        finally:
            far_writer.close()

    def _count(self) -> None:
        self._requests += 1
        if self._requests > MOST_RECORDED:
            reason = f"this session has asked for hosts {MOST_RECORDED} times"
            if self._requests == MOST_RECORDED + 1:
                self._record(Access(to="any host", verdict="refused", reason=reason))
            raise _Refused("403 Forbidden", reason)

    async def _asked(self, start: bytes, reader: asyncio.StreamReader) -> tuple[_Request, bytes]:
        """The request, and what came after its head already."""
        try:
            async with asyncio.timeout(HEAD_S):
                head, rest = await _head(start, reader)
            return _parsed(head), rest
        except _Refused as refused:
            self._record(Access(to=UNCLEAR, verdict="refused", reason=refused.reason))
            raise

    async def _opened(self, request: _Request) -> Line:
        to = f"{request.host}:{request.port}"
        if not _HOST.fullmatch(request.host) or not named(self._rules, request.host, request.port):
            raise self._refused(to, "no rule of this role allows it")
        addresses, port = await self._where(request, to)
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_S):
                    line = await self._connected(address, port)
            except OSError:
                continue
            self._record(Access(to=to, verdict="allowed", address=address[:100]))
            return line
        self._record(Access(to=to, verdict="allowed", reason="none of its addresses answers"))
        raise _Refused("502 Bad Gateway", f"{to} does not answer")

    async def _where(self, request: _Request, to: str) -> tuple[Sequence[str], int]:
        if (place := self._places.get(request.host)) is not None:
            return (place.address,), place.port or request.port
        try:
            addresses = await self._resolved(request.host, request.port)
        except OSError as error:
            raise self._refused(to, f"its name cannot be resolved: {error.strerror or error}") from error
        except UnicodeError as error:  # a part of it is empty or too long: no name at all
            raise self._refused(to, "its name cannot be resolved: it is not well formed") from error
        if (reason := forbidden(addresses)) is not None:
            raise self._refused(to, reason)
        return addresses, request.port

    def _refused(self, to: str, reason: str) -> _Refused:
        self._record(Access(to=to[:300], verdict="refused", reason=reason[:300]))
        return _Refused("403 Forbidden", f"{to} is not reached from here: {reason}")


async def _head(start: bytes, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head of the request, and what came after it already."""
    read = start
    while b"\r\n\r\n" not in read:
        if len(read) > MOST_HEAD_BYTES:
            raise _Refused("431 Request Header Fields Too Large", "the head of the request is too long")
        chunk = await reader.read(CHUNK_BYTES)
        if not chunk:
            raise _Refused("400 Bad Request", "the request is not whole")
        read += chunk
    head, _, rest = read.partition(b"\r\n\r\n")
    return head, rest


def _parsed(head: bytes) -> _Request:
    first, *rows = head.split(b"\r\n")
    words = first.split(b" ")
    if len(words) != 3 or words[2] not in {b"HTTP/1.1", b"HTTP/1.0"}:
        raise _Refused("400 Bad Request", "this is no HTTP/1.1 request to a proxy")
    method, target = words[0], words[1].decode("ascii", "replace")
    if method == b"CONNECT":
        return _Request(*_place(f"//{target}", None))
    fields = [_field(row) for row in rows]
    host, port = _place(target, 80)
    path = urlsplit(target)._replace(scheme="", netloc="", fragment="").geturl() or "/"
    path = path if path.startswith("/") else f"/{path}"
    kept = [(name, value) for name, value in fields if name not in _OF_THIS_HOP and name != "host"]
    if any(name == "transfer-encoding" for name, _ in kept):
        raise _Refused("411 Length Required", "a body needs a content-length here")
    lengths = {value for name, value in kept if name == "content-length"}
    if len(lengths) > 1 or not all(value.isdigit() for value in lengths):
        raise _Refused("400 Bad Request", "its content-length is no number")
    authority = host if port == 80 else f"{host}:{port}"
    lines = [method + b" " + path.encode("ascii", "replace") + b" HTTP/1.1", b"host: " + authority.encode()]
    lines += [name.encode() + b": " + value for name, value in kept]
    length = int(next(iter(lengths))) if lengths else 0
    return _Request(host, port, b"\r\n".join((*lines, b"connection: close", b"", b"")), length)


def _field(row: bytes) -> tuple[str, bytes]:
    name, colon, value = row.partition(b":")
    if not colon or not _FIELD.fullmatch(name) or b"\n" in value or b"\r" in value or b"\0" in value:
        raise _Refused("400 Bad Request", "a field of its head is no field")
    return name.decode("ascii").lower(), value.strip()


def _place(target: str, default_port: int | None) -> tuple[str, int]:
    try:
        parts = urlsplit(target)
        host, port, user = parts.hostname, parts.port or default_port, parts.username
    except ValueError:
        host, port, user = None, None, None
    if not host or port is None or user is not None:
        raise _Refused("400 Bad Request", "the request names no host and port")
    return normal_host(host), port


async def _once(request: _Request, rest: bytes, near: Line, far: Line) -> None:
    """The request as far as its length goes, then the answer until the host closes."""
    reader, writer = near
    far_reader, far_writer = far
    assert request.head is not None
    body = rest[: request.body_bytes]
    far_writer.write(request.head + body)
    left = request.body_bytes - len(body)
    while left > 0 and (chunk := await reader.read(min(left, CHUNK_BYTES))):
        left -= len(chunk)
        far_writer.write(chunk)
        await far_writer.drain()
    await far_writer.drain()
    await _pump(far_reader, writer)


async def _both_ways(rest: bytes, near: Line, far: Line) -> None:
    far[1].write(rest)
    await asyncio.gather(_pump(near[0], far[1]), _pump(far[0], near[1]), return_exceptions=True)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while chunk := await source.read(CHUNK_BYTES):
        target.write(chunk)
        await target.drain()
    if target.can_write_eof():
        target.write_eof()
