"""What a client gets, what the provider sees, and what is booked."""

import asyncio
import gzip
import json
import zlib

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.session import SessionLimits, SessionOutcome
from swarmworks.policy.bound import Shape, text_bytes, worst_case
from swarmworks.service.gateway.ledger import Ledger
from tests.service.gateway.plant import HELLO, KEY, KINDS, PATHS, PRICE, RATE_IN, RATE_OUT, plant, quick, worded
from tests.service.gateway.upstream import Answer

EXACT = 10 * RATE_IN + 5 * RATE_OUT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_is_relayed_and_booked_to_the_nano_dollar(kind, stream):
    async with plant(kind) as p:
        status, body, headers = await p.ask(kind, {"stream": stream})
        assert status == 200
        assert b"hel" in body
        assert headers["request-id"] == "req_1"
        assert "secret-header" not in headers
        [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.settled.tokens) == (EXACT, 15)
        assert (call.status, call.estimated, call.refusal, call.stop) == (200, False, None, False)
        assert (call.usage.input_tokens, call.usage.output_tokens) == (10, 5)
        assert (await p.totals()).spent.nano_usd == EXACT
        assert (await p.reservations())[0].provider_request_id == "req_1"
        assert await p.gateway.last_call_at(p.sessions[0]) is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_the_worst_case_of_the_bytes_is_what_was_reserved(kind):
    async with plant(kind) as p:
        raw = json.dumps(worded(kind, {})).encode()
        await p.ask(kind, data=raw)
        [call] = await p.recorded(1)
        shape = Shape(text_bytes=text_bytes(raw, raw.decode(), {}), output_cap=50)
        assert call.reserved == worst_case(shape, PRICE)


@pytest.mark.parametrize("kind", KINDS)
async def test_the_provider_sees_its_own_key_the_sessions_model_and_no_other_header(kind):
    async with plant(kind) as p:
        await p.ask(kind, headers={"x-client-secret": "1", "cookie": "a=b", "anthropic-beta": "some-beta"})
        [received] = p.upstream.received
        assert "real-model" in (received.path if kind == "google" else received.json["model"])
        header = {"anthropic": "x-api-key", "google": "x-goog-api-key"}.get(kind, "authorization")
        assert received.headers[header].endswith(KEY)
        assert p.tokens[0] not in str(received.headers)
        assert "x-client-secret" not in received.headers
        assert "cookie" not in received.headers
        assert received.headers["accept-encoding"] == "identity"
        assert received.headers["anthropic-beta"] == "some-beta"


async def test_usage_is_asked_for_and_hidden_from_a_client_that_did_not():
    async with plant() as p:
        _status, hidden, _headers = await p.ask("openai", {"stream": True})
        _status, shown, _headers = await p.ask("openai", {"stream": True, "stream_options": {"include_usage": True}})
        assert b"prompt_tokens" not in hidden
        assert hidden.endswith(b"data: [DONE]\n\n")
        assert b"prompt_tokens" in shown
        assert all(received.json["stream_options"] == {"include_usage": True} for received in p.upstream.received)
        await p.recorded(2)
        assert (await p.totals()).spent.nano_usd == 2 * EXACT


@pytest.mark.parametrize("kind", KINDS)
async def test_a_missing_output_cap_is_injected_and_told(kind):
    async with plant(kind) as p:
        _status, _body, headers = await p.ask(kind, {"max_tokens": None})
        assert b"8192" in p.upstream.received[0].body
        assert headers["x-swarmworks-output-cap"] == "8192"


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", lambda data: zlib.compress(data, wbits=-15))],
)
async def test_a_packed_body_is_bounded_by_what_it_unpacks_to(encoding, pack):
    async with plant() as p:
        raw = json.dumps({"max_tokens": 5, "messages": [{"role": "user", "content": "a" * 50_000}]}).encode()
        status, _body, _headers = await p.ask("openai", data=pack(raw), headers={"content-encoding": encoding})
        assert status == 200
        [call] = await p.recorded(1)
        assert call.reserved.tokens > len(raw)
        assert "a" * 50_000 in p.upstream.received[0].json["messages"][0]["content"]


async def test_ten_megabytes_pass_and_one_more_does_not():
    async with plant(limit=10**15, settings=quick(body_bytes=10_000_000)) as p:
        frame = len(json.dumps({"max_tokens": 5, "messages": [{"role": "user", "content": ""}]}))
        for size, expected in ((10_000_000 - frame, 200), (10_000_001 - frame, 413)):
            body = {"max_tokens": 5, "messages": [{"role": "user", "content": "a" * size}]}
            status, _body, _headers = await p.ask("openai", data=json.dumps(body).encode())
            assert status == expected
        bomb = gzip.compress(b" " * 10_000_001)
        status, _body, _headers = await p.ask("openai", data=bomb, headers={"content-encoding": "gzip"})
        assert status == 413
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip"])
async def test_a_body_that_cannot_be_unpacked_is_refused(encoding):
    async with plant() as p:
        status, _body, _headers = await p.ask("openai", data=b"not packed", headers={"content-encoding": encoding})
        assert status == 400
        assert p.upstream.received == []


async def test_models_lists_the_sessions_model_in_both_shapes():
    async with plant() as p:
        for headers in ({}, {"anthropic-version": "2023-06-01"}):
            token = {"x-api-key": p.tokens[0], **headers}
            async with p.client.get(f"{p.url}/v1/models", headers=token) as response:
                listed = await response.json()
            assert [entry["id"] for entry in listed["data"]] == ["real-model"]


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("anthropic", "/v1/messages/count_tokens", {"model": "x", **HELLO}),
        ("google", "/v1beta/models/x:countTokens", {"generateContentRequest": {"model": "models/x", "contents": []}}),
    ],
)
async def test_counting_tokens_is_forwarded_free_and_bounded(kind, path, body):
    async with plant(kind, settings=quick(counts_per_session=1)) as p:
        headers = {"x-api-key": p.tokens[0]}
        async with p.client.post(p.url + path, json=body, headers=headers) as response:
            assert (await response.json())["totalTokens"] == 42
        async with p.client.post(p.url + path, json=body, headers=headers) as response:
            assert response.status == 400
        [received] = p.upstream.received
        named = received.json.get("generateContentRequest", received.json)["model"]
        assert named.removeprefix("models/") == "real-model"
        p.upstream.received.clear()
        assert p.ids.made == []


async def test_geminis_models_and_the_form_of_its_streams():
    async with plant("google") as p:
        headers = {"x-goog-api-key": p.tokens[0]}
        async with p.client.get(f"{p.url}/v1beta/models", headers=headers) as response:
            assert [entry["name"] for entry in (await response.json())["models"]] == ["models/real-model"]
        url = f"{p.url}/v1beta/models/any:streamGenerateContent"
        async with p.client.post(url, json=worded("google", {}), headers=headers) as response:
            told = (await response.json())["error"]
        assert (told["code"], told["status"]) == (400, "INVALID_ARGUMENT")
        assert "alt=sse" in told["message"]
        assert p.upstream.received == []


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer nonsense"}, {"x-api-key": "other"}])
async def test_without_a_valid_token_nothing_happens(headers):
    async with plant() as p:
        async with p.client.post(p.url + PATHS["openai"], json=HELLO, headers=headers) as response:
            assert response.status == 401
            assert (await response.json())["error"]["type"] == "authentication_error"
        assert p.upstream.received == []


async def test_a_revoked_token_is_refused_at_once():
    async with plant() as p:
        assert (await p.ask("openai"))[0] == 200
        await p.store.transact(lambda tx: tx.end_session(p.sessions[0], SessionOutcome.KILLED, None))
        assert (await p.ask("openai"))[0] == 401
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_under_way_when_its_token_is_revoked_is_settled_and_is_the_last(stream):
    """It is paid for already: it goes on to its end, so that it is charged what it cost and not all that was reserved."""
    gate = asyncio.Event()
    async with plant() as p:
        p.upstream.script = lambda number, body: Answer(gate=gate, gate_at=1)
        under_way = asyncio.create_task(p.ask("openai", {"stream": stream}))
        await p.upstream.streaming.wait()
        await p.store.transact(lambda tx: tx.end_session(p.sessions[0], SessionOutcome.KILLED, None))
        assert (await p.ask("openai"))[0] == 401
        gate.set()
        assert (await under_way)[0] == 200
        [call] = await p.recorded(1)
        assert (call.estimated, call.settled.nano_usd) == (False, 10 * RATE_IN + 5 * RATE_OUT)
        assert (await p.ask("openai"))[0] == 401
        assert len(p.upstream.received) == 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_key_that_the_provider_repeats_in_its_answer_does_not_reach_the_agent(kind, stream, caplog):
    caplog.set_level("DEBUG")
    async with plant(kind) as p:
        p.upstream.script = lambda number, body: Answer(texts=("hel", f"lo {KEY} bye"))
        status, body, headers = await p.ask(kind, {"stream": stream})
        assert status == 200
        assert KEY.encode() not in body
        assert KEY not in str(headers)
        assert KEY not in caplog.text
        assert p.upstream.received[0].answer.texts[1].count(KEY) == 1


@pytest.mark.parametrize(("kind", "other"), [("openai", "anthropic"), ("anthropic", "openai")])
async def test_a_session_cannot_use_another_format_than_its_provider(kind, other):
    async with plant(kind) as p:
        assert (await p.ask(other))[0] == 400
        assert p.upstream.received == []


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_the_rehearsal_model_speaks_both_and_costs_nothing(kind):
    async with plant(kind, provider_kind="rehearsal", prices={}, limit=0) as p:
        assert (await p.ask(kind, {"stream": True}))[0] == 200
        [call] = await p.recorded(1)
        assert (call.settled.nano_usd, call.settled.tokens) == (0, 15)
        p.upstream.received.clear()


async def test_an_unpriced_model_is_refused_under_a_money_budget_only():
    async with plant(prices={}) as p:
        status, body, headers = await p.ask("openai")
        assert status == 400
        assert '[prices."real-model"]' in json.loads(body)["error"]["message"]
        assert headers["x-should-retry"] == "false"
        [call] = await p.recorded(1)
        assert (call.refusal, call.stop) == ("unpriced", True)
        assert p.upstream.received == []
    async with plant(prices={}, limit=None) as p:
        assert (await p.ask("openai"))[0] == 200
        [call] = await p.recorded(1)
        assert call.settled.tokens == 15
        p.upstream.received.clear()


async def test_a_request_without_a_bound_is_refused_in_the_vendors_shape():
    async with plant("anthropic") as p:
        status, body, _headers = await p.ask("anthropic", {"mcp_servers": [{"url": "https://x"}]})
        assert status == 400
        error = json.loads(body)
        assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
        assert "mcp_servers" in error["error"]["message"]
        assert p.upstream.received == []


async def test_a_session_has_its_own_limits_of_calls_and_tokens():
    async with plant(limits=SessionLimits(calls=2)) as p:
        assert [(await p.ask("openai"))[0] for _ in range(3)] == [200, 200, 400]
        calls = await p.recorded(3)
        assert (calls[-1].refusal, calls[-1].stop) == ("calls", True)
        assert len(p.upstream.received) == 2
    async with plant(limits=SessionLimits(tokens=1_000)) as p:
        assert (await p.ask("openai"))[0] == 400
        assert (await p.recorded(1))[0].refusal == "budget"
    async with plant(limits=SessionLimits(output_tokens_per_call=20)) as p:
        assert (await p.ask("openai"))[0] == 200
        assert p.upstream.received[0].json["max_tokens"] == 20


async def test_calls_through_another_control_plane_count_too():
    async with plant(limits=SessionLimits(calls=2), others=True) as p:
        assert (await p.ask("openai"))[0] == 200
        await p.recorded(1)
        caller = await p.gateway._ledger.caller(p.tokens[0])
        elsewhere = Ledger(p.store, p.ids, SystemClock(), lambda _session: SessionLimits(), p.gateway.approved)
        await elsewhere.settle(await elsewhere.reserve(caller, "real-model", Amount(1, 1)), Amount(1, 1))
        status, body, _headers = await p.ask("openai")
        assert status >= 400
        assert "has made its 2 model calls" in json.loads(body)["error"]["message"]
        assert len(p.upstream.received) == 1


async def test_tokens_are_a_budget_like_money():
    async with plant(session_limit=Limit(tokens=1_200)) as p:
        assert (await p.ask("openai"))[0] == 200
        assert (await p.ask("openai", {"max_tokens": 500}))[0] == 400
        assert len(p.upstream.received) == 1


async def test_keys_show_nowhere():
    async with plant() as p:
        p.upstream.script = lambda number, body: Answer(
            status=404, body=json.dumps({"error": {"message": f"bad key {KEY}"}}).encode()
        )
        _status, body, _headers = await p.ask("openai")
        assert KEY.encode() not in body
        assert b"[key]" in body
        assert KEY not in repr(p.gateway._upstreams)


@pytest.mark.parametrize("code", ["content_filter", "overloaded_error"])
@pytest.mark.parametrize("after", [0, 2])
async def test_a_key_in_an_answer_that_breaks_off_is_not_passed_on(after, code):
    async with plant() as p:
        said = {"code": code, "message": f"not with {KEY}"}
        p.upstream.script = lambda number, body: Answer(error_after=after, error=said)
        _status, body, _headers = await p.ask("openai", {"stream": True})
        assert code.encode() in body
        assert KEY.encode() not in body


async def test_a_body_that_never_comes_is_not_waited_for():
    async with plant(settings=quick(client_idle_s=0.1)) as p:
        host, port = p.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, port)
        head = f"POST {PATHS['openai']} HTTP/1.1\r\nhost: x\r\nx-api-key: {p.tokens[0]}\r\ncontent-length: 9\r\n\r\n"
        writer.write(head.encode())
        assert b" 400 " in await reader.readline()
        writer.close()
        assert p.ids.made == []


async def test_tokens_cannot_be_counted_where_the_provider_does_not():
    async with plant("anthropic") as p:
        p.upstream.script = lambda number, body: Answer(status=404)
        headers = {"x-api-key": p.tokens[0]}
        async with p.client.post(f"{p.url}/v1/messages/count_tokens", json=HELLO, headers=headers) as response:
            assert response.status == 404
            assert (await response.json())["error"]["type"] == "not_found_error"


async def test_a_client_that_only_looks_whether_anybody_is_here_is_told_so():
    async with plant("anthropic") as p:
        for method in ("GET", "HEAD"):
            async with p.client.request(method, f"{p.url}/") as response:
                assert (response.status, await response.read()) == (200, b"")


async def test_claude_codes_way_of_asking_is_served():
    """The query of its address, a system message in the middle, and betas nobody has heard of."""
    later = {"role": "system", "content": "Today is Friday."}
    body = {"model": "x", "max_tokens": 50, "messages": [*HELLO["messages"], later], "stream": True}
    body |= {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}}
    async with plant("anthropic") as p:
        headers = {"authorization": f"Bearer {p.tokens[0]}", "anthropic-beta": "claude-code-20250219,next-year-1"}
        async with p.client.post(f"{p.url}/v1/messages?beta=true", json=body, headers=headers) as response:
            assert response.status == 200
            await response.read()
        [call] = await p.recorded(1)
        assert call.settled.nano_usd == EXACT


async def test_a_session_that_has_handed_in_gets_no_more_calls_and_pays_for_none():
    async with plant("anthropic") as p:
        p.gateway.shut(p.sessions[0])
        status, body, headers = await p.ask("anthropic")
        assert (status, headers["x-should-retry"]) == (400, "false")
        assert b"handed in" in body
        assert p.upstream.received == []
        assert (await p.totals()).spent.nano_usd == 0
