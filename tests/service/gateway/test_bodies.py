"""What many connections can make the gateway hold: bodies that come byte by byte, or wait, are bounded together."""

import asyncio
import gzip
import json

import pytest

from swarmworks.base.errors import RejectedError
from swarmworks.service.gateway.wire import read_body
from tests.service.gateway.plant import plant, quick
from tests.service.gateway.test_budget import until
from tests.service.gateway.test_large import padded
from tests.service.gateway.upstream import Answer

SIZE = 60_000


async def held_open(p, token, size):
    """A connection that has sent so many bytes of its body, and goes on later."""
    host, port = p.url.removeprefix("http://").split(":")
    _reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\ncontent-length: {2 * size}\r\n\r\n"
    before = p.gateway._bodies.held_bytes
    writer.write(head.encode() + b" " * size)
    await until(lambda: p.gateway._bodies.held_bytes == before + size)
    return writer


def crowded(answer):
    status, body, headers = answer
    return (status, json.loads(body)["error"]["code"], int(headers["retry-after"]) > 0) == (429, "bodies_busy", True)


async def test_bodies_that_do_not_end_leave_a_session_no_room_and_others_theirs():
    async with plant(sessions=2, settings=quick(session_bodies_bytes=2 * SIZE)) as p:
        open_ones = [await held_open(p, p.tokens[0], SIZE) for _ in range(2)]
        answer = await p.ask("openai")
        assert crowded(answer)
        assert "fewer calls at once" in json.loads(answer[1])["error"]["message"]
        assert (await p.ask("openai", token=p.tokens[1]))[0] == 200
        for writer in open_ones:
            writer.close()
        await until(lambda: p.gateway._bodies.held_bytes == 0)
        assert (await p.ask("openai"))[0] == 200


async def test_all_sessions_together_have_a_bound():
    async with plant(sessions=2, settings=quick(bodies_bytes=SIZE)) as p:
        writer = await held_open(p, p.tokens[0], SIZE)
        assert crowded(await p.ask("openai", token=p.tokens[1]))
        writer.close()


async def test_a_body_counts_unpacked_and_until_the_answer_begins():
    settings, gate = quick(session_bodies_bytes=SIZE + 1_000), asyncio.Event()
    headers = {"content-encoding": "gzip"}
    async with plant(settings=settings) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        data = gzip.compress(padded("openai", SIZE).replace(b"{", b'{"stream": true, ', 1))
        first = asyncio.create_task(p.ask("openai", data=data, headers=headers))
        await until(lambda: p.gateway._bodies.held_bytes >= SIZE)
        await p.upstream.streaming.wait()
        await until(lambda: p.gateway._bodies.held_bytes == 0)
        assert not first.done()
        gate.set()
        assert (await first)[0] == 200


async def test_a_body_that_comes_byte_by_byte_has_its_time():
    async def dripping():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(RejectedError, match="did not come within"):
        await read_body(dripping, {}, 10**9, idle_s=60, body_s=0.05, take=lambda _size: None)


async def test_what_finds_no_room_is_not_kept():
    async def piece():
        return {"type": "http.request", "body": b"x" * 10, "more_body": True}

    taken = []

    def take(size):
        if len(taken) == 3:
            raise RejectedError("no room")
        taken.append(size)

    with pytest.raises(RejectedError, match="no room"):
        await read_body(piece, {}, 10**9, idle_s=60, body_s=60, take=take)
    assert taken == [10, 10, 10]
