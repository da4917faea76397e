"""A role's way out: through the relay, to the hosts it may reach and to no other."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from swarmworks.worker.reaching import Wanted, allows, wanted
from swarmworks.worker.relay import Relay
from tests.worker.test_relay import echo, gateways, listener


@asynccontextmanager
async def relayed(reach, *servers):
    inside = listener()
    relay = Relay(inside, gateways(*servers), lambda: None, reach)
    await relay.start()
    try:
        yield inside.getsockname()
    finally:
        await relay.close()
        for server in servers:
            server.close()


async def ask(address, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    writer.write_eof()
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return answer


async def host(seen: list[bytes]):
    async def talk(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


async def test_an_allowed_host_is_reached_and_sees_a_plain_request():
    seen: list[bytes] = []
    there, gateway = await host(seen), await echo(b"gateway")
    port = there.sockets[0].getsockname()[1]
    async with relayed((f"127.0.0.1:{port}",), gateway) as address:
        request = f"GET http://127.0.0.1:{port}/a?b HTTP/1.1\r\nHost: x\r\nProxy-Authorization: secret\r\n\r\n"
        assert (await ask(address, request.encode())).endswith(b"hi")
    there.close()
    assert seen[0].startswith(b"GET /a?b HTTP/1.1\r\n")
    assert b"Host: x" in seen[0]
    assert b"secret" not in seen[0]


async def test_a_tunnel_carries_bytes_both_ways():
    there, gateway = await echo(b"there"), await echo(b"gateway")
    port = there.sockets[0].getsockname()[1]
    async with relayed((f"127.0.0.1:{port}",), gateway) as address:
        answer = await ask(address, f"CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\nhello".encode())
    there.close()
    assert answer == b"HTTP/1.1 200 Connection established\r\n\r\nthere"


@pytest.mark.parametrize("method", ["CONNECT 127.0.0.1:{port}", "GET http://127.0.0.1:{port}/"])
async def test_another_host_is_refused_and_never_connected_to(method):
    seen: list[bytes] = []
    there, gateway = await host(seen), await echo(b"gateway")
    port = there.sockets[0].getsockname()[1]
    async with relayed(("docs.python.org",), gateway) as address:
        answer = await ask(address, f"{method.format(port=port)} HTTP/1.1\r\n\r\n".encode())
    there.close()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert seen == []


async def test_a_name_that_leads_to_this_machine_is_refused():
    seen: list[bytes] = []
    there, gateway = await host(seen), await echo(b"gateway")
    port = there.sockets[0].getsockname()[1]
    async with relayed((f"localhost:{port}",), gateway) as address:
        answer = await ask(address, f"CONNECT localhost:{port} HTTP/1.1\r\n\r\n".encode())
    there.close()
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert seen == []


async def test_what_is_for_the_gateway_arrives_there_whole():
    gateway = await echo(b"gateway")
    async with relayed(("docs.python.org",), gateway) as address:
        assert await ask(address, b"POST /v1/messages HTTP/1.1\r\n\r\nbody") == b"gateway"


async def test_a_role_that_reaches_nothing_has_no_proxy():
    gateway = await echo(b"gateway")
    async with relayed((), gateway) as address:
        assert await ask(address, b"CONNECT docs.python.org:443 HTTP/1.1\r\n\r\n") == b"gateway"


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("docs.python.org", "docs.python.org", 443, True),
        ("docs.python.org", "docs.python.org", 80, True),
        ("docs.python.org", "docs.python.org", 22, False),
        ("docs.python.org:8443", "docs.python.org", 8443, True),
        ("docs.python.org:8443", "docs.python.org", 443, False),
        ("*.python.org", "docs.python.org", 443, True),
        ("*.python.org", "python.org", 443, False),
        ("*.python.org", "evilpython.org", 443, False),
        ("python.org", "docs.python.org", 443, False),
        ("DOCS.python.org", "docs.python.org", 443, True),
    ],
)
def test_which_hosts_an_entry_allows(entry, host, port, allowed):
    assert allows((entry,), host, port) is allowed


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"CONNECT Example.org.:443 HTTP/1.1", ("example.org", 443)),
        (b"CONNECT [::1]:8080 HTTP/1.1", ("::1", 8080)),
        (b"GET http://user:pass@example.org/ HTTP/1.1", ("example.org", 80)),
        (b"GET http://example.org@127.0.0.1:99/ HTTP/1.1", ("127.0.0.1", 99)),
    ],
)
def test_the_host_a_request_means(line, expected):
    asked = wanted(line + b"\r\n\r\n")
    assert isinstance(asked, Wanted)
    assert (asked.host, asked.port) == expected


@pytest.mark.parametrize("head", [b"", b"\x16\x03\x01", b"GET /v1 HTTP/1.1\r\n\r\n", b"GET ftp://x/ HTTP/1.1\r\n\r\n"])
def test_everything_else_is_the_gateways(head):
    assert wanted(head) is None
