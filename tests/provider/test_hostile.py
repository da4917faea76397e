"""Requests and answers of any shape: a request is read or refused by name, an answer is metered or is worth nothing known.
Nothing else may come of them, least of all a crash between a reservation and its settlement.
"""

import copy
import json
import random

import pytest

from swarmworks.base.errors import RejectedError
from swarmworks.policy.bound import Billed
from swarmworks.provider.sse import EventSplitter
from swarmworks.service.gateway.routes import CHAT, GEMINI, GEMINI_STREAM, MESSAGES, RESPONSES
from tests.service.gateway import upstream

CALL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CHAT_BODY = {
    "model": "m",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}],
        },
    ],
    "max_tokens": 5,
    "max_completion_tokens": 5,
    "n": 1,
    "stream": True,
    "stream_options": {"include_usage": True},
    "tools": [CALL],
    "modalities": ["text"],
    "service_tier": "auto",
    "prompt_cache_retention": "in_memory",
}
RESPONSES_BODY = {
    "model": "m",
    "instructions": "x",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "reasoning", "id": "r", "encrypted_content": "x", "summary": [{"type": "summary_text", "text": "x"}]},
        {"type": "function_call_output", "call_id": "c", "output": "x"},
    ],
    "max_output_tokens": 5,
    "tools": [{"type": "function", "name": "f"}, {"type": "local_shell"}],
    "include": ["reasoning.encrypted_content"],
    "stream": True,
    "service_tier": "auto",
}
MESSAGES_BODY = {
    "model": "m",
    "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    "messages": [
        {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": "x"}]}]},
        {"role": "user", "content": [{"type": "document", "source": {"type": "text", "data": "x"}}]},
    ],
    "max_tokens": 5,
    "stream": True,
    "thinking": {"type": "enabled", "budget_tokens": 9_000},
    "tools": [{"name": "f", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}],
    "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
    "service_tier": "auto",
    "speed": "standard",
}
GEMINI_BODY = {
    "contents": [
        {"role": "user", "parts": [{"text": "x"}, {"functionResponse": {"name": "f", "response": {}, "parts": []}}]}
    ],
    "systemInstruction": {"parts": [{"text": "x"}]},
    "generationConfig": {"maxOutputTokens": 5, "candidateCount": 1, "responseModalities": ["TEXT"]},
    "tools": [{"functionDeclarations": [{"name": "f"}]}],
}
FORMATS = {
    "chat": (CHAT, CHAT_BODY, upstream.chat_json, upstream.chat_events),
    "responses": (RESPONSES, RESPONSES_BODY, upstream.response_json, upstream.response_events),
    "messages": (MESSAGES, MESSAGES_BODY, upstream.message_json, upstream.message_events),
    "gemini": (GEMINI, GEMINI_BODY, upstream.generate_json, upstream.generate_events),
    "gemini-stream": (GEMINI_STREAM, GEMINI_BODY, upstream.generate_json, upstream.generate_events),
}
HOSTILE = (None, True, False, 0, 1, -1, 5.5, 1e400, 10**400, "", "x", "text", [], [[]], [1], ["x"], {}, {"x": 1}, [{}],
           [{"type": "text"}], {"type": "text"}, [None], {"parts": 5})  # fmt: skip


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from places(each, (*path, key))


def put(whole, path, value):
    if not path:
        return value
    whole = copy.deepcopy(whole)
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return whole


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_stands_anywhere_in_a_request_it_is_bounded_or_refused(name):
    wire, body, _whole, _events = FORMATS[name]
    read = refused = 0
    for path in places(body):
        for value in HOSTILE:
            raw = json.dumps(put(body, path, value)).encode()
            try:
                demand = wire.read(raw, headers={}, allowed_fields=frozenset())
            except RejectedError:
                refused += 1
                continue
            read += 1
            sent = json.loads(wire.rewrite(demand, model="real", output_cap=3))
            caps = [sent.get(key) for key in ("max_tokens", "max_completion_tokens", "max_output_tokens")]
            caps.append((sent.get("generationConfig") or {}).get("maxOutputTokens"))
            given = [cap for cap in caps if cap is not None]
            assert given
            assert max(given) <= 3
    assert read > 50
    assert refused > 50


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_stands_anywhere_in_an_answer_it_is_metered_or_unknown(name):
    wire, _body, whole, _events = FORMATS[name]
    answer = whole(upstream.Answer())
    assert isinstance(wire.billed(json.dumps(answer).encode()), Billed)
    for path in places(answer):
        for value in HOSTILE:
            found = wire.billed(json.dumps(put(answer, path, value)).encode())
            assert found is None or found.usage.input_tokens + found.usage.output_tokens < 2**62


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_stands_anywhere_in_a_stream_it_is_metered_or_unknown(name):
    wire, _body, _whole, events = FORMATS[name]
    stream = events({"stream_options": {"include_usage": True}}, upstream.Answer())
    told = [json.loads(each.split(b"data: ")[1]) if b"[DONE]" not in each else None for each in stream]
    for number, event in enumerate(told):
        for path in places(event) if event is not None else ():
            for value in HOSTILE:
                meter = wire.meter()
                bad = upstream.event(json.dumps(put(event, path, value)))
                for each in (*stream[:number], bad, *stream[number + 1 :]):
                    meter.feed(each)
                found = meter.billed()
                assert found is None or found.usage.input_tokens + found.usage.output_tokens < 2**62


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("seed", range(5))
def test_a_stream_with_bytes_of_it_turned_over_is_metered_or_unknown(name, seed):
    wire, _body, _whole, events = FORMATS[name]
    rng = random.Random(seed)
    stream = b"".join(events({"stream_options": {"include_usage": True}}, upstream.Answer()))
    for _ in range(200):
        bad = bytearray(stream)
        for _ in range(rng.randint(1, 4)):
            bad[rng.randrange(len(bad))] = rng.randrange(256)
        meter, splitter = wire.meter(), EventSplitter(1_000_000)
        for event in splitter.feed(bytes(bad)):
            meter.feed(event)
        meter.feed(splitter.rest())
        meter.billed()


@pytest.mark.parametrize(
    ("wire", "more"),
    [
        (CHAT, {"MAX_TOKENS": None}),
        (CHAT, {"max_to\u212aens": 0}),
        (CHAT, {"max_new_tokens": 0}),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "Type": "image_url", "text": "x"}]}]}),
        (CHAT, {"tools": [{"type": "function", "TYPE": "web_search"}]}),
        (RESPONSES, {"Max_output_tokens": None}),
        (MESSAGES, {"Stream": False}),
        (MESSAGES, {"tools": [{"Type": "web_search_20250305", "name": "f"}]}),
    ],
)
def test_what_a_server_that_reads_names_in_any_case_would_understand_otherwise_is_refused(wire, more):
    body = {"model": "m", "max_tokens": 5} if wire is not RESPONSES else {"model": "m", "max_output_tokens": 5}
    wire.read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())
    with pytest.raises(RejectedError):
        wire.read(json.dumps(body | more).encode(), headers={}, allowed_fields=frozenset())


def test_an_object_of_very_many_keys_and_one_of_them_twice_is_refused_in_time():
    raw = ('{"a":{' + "".join(f'"{number}":0,' for number in range(200_000)) + '"0":1}}').encode()
    with pytest.raises(RejectedError, match="'0' appears twice"):
        CHAT.read(raw, headers={}, allowed_fields=frozenset())
