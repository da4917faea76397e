"""Providers that answer with anything but an answer: charged in full, explained to the client, the next call is served."""

import json

import pytest

from tests.service.gateway.plant import KINDS, RATE_IN, RATE_OUT, plant, quick
from tests.service.gateway.raw import RawUpstream, http
from tests.service.gateway.upstream import Answer, chat_json, generate_json, message_json, response_json

WHOLE = dict(zip(KINDS, (chat_json, response_json, message_json, generate_json), strict=True))
SSE = "text/event-stream"
CUT = {
    "not http": b"who are you?\r\n\r\n",
    "nothing": b"",
    "a status line without end": b"HTTP/1.1 200 " + b"x" * 200_000,
    "a header too long": http(b"{}", b"x-long: " + b"y" * 200_000),
    "very many headers": http(b"{}", *(b"x-%d: %s" % (number, b"y" * 1_000) for number in range(20_000))),
    "a body shorter than said": http(b'{"a":1', b"content-length: 900", length=False),
    "a broken chunk": http(b"zz\r\nno\r\n", b"transfer-encoding: chunked", length=False),
    "broken gzip": http(b"not gzip", b"content-encoding: gzip"),
    "an error page": http(b"<html>sorry</html>", content_type="text/html"),
    "an empty answer": http(b""),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not json": http(b"{'a': 1}"),
    "json that is no object": http(b"[1]"),
    "a status nobody knows": http(b"{}", status="999 What"),
    "another protocol": http(b"", status="101 Switching Protocols"),
    "a redirect": http(b"", b"location: http://127.0.0.1:1/", status="302 Found"),
}


def usage_of(answer):
    return answer.get("usage") or answer["usageMetadata"]


def unavailable(kind):
    return 529 if kind == "anthropic" else 503


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", CUT)
async def test_what_is_no_answer_is_charged_in_full_and_told_in_the_vendors_shape(kind, stream, name):
    async with RawUpstream(CUT[name]) as raw, plant(kind, base_url=raw.url, settings=quick(idle_s=2)) as p:
        status, body, headers = await p.ask(kind, {"stream": stream})
        assert status == unavailable(kind)
        assert json.loads(body)["error"]["message"]
        assert int(headers["retry-after"]) > 0
        [call] = await p.recorded(1)
        assert call.estimated
        assert call.settled == call.reserved
        assert len(raw.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error_in_an_answer_of_200_is_passed_on_and_charged_in_full(kind):
    async with RawUpstream(http(b'{"error": {"message": "not today"}}')) as raw, plant(kind, base_url=raw.url) as p:
        status, body, _headers = await p.ask(kind)
        assert (status, json.loads(body)["error"]["message"]) == (200, "not today")
        [call] = await p.recorded(1)
        assert call.settled == call.reserved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("content_type", [SSE, "application/json"])
async def test_an_answer_without_end_and_without_a_line_is_cut_and_charged_in_full(kind, content_type):
    head = http(b"", content_type=content_type, length=False)
    settings = quick(answer_bytes=300_000)
    async with RawUpstream(head, endless=b"x" * 50_000) as raw, plant(kind, base_url=raw.url, settings=settings) as p:
        status, body, _headers = await p.ask(kind, {"stream": True})
        assert b"300000 bytes" in body
        assert status == unavailable(kind)  # nothing of it has reached the client
        [call] = await p.recorded(1)
        assert call.settled == call.reserved
        assert call.refusal in ("cut", "unavailable")


async def test_a_stream_of_events_without_end_is_cut_and_charged_in_full():
    head = http(b"", content_type=SSE, length=False)
    event = b'data: {"choices":[{"index":0,"delta":{"content":"x"}}]}\n\n' * 100
    settings = quick(stream_bytes=300_000)
    async with RawUpstream(head, endless=event) as raw, plant(base_url=raw.url, settings=settings) as p:
        status, body, _headers = await p.ask("openai", {"stream": True})
        assert status == 200
        assert b"stream_cut" in body[-300:]
        [call] = await p.recorded(1)
        assert call.settled == call.reserved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [10**30, 2_000_000_000, -1, 1.5, "7", True, None, [7]])
async def test_a_count_that_is_none_is_charged_in_full(kind, count):
    answer = WHOLE[kind](Answer())
    usage = usage_of(answer)
    for field in usage:
        if isinstance(usage[field], int):
            usage[field] = count
    async with RawUpstream(http(json.dumps(answer).encode())) as raw, plant(kind, base_url=raw.url) as p:
        assert (await p.ask(kind))[0] == 200
        [call] = await p.recorded(1)
        assert call.estimated
        assert call.settled == call.reserved


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_provider_that_counts_nothing_is_charged_in_full(kind, stream):
    async with plant(kind) as p:
        p.upstream.script = lambda number, body: Answer(prompt=0, completion=0)
        assert (await p.ask(kind, {"stream": stream}))[0] == 200
        [call] = await p.recorded(1)
        assert call.estimated
        assert call.settled == call.reserved


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\tb", b"r" * 5_000, "ü".encode()])
async def test_whatever_id_a_provider_gives_its_answer_the_call_is_settled(name):
    body = json.dumps(chat_json(Answer())).encode()
    async with RawUpstream(http(body, b"request-id: " + name)) as raw, plant(base_url=raw.url) as p:
        assert (await p.ask("openai"))[0] == 200
        [call] = await p.recorded(1)
        assert call.settled.nano_usd == 10 * RATE_IN + 5 * RATE_OUT


async def test_an_answer_nobody_asked_for_is_not_the_next_calls():
    first, second = (json.dumps(chat_json(Answer(texts=(text,)))).encode() for text in ("first", "smuggled"))
    async with RawUpstream(http(first) + http(second), http(first), keep=True) as raw, plant(base_url=raw.url) as p:
        for number in (1, 2):
            status, body, _headers = await p.ask("openai")
            assert b"smuggled" not in body
            assert status in (200, 503)
            call = (await p.recorded(number))[-1]
            assert call.estimated == (status == 503)


async def test_hints_before_an_answer_are_no_answer():
    hints = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" * 3
    body = json.dumps(chat_json(Answer())).encode()
    async with RawUpstream(hints + http(body)) as raw, plant(base_url=raw.url) as p:
        assert (await p.ask("openai"))[0] == 200
        [call] = await p.recorded(1)
        assert not call.estimated


async def test_hints_without_end_are_given_up_and_charged_in_full():
    hint = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    settings = quick(first_byte_s=0.3)
    async with RawUpstream(hint, endless=hint * 100) as raw, plant(base_url=raw.url, settings=settings) as p:
        assert (await p.ask("openai"))[0] == 503
        [call] = await p.recorded(1)
        assert call.settled == call.reserved
