"""What leaves a sandbox by its listener, and what does not. The Internet is played on loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from swarmworks.policy.egress import places_of
from swarmworks.worker.egress import UNCLEAR, Egress, resolve, wants_proxy
from swarmworks.worker.relay import Relay
from tests.worker.test_relay import exits, gateways, listener

PUBLIC = "93.184.215.14"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Internet:
    """Names, what they resolve to each time they are asked, and one server behind all public addresses."""

    def __init__(self, **names):
        self.names = {host.replace("_", "."): list(answers) for host, answers in names.items()}
        self.dialled: list[tuple[str, int]] = []
        self.received = b""

    async def resolve(self, host, _port):
        answers = self.names.get(host)
        if not answers:
            raise OSError("unknown name")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def connect(self, address, port):
        self.dialled.append((address, port))
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def start(self, reply=ANSWER, close=True):
        async def talk(reader, writer):
            while chunk := await reader.read(1000):
                self.received += chunk
                writer.write(reply)
                await writer.drain()
                if close:
                    break
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server


async def gateway():
    async def talk(reader, writer):
        await reader.read(1000)
        writer.write(b"gateway")
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


@asynccontextmanager
async def sandbox(net, reach, places=None, **more):
    said = []
    server, behind = await net.start(**more), await gateway()
    inside = listener()
    egress = Egress(reach, said.append, places=places or {}, resolved=net.resolve, connected=net.connect)
    relay = Relay(inside, gateways(behind), exits(egress), lambda: None)
    await relay.start()

    async def ask(*parts):
        reader, writer = await asyncio.open_connection(*inside.getsockname())
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
        return answer

    ask.address = inside.getsockname()
    ask.said = said
    yield ask
    await relay.close()
    server.close()
    behind.close()


async def test_an_allowed_host_is_reached_at_the_address_that_was_checked_and_it_is_on_record():
    net = Internet(packages_test=[[PUBLIC]])
    async with sandbox(net, ["packages.test"]) as ask:
        answer = await ask(
            b"GET http://Packages.test:80/simple/?q=1 HTTP/1.1\r\nHost: evil.example\r\nProxy-Connection: keep-alive\r\n"
            b"X-One: 1\r\n\r\n"
        )
    assert answer == ANSWER
    assert net.dialled == [(PUBLIC, 80)]
    head, _, _ = net.received.partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"GET /simple/?q=1 HTTP/1.1",
        b"host: packages.test",
        b"x-one: 1",
        b"connection: close",
    ]
    (row,) = ask.said
    assert (row.to, row.verdict, row.address) == ("packages.test:80", "allowed", PUBLIC)


async def test_a_tunnel_carries_bytes_both_ways():
    net = Internet(packages_test=[[PUBLIC]])
    async with sandbox(net, ["packages.test"], reply=b"world", close=False) as ask:
        reader, writer = await asyncio.open_connection(*ask.address)
        writer.write(b"CONNECT packages.test:443 HTTP/1.1\r\nHost: packages.test:443\r\n\r\nhello")
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 200 Connection established\r\n\r\n"
            assert await reader.readexactly(5) == b"world"
            writer.write(b"again")
            assert await reader.readexactly(5) == b"world"
        writer.close()
    assert net.received == b"helloagain"
    assert net.dialled == [(PUBLIC, 443)]


@pytest.mark.parametrize(
    "target",
    [
        "other.org:443",
        "packages.test:22",
        "127.0.0.1:443",
        "169.254.169.254:80",
        "[::1]:443",
        "packages.test.other.org:443",
    ],
)
async def test_what_no_rule_names_is_refused_and_on_record(target):
    net = Internet(other_org=[[PUBLIC]])
    async with sandbox(net, ["packages.test"]) as ask:
        answer = await ask(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert net.dialled == []
    (row,) = ask.said
    assert (row.verdict, row.reason) == ("refused", "no rule of this role allows it")


async def test_without_rules_nothing_goes_out():
    net = Internet(packages_test=[[PUBLIC]])
    async with sandbox(net, []) as ask:
        assert b" 403 " in await ask(b"GET http://packages.test/ HTTP/1.1\r\n\r\n")
    assert net.dialled == []
    assert [row.verdict for row in ask.said] == ["refused"]


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.7", "169.254.169.254", "::ffff:127.0.0.1", "fd00::1"])
async def test_an_allowed_name_that_leads_inside_is_refused(address):
    net = Internet(packages_test=[[PUBLIC, address]])
    async with sandbox(net, ["packages.test"]) as ask:
        assert b" 403 " in await ask(b"CONNECT packages.test:443 HTTP/1.1\r\n\r\n")
    assert net.dialled == []
    assert address in ask.said[0].reason


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "127.1", "0"])
async def test_no_spelling_of_this_machine_is_reached_even_if_a_rule_names_it(host):
    """With the machine's own resolver."""
    net = Internet()
    net.resolve = resolve
    async with sandbox(net, [host]) as ask:
        assert b" 403 " in await ask(f"GET http://{host}/ HTTP/1.1\r\n\r\n".encode())
    assert net.dialled == []
    assert "no public address" in ask.said[0].reason


async def test_a_host_is_where_the_worker_s_operator_says_and_only_for_roles_that_may_reach_it():
    net = Internet()
    places = places_of("mirror.test=10.1.2.3:8080, other.test=10.1.2.4")
    async with sandbox(net, ["mirror.test"], places=places) as ask:
        assert await ask(b"GET http://mirror.test/ HTTP/1.1\r\n\r\n") == ANSWER
        assert b" 403 " in await ask(b"GET http://other.test/ HTTP/1.1\r\n\r\n")
        assert b" 403 " in await ask(b"GET http://10.1.2.3:8080/ HTTP/1.1\r\n\r\n")
    assert net.dialled == [("10.1.2.3", 8080)]
    assert net.received.startswith(b"GET / HTTP/1.1\r\nhost: mirror.test\r\n")
    assert [(row.to, row.verdict, row.address) for row in ask.said] == [
        ("mirror.test:80", "allowed", "10.1.2.3"),
        ("other.test:80", "refused", ""),
        ("10.1.2.3:8080", "refused", ""),
    ]


async def test_a_session_that_asks_without_end_gets_no_further_and_the_record_says_so(monkeypatch):
    monkeypatch.setattr("swarmworks.worker.egress.MOST_RECORDED", 3)
    net = Internet(packages_test=[[PUBLIC]])
    async with sandbox(net, ["packages.test"]) as ask:
        for _ in range(3):
            assert await ask(b"GET http://packages.test/ HTTP/1.1\r\n\r\n") == ANSWER
        for _ in range(2):
            assert b" 403 " in await ask(b"GET http://packages.test/ HTTP/1.1\r\n\r\n")
    assert len(net.dialled) == 3
    assert [row.verdict for row in ask.said] == [*["allowed"] * 3, "refused"]
    assert "3 times" in ask.said[-1].reason


async def test_a_name_that_changes_its_mind_gains_nothing():
    """Rebinding: the second look would lead inside; there is none."""
    net = Internet(packages_test=[[PUBLIC], ["127.0.0.1"]])
    async with sandbox(net, ["packages.test"]) as ask:
        assert await ask(b"GET http://packages.test/ HTTP/1.1\r\n\r\n") == ANSWER
        assert net.dialled == [(PUBLIC, 80)]
        assert b" 403 " in await ask(b"GET http://packages.test/ HTTP/1.1\r\n\r\n")
    assert net.dialled == [(PUBLIC, 80)]


async def test_a_body_goes_as_far_as_its_length_and_no_second_request_rides_on_it():
    net = Internet(packages_test=[[PUBLIC]])
    head = b"POST http://packages.test/up HTTP/1.1\r\ncontent-length: 5\r\n\r\n"
    async with sandbox(net, ["packages.test"]) as ask:
        assert await ask(head, b"12345GET /second HTTP/1.1\r\nhost: inner\r\n\r\n") == ANSWER
    assert net.received.endswith(b"\r\n\r\n12345")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET http://packages.test/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"411"),
        (b"GET http://packages.test/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET http://packages.test/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET http://packages.test/ HTTP/1.1\r\n folded: 1\r\n\r\n", b"400"),
        (b"GET http://packages.test/ HTTP/1.1\r\nbad name: 1\r\n\r\n", b"400"),
        (b"GET http://packages.test/ HTTP/1.1\nx: 1\r\n\r\n", b"400"),
        (b"GET http://user:word@packages.test/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http:/// HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT packages.test HTTP/1.1\r\n\r\n", b"400"),
        (b"CONNECT packages.test:99999 HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://packages.test/ HTTP/1.1\r\nx: " + b"y" * 40_000, b"431"),
    ],
)
async def test_what_could_be_read_in_two_ways_is_not_passed_on(request_, status):
    net = Internet(packages_test=[[PUBLIC]])
    async with sandbox(net, ["packages.test"]) as ask:
        assert (await ask(request_)).split(b" ")[1] == status
    assert net.dialled == []
    assert [(row.to, row.verdict) for row in ask.said] == [(UNCLEAR, "refused")]


async def test_the_gateway_is_where_it_was():
    net = Internet()
    async with sandbox(net, ["packages.test"]) as ask:
        assert await ask(b"POST /v1/messages HTTP/1.1\r\n\r\n") == b"gateway"
        assert await ask(b"PO", b"ST ", b"/v1 HTTP/1.1\r\n\r\n") == b"gateway"
        assert await ask(b"\x16\x03\x01 no http") == b"gateway"
    assert ask.said == []


@pytest.mark.parametrize("whole", [b"CONNECT a:1 HTTP/1.1", b"GET http://a/ HTTP/1.1", b"GET HTTP://a/ HTTP/1.1"])
def test_a_request_to_a_proxy_is_known_by_its_beginning(whole):
    told = [wants_proxy(whole[:length]) for length in range(len(whole) + 1)]
    assert told[-1] is True
    first = told.index(True)
    assert set(told[:first]) == {None}
    assert set(told[first:]) == {True}


async def test_a_name_that_cannot_be_resolved_and_a_host_that_does_not_answer():
    net = Internet(dead_org=[[PUBLIC, "8.8.8.8"]])

    async def nobody(address, port):
        net.dialled.append((address, port))
        raise ConnectionRefusedError

    net.connect = nobody
    async with sandbox(net, ["dead.org", "gone.org"]) as ask:
        assert b" 502 " in await ask(b"CONNECT dead.org:443 HTTP/1.1\r\n\r\n")
        assert b" 403 " in await ask(b"CONNECT gone.org:443 HTTP/1.1\r\n\r\n")
    assert net.dialled == [(PUBLIC, 443), ("8.8.8.8", 443)]
    assert "resolved" in ask.said[1].reason


@pytest.mark.parametrize("name", ["a..packages.test", f"{'x' * 64}.packages.test"])
async def test_a_name_that_is_not_well_formed_is_answered_and_on_record(name):
    net = Internet()
    net.resolve = resolve
    async with sandbox(net, ["*.packages.test"]) as ask:
        assert b" 403 " in await ask(f"CONNECT {name}:443 HTTP/1.1\r\n\r\n".encode())
    (row,) = ask.said
    assert (row.verdict, "not well formed" in row.reason) == ("refused", True)
