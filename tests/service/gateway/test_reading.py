"""Requests that are long to read: the control plane's loop goes on meanwhile, and no session waits for another's many."""

import asyncio
import json
import threading

import pytest

from swarmworks.base.ids import SessionId
from swarmworks.provider.jsonbody import MOST_VALUES
from swarmworks.service.gateway.reading import LARGE_BYTES, Reading
from swarmworks.service.gateway.routes import CHAT, GEMINI, MESSAGES, RESPONSES
from tests.service.gateway.plant import KINDS, plant, vendor
from tests.service.gateway.test_large import padded
from tests.service.gateway.upstream import Answer

WIRES = {"openai": CHAT, "responses": RESPONSES, "anthropic": MESSAGES, "google": GEMINI}


@pytest.fixture
def threads(monkeypatch):
    """Those that read and wrote a body, by what they did."""
    found = []
    for wire in {type(wire): wire for wire in WIRES.values()}:
        for name in ("read", "rewrite", "counted", "to_count"):
            monkeypatch.setattr(wire, name, _told(found, name, getattr(wire, name)))
    return found


def _told(found, name, act):
    def told(*args, **more):
        found.append((name, threading.current_thread() is threading.main_thread()))
        return act(*args, **more)

    return told


@pytest.mark.parametrize("kind", KINDS)
async def test_a_large_request_is_read_and_written_off_the_loop_and_a_small_one_on_it(kind, threads):
    async with plant(kind, limit=10**15) as p:
        assert (await p.ask(kind, data=padded(kind, LARGE_BYTES + 1_000)))[0] == 200
        assert {name for name, _main in threads} >= {"read", "rewrite"}
        assert not any(main for _name, main in threads)
        threads.clear()
        assert (await p.ask(kind))[0] == 200
        assert all(main for _name, main in threads)


async def test_a_large_request_that_is_counted_or_clamped_is_read_again_off_the_loop(threads):
    data = padded("anthropic", LARGE_BYTES + 1_000).replace(b'"max_tokens": 50', b'"max_tokens": 31000')
    limit = 3_000 * 20_000 + 15_000 * 3_000  # counted the input fits, and a part of the output
    async with plant("anthropic", limit=limit, published=vendor("anthropic", counts=True)) as p:
        p.upstream.script = lambda number, body: Answer(counts=800)
        assert (await p.ask("anthropic", data=data))[0] == 200
        names = [name for name, _main in threads]
        assert "to_count" in names
        assert names.count("rewrite") == 2
        assert not any(main for _name, main in threads)


async def test_tokens_of_a_large_request_are_counted_off_the_loop(threads):
    body = {"messages": [{"role": "user", "content": "a" * LARGE_BYTES}]}
    async with plant("anthropic") as p:
        headers = {"x-api-key": p.tokens[0]}
        async with p.client.post(f"{p.url}/v1/messages/count_tokens", json=body, headers=headers) as response:
            assert response.status == 200
    assert threads
    assert not any(main for _name, main in threads)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_body_of_countless_values_is_refused_in_the_providers_own_words(kind):
    field = {"responses": "input", "google": "contents"}.get(kind, "messages")
    async with plant(kind) as p:
        data = f'{{"{field}": [{"{}," * MOST_VALUES}{{}}]}}'.encode()
        status, body, headers = await p.ask(kind, data=data)
        assert (status, headers["x-should-retry"]) == (400, "false")
        assert "JSON values" in json.loads(body)["error"]["message"]
        assert p.ids.made == []
        assert p.upstream.received == []


async def test_a_large_request_that_is_nested_too_deeply_is_refused():
    within = '{"type": "tool_result", "content": ['
    text = json.dumps({"type": "text", "text": "a" * LARGE_BYTES})
    content = within * 450 + text + "]}" * 450
    data = f'{{"messages": [{{"role": "user", "content": [{content}]}}], "max_tokens": 5}}'.encode()
    async with plant("anthropic") as p:
        status, told, _headers = await p.ask("anthropic", data=data)
        assert (status, b"nested too deeply" in told) == (400, True)


async def test_a_session_has_one_large_request_in_the_line_whatever_it_sends():
    reading, order = Reading(), []
    begun, go_on = threading.Event(), threading.Event()

    def first():
        begun.set()
        go_on.wait(20)
        order.append("greedy")

    greedy = [asyncio.create_task(reading.run(SessionId("a"), LARGE_BYTES + 1, first)) for _ in range(5)]
    assert await asyncio.to_thread(begun.wait, 20)
    other = asyncio.create_task(reading.run(SessionId("b"), LARGE_BYTES + 1, lambda: order.append("other")))
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(other, *greedy)
    reading.close()
    assert order.index("other") == 1
