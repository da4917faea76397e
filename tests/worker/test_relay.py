import asyncio
import socket
from contextlib import AsyncExitStack, suppress

from swarmworks.base.clock import SystemClock
from swarmworks.wire.api import PlaneAddress
from swarmworks.worker.databases.proxy import DatabaseProxy
from swarmworks.worker.egress import Egress
from swarmworks.worker.gateways import GONE_S, Gateways
from swarmworks.worker.relay import Exits, Relay


def listener():
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.bind(("127.0.0.1", 0))
    found.listen()
    return found


def address(server):
    port = server.sockets[0].getsockname()[1]
    return PlaneAddress(api_url=f"http://plane-{port}", gateway_url=f"http://127.0.0.1:{port}")


def exits(egress):
    """No database beside it."""
    return Exits(egress, DatabaseProxy((), lambda _access: None))


def gateways(*servers, clock=None, current=0):
    planes = [address(server) for server in servers]
    found = Gateways(clock or SystemClock(), lambda: planes[current].api_url)
    found.learn(planes)
    return found


class Clock(SystemClock):
    def __init__(self):
        self.now_s = 0.0

    def monotonic(self):
        return self.now_s


async def echo(name):
    """A gateway that says its name to every piece that comes."""

    async def talk(reader, writer):
        while await reader.read(100):
            writer.write(name)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(talk, "127.0.0.1", 0)


class Sandbox:
    """The inner end of a relay."""

    def __init__(self, found):
        inside = listener()
        self.address = inside.getsockname()
        self.relay = Relay(inside, found, exits(Egress((), lambda _access: None)), lambda: None)

    async def __aenter__(self):
        await self.relay.start()
        return self

    async def __aexit__(self, *_):
        await self.relay.close()

    async def call(self):
        self.reader, self.writer = await asyncio.open_connection(*self.address)
        return await self.say()

    async def say(self):
        self.writer.write(b"call")
        return await self.reader.read(100)


async def test_the_next_connection_goes_to_a_living_gateway_when_the_first_is_gone():
    one, two = await echo(b"one"), await echo(b"two")
    async with Sandbox(gateways(one, two)) as sandbox:
        assert await sandbox.call() == b"one"
        sandbox.writer.close()
        one.close()
        assert await sandbox.call() == b"two"
        sandbox.writer.close()
    two.close()


async def test_the_gateway_beside_the_control_plane_that_answers_is_tried_first():
    one, two = await echo(b"one"), await echo(b"two")
    async with Sandbox(gateways(one, two, current=1)) as sandbox:
        assert await sandbox.call() == b"two"
        sandbox.writer.close()
    one.close()
    two.close()


async def test_with_no_gateway_at_all_the_agent_sees_a_broken_connection():
    one = await echo(b"one")
    found = gateways(one)
    one.close()
    await one.wait_closed()
    async with Sandbox(found) as sandbox:
        assert await sandbox.call() == b""
        sandbox.writer.close()


async def test_a_call_under_way_at_a_gateway_that_is_given_up_breaks_after_a_while_and_others_do_not():
    """A gateway that hangs would keep an agent waiting for ever; one that ends in order lets its calls finish."""
    clock = Clock()
    one, two = await echo(b"one"), await echo(b"two")
    found = gateways(one, two, clock=clock)
    async with Sandbox(found) as first, Sandbox(gateways(two)) as second:
        assert (await first.call(), await second.call()) == (b"one", b"two")
        found.learn([address(two)])
        clock.now_s += GONE_S / 2
        found.learn([address(two)])
        assert await first.say() == b"one"
        clock.now_s += GONE_S
        found.learn([address(two)])
        assert await first.reader.read() == b""
        assert await second.say() == b"two"
        first.writer.close()
        assert await first.call() == b"two"
        first.writer.close()
        second.writer.close()
    one.close()
    two.close()


async def test_what_is_new_at_a_gateway_that_is_cut_again_breaks_too_although_older_lines_ended_meanwhile():
    clock = Clock()
    one, two = await echo(b"one"), await echo(b"two")
    found = gateways(one, two, clock=clock)

    def give_up_the_first():
        found.learn([address(two)])
        clock.now_s += GONE_S
        found.learn([address(two)])

    async with AsyncExitStack() as old:
        await old.enter_async_context(found.line())
        give_up_the_first()
        found.learn([address(one), address(two)])
        async with found.line() as (reader, _):
            await old.aclose()
            give_up_the_first()
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 5) == b""
    one.close()
    two.close()


async def test_a_gateway_that_was_missing_for_a_moment_keeps_its_calls():
    clock = Clock()
    one, two = await echo(b"one"), await echo(b"two")
    found = gateways(one, two, clock=clock)
    async with Sandbox(found) as sandbox:
        await sandbox.call()
        found.learn([address(two)])
        found.learn([address(one), address(two)])
        clock.now_s += 2 * GONE_S
        found.learn([address(two)])
        assert await sandbox.say() == b"one"
        sandbox.writer.close()
    one.close()
    two.close()


async def test_an_answer_that_comes_in_pieces_is_a_sign_of_life_and_a_request_is_none():
    signs = []
    go_on = asyncio.Event()

    async def gateway(reader, writer):
        assert await reader.readexactly(4) == b"call"
        await go_on.wait()
        for piece in (b"think", b"ing"):
            writer.write(piece)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(gateway, "127.0.0.1", 0)
    inside = listener()
    address = inside.getsockname()
    relay = Relay(inside, gateways(server), exits(Egress((), signs.append)), lambda: signs.append("answered"))
    await relay.start()
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"call")
    await writer.drain()
    assert signs == []
    go_on.set()
    assert await reader.read() == b"thinking"
    assert signs
    writer.close()
    await relay.close()
    server.close()
