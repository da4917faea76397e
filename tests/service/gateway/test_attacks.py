"""An agent that wants a call for nothing, a call without a bound, or the gateway down: refused, and nothing is sent."""

import asyncio
import json

import pytest

from swarmworks.domain.session import SessionLimits, SessionOutcome
from tests.service.gateway.plant import HELLO, KINDS, PATHS, plant, worded
from tests.service.gateway.raw import exchange
from tests.service.gateway.upstream import Answer

CHAT = PATHS["openai"]
BODY = json.dumps({"model": "m", "max_tokens": 50, **HELLO}).encode()


def request(p, *headers, body=BODY, line=f"POST {CHAT} HTTP/1.1", length=None, token=True, last=True):
    lines = [line, "host: x", *headers]
    if last:
        lines.append("connection: close")
    if token:
        lines.append(f"x-api-key: {p.tokens[0]}")
    if length is not False:
        lines.append(f"content-length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def statuses(told):
    return [int(part[:3]) for part in told.split(b"HTTP/1.1 ")[1:]]


UNBOUNDED = {
    "n": (True, 0, -1, 1.0, 1e3, "1", [1], 10**30, 129),
    "max_tokens": (True, 0, -5, 50.0, 1e2, "50", "\uff15\uff10", [50], {"x": 1}, 10**30),
    "max_completion_tokens": (False, -1, 0.5, 2**63),
    "stream": (1, "true", "false", 0, [], {}),
    "messages": ("hello", {"role": "user"}, [[]], ["x"], 5),
    "service_tier": ("priority", ["auto"], 1, True),
    "audio": ({"voice": "x"},),
    "prediction": ({"type": "content", "content": "x"},),
    "web_search_options": ({"x": 1},),
    "best_of": (20, 0),
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, each in UNBOUNDED.items() for value in each])
async def test_a_number_that_is_none_or_bounds_nothing_is_refused_by_its_name(field, value):
    async with plant() as p:
        status, body, headers = await p.ask("openai", {field: value})
        assert (status, headers["x-should-retry"]) == (400, "false")
        assert field in json.loads(body)["error"]["message"]
        assert p.upstream.received == []
        assert p.ids.made == []


TWO_WAYS = (
    b'{"max_tokens": 5, "max_tokens": 500000}',
    b'{"max_tokens": 5, "max_\\u0074okens": 500000}',
    b'{"max_tokens": 5, "MAX_TOKENS": null}',
    b'{"max_tokens": 5, "Max_Tokens": 500000}',
    b'{"max_tokens": 5} {"max_tokens": 500000}',
    b'\xef\xbb\xbf{"max_tokens": 5}',
    b'{"max_tokens": 5, "messages": [{"role": "user", "content": "x", "content": "y"}]}',
    b'{"max_tokens": NaN}',
    b'{"max_tokens": \xd9\xa5}',
    b'{"max_tokens": 05}',
    b'{"max_tokens": 5,}',
    b"{'max_tokens': 5}",
    b'{"max_tokens": 5, "x\xff": 1}',
    '{"max_tokens": 5}'.encode("utf-16"),
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"messages": ' + b"[" * 980 + b"]" * 980 + b"}",
    b"",
    b"null",
)


@pytest.mark.parametrize("body", TWO_WAYS, ids=range(len(TWO_WAYS)))
async def test_a_body_that_two_readers_would_read_differently_is_refused(body):
    async with plant() as p:
        told = await exchange(p.url, request(p, body=body))
        assert statuses(told) == [400]
        assert p.upstream.received == []
        assert p.ids.made == []


async def test_however_deeply_a_request_is_nested_it_is_sent_or_refused_and_nothing_stays_reserved():
    """One depth can be read and not be written again."""
    call = {
        "contents": [{"parts": [{"text": "é"}]}],
        "generationConfig": {"maxOutputTokens": 9_999, "responseSchema": 7},
    }
    found = set()
    async with plant("google") as p:
        for depth in range(850, 1_000):
            schema = '{"a":' * depth + "{}" + "}" * depth
            found.add((await p.ask("google", data=json.dumps(call).replace("7", schema, 1).encode()))[0])
        await p.recorded(150)
    assert found == {200, 400}


INNER = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    "headers",
    [
        ("content-length: 5", "transfer-encoding: chunked"),
        ("transfer-encoding: chunked", "transfer-encoding: identity"),
        ("transfer-encoding: xchunked",),
        ("content-length: +5",),
        ("content-length: 5", "content-length: 6"),
        ("content-length : 5",),
        ("content-length: 5\r\n x",),
        ("content-length: 99999999999999999999999",),
    ],
)
async def test_a_request_with_two_lengths_is_no_request(headers):
    async with plant() as p:
        told = await exchange(p.url, request(p, *headers, length=False, body=b"0\r\n\r\n" + INNER))
        assert 200 not in statuses(told)
        assert p.upstream.received == []


async def test_each_request_of_a_pipeline_shows_its_own_token():
    async with plant() as p:
        told = await exchange(p.url, request(p, last=False) + request(p, token=False, last=False) + request(p))
        assert statuses(told) == [200, 401, 200]
        assert len(await p.recorded(2)) == len(p.upstream.received) == 2


async def test_a_pipeline_does_not_pass_the_limit_of_calls():
    async with plant(limits=SessionLimits(calls=3)) as p:
        told = await exchange(p.url, request(p, last=False) * 5 + request(p))
        assert statuses(told) == [200] * 3 + [400] * 3
        assert len(p.upstream.received) == 3


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "PATCH"])
@pytest.mark.parametrize("kind", KINDS)
async def test_no_other_method_makes_a_call(kind, method):
    async with plant(kind) as p:
        headers = {"x-api-key": p.tokens[0]}
        async with p.client.request(method, p.url + PATHS[kind], headers=headers, json=worded(kind, {})) as response:
            assert response.status == 404
        assert p.upstream.received == []


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions",
        "/v1/chat/completions/",
        "/v1/../v1/chat/completions",
        "/v1/chat/completions;x",
        "/V1/chat/completions",
        "/v1/batches",
        "/v1/files",
        "/v1/embeddings",
        "/v1/messages/batches",
        "/v1/realtime",
        "/v1/responses/resp_1",
        "/v1beta/models/a:predictLongRunning",
        "/v1beta/models/a/b:generateContent",
        "/v1beta/models/a:generateContent:generateContent",
        "/v1beta/cachedContents",
        "/v1beta/models/a:generateContent%0d%0ax",
        "/v1beta/models/a:batchGenerateContent",
        "http://other.example/v1/files",
    ],
)
async def test_no_other_path_leads_anywhere(path):
    async with plant() as p:
        told = await exchange(p.url, request(p, line=f"POST {path} HTTP/1.1"))
        assert statuses(told) in ([404], [400])
        assert p.upstream.received == []
        assert p.ids.made == []


@pytest.mark.parametrize(
    "query", ["?key=sk-mine", "?model=dearer", "?alt=media&max_tokens=9", "?$alt=json", "?%00", "?" + "a&" * 900]
)
async def test_a_query_decides_nothing_and_goes_nowhere(query):
    async with plant() as p:
        told = await exchange(p.url, request(p, line=f"POST {CHAT}{query} HTTP/1.1"))
        assert statuses(told) == [200]
        [received] = p.upstream.received
        assert received.json["model"] == "real-model"
        [call] = await p.recorded(1)
        assert not call.estimated


@pytest.mark.parametrize("path", [CHAT, "/", "/v1/realtime"])
async def test_an_upgrade_to_a_websocket_is_refused(path):
    async with plant() as p:
        upgrade = (
            "upgrade: websocket",
            "connection: upgrade",
            "sec-websocket-version: 13",
            "sec-websocket-key: " + "A" * 22 + "==",
        )
        told = await exchange(p.url, request(p, *upgrade, line=f"GET {path} HTTP/1.1", body=b"", last=False))
        assert statuses(told)[0] in (403, 404, 200)
        assert b" 101 " not in told
        assert p.upstream.received == []


async def test_parallel_calls_at_the_limit_pass_it_by_none():
    async with plant(limits=SessionLimits(calls=7), sessions=1) as p:
        answers = await asyncio.gather(*(p.ask("openai") for _ in range(30)))
        assert sorted(status for status, _body, _headers in answers) == [200] * 7 + [400] * 23
        assert len(p.upstream.received) == 7


TOKENS = {
    "forged": "swk_9999",
    "empty": "",
    "the digest of a token": "8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1",
    "longer": "swk_0" + "0" * 5_000,
    "another case": "SWK_0",
    "a wildcard": "%",
    "sql": "' OR 1=1 --",
    "not ascii": "swk_\u00e90",
}


@pytest.mark.parametrize("name", TOKENS)
@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key"])
async def test_a_token_that_nobody_gave_out_is_refused(name, header):
    async with plant() as p:
        value = f"Bearer {TOKENS[name]}" if header == "authorization" else TOKENS[name]
        async with p.client.post(p.url + CHAT, data=BODY, headers={header: value}) as response:
            assert response.status == 401
            assert response.headers["x-should-retry"] == "false"
            assert "token" in (await response.json())["error"]["message"]
        assert p.upstream.received == []
        assert p.ids.made == []


@pytest.mark.parametrize("outcome", [SessionOutcome.SUBMITTED, SessionOutcome.KILLED, SessionOutcome.LOST])
async def test_the_token_of_a_session_that_ended_is_refused_and_what_it_had_sent_is_charged(outcome):
    gate = asyncio.Event()
    async with plant(sessions=2) as p:
        p.upstream.script = lambda number, body: Answer(gate=gate)
        under_way = asyncio.create_task(p.ask("openai"))
        await p.upstream.streaming.wait()
        await p.store.transact(lambda tx: tx.end_session(p.sessions[0], outcome, None))
        assert (await p.ask("openai"))[0] == 401
        gate.set()
        assert (await under_way)[0] == 200
        [call] = await p.recorded(1)
        assert call.settled.tokens == 15
        assert len(p.upstream.received) == 1
        assert (await p.ask("openai", token=p.tokens[1]))[0] == 200
