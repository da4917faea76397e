"""Requests whose heads have no end are given up; the next client is served."""

import asyncio
import contextlib

import pytest

from swarmworks.wiring.heads import HEAD_BYTES, BoundedHead
from tests.service.gateway.plant import serving

LINE = b"POST / HTTP/1.1\r\nhost: x\r\n"
FLOODS = {
    "one header": (LINE + b"x-long: ", b"y" * 4_096),
    "many headers": (LINE, b"x-one: y\r\n" * 400),
    "the path": (b"GET /", b"y" * 4_096),
    "a header's name": (LINE, b"x" * 4_096),
    "what follows the last chunk": (LINE + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x-one: y\r\n" * 400),
    "one line behind the last chunk": (LINE + b"transfer-encoding: chunked\r\n\r\n0\r\nx-long: ", b"y" * 4_096),
}
OK = LINE + b"content-length: 3\r\nx-some: " + b"y" * 30_000 + b"\r\n\r\nabc"


async def echo(scope, receive, send):
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def address():
    async with serving(echo, http=BoundedHead, ws="none") as url:
        yield url.removeprefix("http://").split(":")


async def served(address, data):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    writer.close()
    return int(head.split()[1]), body


@pytest.mark.parametrize("name", FLOODS)
async def test_a_head_without_end_is_given_up(address, name):
    begin, more = FLOODS[name]
    reader, writer = await asyncio.open_connection(*address)
    writer.write(begin)
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 50 * HEAD_BYTES and not reader.at_eof() and not writer.transport.is_closing():
            writer.write(more)
            await writer.drain()
            sent += len(more)
            await asyncio.sleep(0)
    assert sent < 50 * HEAD_BYTES
    writer.close()
    assert await served(address, OK) == (200, b"3")


async def test_long_bodies_and_many_requests_on_one_connection_are_no_heads(address):
    reader, writer = await asyncio.open_connection(*address)
    body = b"z" * 1_000_000
    for _ in range(3):
        writer.write(LINE + b"content-length: 1000000\r\nx-some: " + b"y" * 30_000 + b"\r\n\r\n" + body)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(7) == b"1000000"
    chunked = b"".join(b"3e8\r\n" + b"z" * 1_000 + b"\r\n" for _ in range(1_000)) + b"0\r\n\r\n"
    writer.write(LINE + b"transfer-encoding: chunked\r\n\r\n" + chunked)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await reader.readexactly(7) == b"1000000"
    writer.close()
