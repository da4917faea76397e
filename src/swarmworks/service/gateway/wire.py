"""ASGI in small pieces: reading a bounded body, sending an answer."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any

from swarmworks.base.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Headers = Iterable[tuple[bytes, bytes]]


class BodyTooLargeError(RejectedError):
    code = "body_too_large"
    http_status = 413


class ClientGoneError(Exception):
    """The client closed its connection; there is nobody to answer."""


def headers_of(scope: Scope) -> dict[str, str]:
    """Names in lower case. RejectedError when a header that decides something is sent twice."""
    found: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in found and name in _SINGLE:
            raise RejectedError(f"the header {name} was sent twice", where=name, mend="send it once")
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


_SINGLE = frozenset({"authorization", "x-api-key", "x-goog-api-key", "content-encoding", "content-type"})


async def read_body(
    receive: Receive,
    headers: Mapping[str, str],
    limit: int,
    *,
    idle_s: float,
    body_s: float,
    take: Callable[[int], None],
) -> bytes:
    """The body with its Content-Encoding undone. BodyTooLargeError beyond `limit` bytes, packed or not; RejectedError
    when the client sends nothing for `idle_s`, or not all of it within `body_s`. `take` is told of bytes before they are
    kept, and may refuse them.
    """
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    try:
        async with asyncio.timeout(body_s):
            packed = await _packed(receive, limit, idle_s, take)
    except TimeoutError as error:
        raise _too_slow(body_s) from error
    plain = _decoded(packed, headers.get("content-encoding", "identity").strip().lower(), limit)
    take(max(0, len(plain) - len(packed)))
    return plain


async def _packed(receive: Receive, limit: int, idle_s: float, take: Callable[[int], None]) -> bytes:
    packed = bytearray()
    while True:
        try:
            async with asyncio.timeout(idle_s):
                message = await receive()
        except TimeoutError as error:
            raise _too_slow(idle_s) from error
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        piece = message.get("body", b"")
        if len(packed) + len(piece) > limit:
            raise _too_large(limit)
        take(len(piece))
        packed += piece
        if not message.get("more_body", False):
            return bytes(packed)


def _too_slow(allowed_s: float) -> RejectedError:
    return RejectedError(
        f"the request's body did not come within {allowed_s:g} s", mend="send it faster, or a shorter one"
    )


def _decoded(packed: bytes, encoding: str, limit: int) -> bytes:
    match encoding:
        case "" | "identity":
            return packed
        case "gzip" | "x-gzip":
            return _inflated(packed, zlib.MAX_WBITS | 16, limit)
        case "deflate":
            wrapped = len(packed) > 1 and packed[0] & 0x0F == 8 and int.from_bytes(packed[:2], "big") % 31 == 0
            return _inflated(packed, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS, limit)
        case _:
            raise RejectedError(
                f"content-encoding {encoding[:40]!r} is not understood",
                where="content-encoding",
                mend="send gzip, deflate or plain",
            )


def _inflated(packed: bytes, window: int, limit: int) -> bytes:
    stream = zlib.decompressobj(window)
    try:
        plain = stream.decompress(packed, limit + 1)
    except zlib.error as error:
        raise RejectedError("the body is not what its content-encoding says", where="content-encoding") from error
    if len(plain) > limit:
        raise _too_large(limit)
    if not stream.eof or stream.unused_data:
        raise RejectedError("the body is cut short, or something follows it", where="content-encoding")
    return plain


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the request is larger than {limit} bytes", mend="send a shorter conversation")


async def respond(send: Send, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    lines.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})
