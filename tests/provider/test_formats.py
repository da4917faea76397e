"""Reading requests and usage in the two formats; streams split at every byte."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.errors import ProviderUnavailableError, RejectedError
from swarmworks.domain.budget import Usage
from swarmworks.provider import jsonbody
from swarmworks.provider.anthropic import Messages
from swarmworks.provider.format import Fault
from swarmworks.provider.gemini import GenerateContent
from swarmworks.provider.openai import ChatCompletions
from swarmworks.provider.responses import Responses
from swarmworks.provider.sse import EventSplitter

CHAT, MESSAGES = ChatCompletions(), Messages()
HELLO = [{"role": "user", "content": "hello"}]

CHAT_STREAM = [
    b'data: {"choices":[{"delta":{"content":"say \\"usage\\": {"},"finish_reason":null}],"usage":null}\n\n',
    b": a comment\n\n",
    b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":20,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":5}}}\n\n',
    b"data: [DONE]\n\n",
]
MESSAGE_STREAM = [
    (
        b'event: message_start\ndata: {"type":"message_start","message":{"usage":{"input_tokens":10,"output_tokens":1,'
        b'"cache_read_input_tokens":3,"cache_creation_input_tokens":2}}}\n\n'
    ),
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"hi"}}\n\n',
    (
        b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7,'
        b'"input_tokens":null}}\n\n'
    ),
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
]
CAPS = ("max_tokens", "max_completion_tokens")


def read(wire, body, headers=None, allowed=frozenset()):
    return wire.read(json.dumps(body).encode(), headers=headers or {}, allowed_fields=allowed)


def metered(wire, chunks):
    splitter, meter = EventSplitter(10_000), wire.meter()
    events = [event for chunk in chunks for event in splitter.feed(chunk)]
    hidden = [event for event in events if meter.feed(event)]
    return meter, events, hidden


@pytest.mark.parametrize(
    ("wire", "stream", "usage"),
    [(CHAT, CHAT_STREAM, Usage(20, 7, 5, 0)), (MESSAGES, MESSAGE_STREAM, Usage(15, 7, 3, 2))],
)
@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_stream_split_anywhere_reads_the_same(wire, stream, usage, newline):
    whole = b"".join(stream).replace(b"\n", newline)
    for cut in range(len(whole) + 1):
        meter, events, _hidden = metered(wire, [whole[:cut], whole[cut:]])
        assert b"".join(events) == whole
        assert meter.finished
        assert meter.billed().usage == usage
    assert metered(wire, [bytes([byte]) for byte in whole])[0].billed().usage == usage


@pytest.mark.parametrize(("wire", "stream", "enough"), [(CHAT, CHAT_STREAM, 4), (MESSAGES, MESSAGE_STREAM, 3)])
def test_a_stream_that_ends_early_has_no_usage_to_believe(wire, stream, enough):
    for length in range(len(stream)):
        assert (metered(wire, stream[:length])[0].billed() is not None) == (length >= enough)


@pytest.mark.parametrize(("wire", "stream"), [(CHAT, CHAT_STREAM), (MESSAGES, MESSAGE_STREAM)])
def test_an_error_in_a_stream_voids_its_usage(wire, stream):
    for at in range(len(stream)):
        broken = [*stream[:at], wire.error_event("overloaded"), *stream[at:]]
        assert metered(wire, broken)[0].billed() is None


def test_only_the_usage_chunk_is_hidden():
    assert metered(CHAT, CHAT_STREAM)[2] == [CHAT_STREAM[3]]
    assert metered(MESSAGES, MESSAGE_STREAM)[2] == []


def test_running_totals_count_only_at_the_end():
    def running(number):
        return (
            b'data: {"choices":[{"delta":{},"finish_reason":null}],"usage":{"prompt_tokens":9,"completion_tokens":%d}}\n\n'
            % number
        )

    assert metered(CHAT, [running(1), running(2)])[0].billed() is None
    meter, _events, hidden = metered(CHAT, [running(1), running(2), running(8), b"data: [DONE]\n\n"])
    assert meter.billed().usage == Usage(9, 8)
    assert hidden == []


def test_repeated_usage_counts_once_and_the_last_wins():
    again = [*CHAT_STREAM[:4], CHAT_STREAM[3].replace(b":7", b":9"), CHAT_STREAM[4]]
    assert metered(CHAT, again)[0].billed().usage.output_tokens == 9
    delta = MESSAGE_STREAM[2]
    messages = [*MESSAGE_STREAM[:2], delta, delta.replace(b":7", b":9"), MESSAGE_STREAM[3]]
    assert metered(MESSAGES, messages)[0].billed().usage == Usage(15, 9, 3, 2)


def test_a_total_does_not_shrink_and_what_comes_behind_the_end_counts():
    usage, done = CHAT_STREAM[3], CHAT_STREAM[4]
    running = b'data: {"choices":[{"delta":{}}],"usage":{"prompt_tokens":12,"completion_tokens":40}}\n\n'
    for more, output in (
        ([usage, usage.replace(b":7", b":3"), done], 7),
        ([usage, done, usage.replace(b":7", b":9")], 9),
        ([usage, done, usage.replace(b":7", b":3")], 7),
        ([done, usage], 7),
        ([usage, running, done], 40),
    ):
        assert metered(CHAT, [*CHAT_STREAM[:3], *more])[0].billed().usage.output_tokens == output


def test_reasoning_outside_the_completion_is_counted_from_the_total():
    answer = {"usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}}
    assert CHAT.billed(json.dumps(answer).encode()).usage.output_tokens == 30


def test_an_hour_of_cache_is_told_apart():
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_1h_input_tokens": 20, "ephemeral_5m_input_tokens": 10},
    }
    billed = MESSAGES.billed(json.dumps({"type": "message", "usage": usage}).encode())
    assert (billed.usage, billed.cache_write_1h_tokens) == (Usage(31, 2, 0, 30), 20)


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
@pytest.mark.parametrize(
    "answer", [b"", b"[]", b"nonsense", b'{"usage":{}}', b'{"usage":{"prompt_tokens":-1}}', b"[" * 9_999]
)
def test_usage_that_cannot_be_believed_is_unknown(wire, answer):
    assert wire.billed(answer) is None


def test_a_tier_that_was_not_asked_for_makes_the_cost_unknown():
    answer = {"service_tier": "priority", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    assert CHAT.billed(json.dumps(answer).encode()) is None


def image(source):
    return [{"role": "user", "content": [{"type": "image", "source": source}]}]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "f"}}]}]},
            "messages[0].content",
        ),
        ({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}, "messages[0].audio"),
        ({"messages": "hello"}, "messages"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {"x": 1}}, "web_search_options"),
        ({"prediction": {"type": "content"}}, "prediction"),
        ({"previous_response_id": "r"}, "previous_response_id"),
        ({"background": True}, "background"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_chat_refuses_what_has_no_bound_and_names_it(body, field):
    with pytest.raises(RejectedError) as refusal:
        read(CHAT, {"messages": HELLO, **body})
    assert refusal.value.where == field
    assert refusal.value.mend


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": image({"type": "base64", "data": "x"})}, "messages[0].content[0]"),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url"}}]}]},
            "messages[0].content[0]",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"type": "image"}]}]}]},
            "messages[0].content[0].content[0]",
        ),
        ({"mcp_servers": [{"url": "x"}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"speed": "fast"}, "speed"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"service_tier": "priority"}, "service_tier"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "context_management.edits[0]"),
    ],
)
def test_messages_refuses_what_has_no_bound_and_names_it(body, field):
    with pytest.raises(RejectedError) as refusal:
        read(MESSAGES, {"messages": HELLO, "max_tokens": 5, **body})
    assert refusal.value.where == field
    assert refusal.value.mend


def test_a_field_can_be_allowed_and_an_empty_one_asks_for_nothing():
    read(CHAT, {"messages": HELLO, "background": None, "plugins": [], "novelty": 1}, allowed=frozenset({"novelty"}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"a":1}x',
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"max_tokens":1,"max_tokens":9}',
        b'{"m":[{"type":"text","type":"image"}]}',
        b'{"a":"\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
)
def test_a_body_two_readers_could_read_differently_is_refused(raw):
    with pytest.raises(RejectedError):
        jsonbody.parse(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(max_size=4), json_values, max_size=4),
    st.dictionaries(st.text(max_size=4), json_values, max_size=3),
    st.sampled_from([None, 2]),
    st.booleans(),
)
def test_splicing_changes_what_was_asked_and_nothing_else(body, changes, indent, ascii_only):
    try:
        raw = json.dumps(body, indent=indent, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    parsed = jsonbody.parse(raw)
    assert parsed.values == body
    assert parsed.spliced({}) == raw
    assert json.loads(parsed.spliced(changes)) == {**body, **changes}


def test_a_rewrite_touches_model_cap_and_usage_only():
    raw = (
        b'{ "model": "gpt-4o",\n "messages": [{"role":"user","content":"caf\\u00e9"}], "stream":true, "max_tokens": 9 }'
    )
    demand = CHAT.read(raw, headers={}, allowed_fields=frozenset())
    assert CHAT.rewrite(demand, model="mine", output_cap=9) == raw.replace(b'"gpt-4o"', b'"mine"').replace(
        b"{ ", b'{"stream_options":{"include_usage":true}, '
    )


def test_a_missing_cap_is_injected_and_a_large_one_lowered():
    def rewritten(wire, body, model="m"):
        return json.loads(wire.rewrite(read(wire, {"messages": HELLO, **body}), model=model, output_cap=100))

    assert rewritten(CHAT, {})["max_tokens"] == 100
    assert rewritten(CHAT, {}, model="o3-mini")["max_completion_tokens"] == 100
    assert "max_tokens" not in rewritten(CHAT, {}, model="gpt-5.1")
    assert rewritten(MESSAGES, {})["max_tokens"] == 100
    thinking = {"max_tokens": 5_000, "thinking": {"type": "enabled", "budget_tokens": 4_999}}
    assert rewritten(MESSAGES, thinking)["thinking"] == {"type": "enabled", "budget_tokens": 75}


@pytest.mark.parametrize("given", [{"max_tokens": 9}, {"max_completion_tokens": 9}, {"max_completion_tokens": 500}])
def test_a_cap_has_the_name_that_the_models_server_knows_whatever_the_client_calls_it(given):
    """Others take a name they do not know without a word, and write on."""
    for model, name, other in (("m", *CAPS), ("gpt-5.1", *CAPS[::-1])):
        for null in ({}, {name: None}):
            demand = read(CHAT, {"messages": HELLO, **null, **given})
            sent = json.loads(CHAT.rewrite(demand, model=model, output_cap=min(100, demand.asked_output)))
            assert sent[name] == min(100, *given.values())
            if null:
                continue
            assert other not in sent
            again = json.loads(CHAT.rewrite(read(CHAT, sent), model="o3", output_cap=100))
            assert (again["max_completion_tokens"], "max_tokens" in again) == (100, False)


def test_a_client_that_names_both_caps_keeps_both():
    demand = read(CHAT, {"messages": HELLO, "max_tokens": 7, "max_completion_tokens": 900})
    sent = json.loads(CHAT.rewrite(demand, model="m", output_cap=100))
    assert (sent["max_tokens"], sent["max_completion_tokens"]) == (7, 100)


def test_what_the_bound_needs_is_read():
    demand = read(
        CHAT, {"messages": HELLO, "n": 3, "tools": [{"type": "function"}], "max_tokens": 7, "max_completion_tokens": 9}
    )
    assert (demand.shape.choices, demand.shape.tools, demand.asked_output) == (3, True, 9)
    body = {
        "messages": HELLO,
        "max_tokens": 7,
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "tools": [{"type": "bash_20250124", "name": "bash"}, {"name": "mine", "input_schema": {}}],
    }
    demand = read(MESSAGES, body, {"anthropic-beta": "context-1m-2025-08-07"})
    shape = demand.shape
    assert (shape.tools, shape.vendor_tools, shape.one_hour_cache, shape.any_window) == (True, 1, True, True)
    escaped = json.dumps(body).replace('"1h"', '"\\u0031h"').encode()
    assert MESSAGES.read(escaped, headers={}, allowed_fields=frozenset()).shape.one_hour_cache


def test_an_event_without_end_is_bounded():
    splitter = EventSplitter(100)
    splitter.feed(b"data: endless ")
    with pytest.raises(ProviderUnavailableError):
        splitter.feed(b"and endless " * 20)


@pytest.mark.parametrize("wire", [CHAT, MESSAGES])
@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_has_the_vendors_shape(wire, fault):
    status, body = wire.error(fault, "what went wrong", "some_code")
    assert 400 <= status < 600
    assert json.loads(body)["error"]["message"] == "what went wrong"


RESPONSES, GEMINI = Responses(), GenerateContent()
RESPONSE_STREAM = [
    b'event: response.created\ndata: {"type":"response.created","response":{"usage":null}}\n\n',
    b'data: {"type":"response.output_text.delta","delta":"say \\"type\\":\\"response.completed\\""}\n\n',
    (
        b'data: {"type":"response.completed","response":{"status":"completed","service_tier":"default","usage":'
        b'{"input_tokens":20,"output_tokens":7,"input_tokens_details":{"cached_tokens":5},"total_tokens":27}}}\n\n'
    ),
]
GEMINI_STREAM = [
    b'data: {"candidates":[{"content":{"parts":[{"text":"h"}]}}],"usageMetadata":{"promptTokenCount":20}}\r\n\r\n',
    (
        b'data: {"candidates":[{"content":{"parts":[]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,'
        b'"cachedContentTokenCount":5,"candidatesTokenCount":4,"thoughtsTokenCount":3,"totalTokenCount":27}}\r\n\r\n'
    ),
]


@pytest.mark.parametrize(("wire", "stream"), [(RESPONSES, RESPONSE_STREAM), (GEMINI, GEMINI_STREAM)])
def test_a_stream_split_at_every_byte_is_metered_the_same(wire, stream):
    whole = b"".join(stream)
    for at in range(len(whole)):
        meter, events, hidden = metered(wire, [whole[:at], whole[at:]])
        assert b"".join(events) == whole
        assert hidden == []
        assert meter.billed().usage == Usage(20, 7, 5, 0)


@pytest.mark.parametrize(
    ("wire", "body", "field"),
    [
        (RESPONSES, {"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        (RESPONSES, {"input": "x", "conversation": "c"}, "conversation"),
        (RESPONSES, {"input": "x", "background": True}, "background"),
        (RESPONSES, {"input": "x", "prompt": {"id": "p"}}, "prompt"),
        (RESPONSES, {"input": "x", "service_tier": "priority"}, "service_tier"),
        (RESPONSES, {"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        (RESPONSES, {"input": "x", "include": ["file_search_call.results"]}, "include"),
        (RESPONSES, {"input": [{"type": "item_reference", "id": "m"}]}, "input[0]"),
        (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content"),
        (
            RESPONSES,
            {"input": [{"type": "function_call_output", "output": [{"type": "input_file"}]}]},
            "input[0].output",
        ),
        (RESPONSES, {"input": "x", "max_output_tokens": "9"}, "max_output_tokens"),
        (RESPONSES, {"input": "x", "include": "web_search_call.results"}, "include"),
        (RESPONSES, {"input": "x", "instructions": [{"role": "user", "content": []}]}, "instructions"),
        (RESPONSES, {"input": [{"id": "rs_1"}]}, "input[0]"),
        (RESPONSES, {"input": [{"type": "message", "id": "msg_1"}]}, "input[0]"),
        (RESPONSES, {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "input[0]"),
        (RESPONSES, {"input": [{"type": "function_call_output", "output": {"type": "input_file"}}]}, "input[0].output"),
        (GEMINI, {"generationConfig": {"maxOutputTokens": 9, "max_output_tokens": 0}}, "max_output_tokens"),
        (GEMINI, {"generationConfig": {}, "generation_config": {}}, "generation_config"),
        (GEMINI, {"contents": [{"parts": [{"functionResponse": [{"parts": []}]}]}]}, "functionResponse"),
        (GenerateContent(stream=True), {"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount"),
        (GEMINI, {"contents": [], "cachedContent": "c"}, "cachedContent"),
        (GEMINI, {"contents": [], "tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        (GEMINI, {"contents": [{"parts": [{"inlineData": {}}]}]}, "contents[0].parts[0].inlineData"),
        (GEMINI, {"contents": [{"parts": [{"fileData": {}}]}]}, "contents[0].parts[0].fileData"),
        (GEMINI, {"systemInstruction": {"parts": [{"fileData": {}}]}}, "systemInstruction.parts[0].fileData"),
        (GEMINI, {"generationConfig": {"max_output_tokens": 9}}, "max_output_tokens"),
        (GEMINI, {"generation_config": {"maxOutputTokens": 9}}, "generation_config"),
        (GEMINI, {"generationConfig": {"candidateCount": 99}}, "candidateCount"),
        (GEMINI, {"generationConfig": {"responseModalities": ["IMAGE"]}}, "generationConfig.responseModalities"),
        (GEMINI, {"generationConfig": []}, "generationConfig"),
    ],
)
def test_what_the_other_two_cannot_bound_is_refused_by_name(wire, body, field):
    with pytest.raises(RejectedError) as refused:
        read(wire, body)
    assert refused.value.where == field
    assert refused.value.mend


def test_what_codex_and_gemini_send_passes():
    body = {
        "model": "gpt-5",
        "instructions": "be brief",
        "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "gAAA"},
            {"type": "function_call", "name": "shell", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "done"},
        ],
        "tools": [{"type": "function", "name": "shell", "parameters": {}}, {"type": "local_shell"}],
        "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "medium"},
        "store": False,
        "stream": True,
    }
    demand = read(RESPONSES, body)
    assert (demand.stream, demand.asked_output, demand.shape.vendor_tools) == (True, None, 1)
    assert json.loads(RESPONSES.rewrite(demand, model="m", output_cap=9)) == {
        **body,
        "model": "m",
        "max_output_tokens": 9,
    }
    asked = {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}, {"role": "model", "parts": [{"functionCall": {}}]}],
        "systemInstruction": {"parts": [{"text": "be brief"}]},
        "tools": [{"functionDeclarations": [{"name": "look"}]}],
        "generationConfig": {"temperature": 0, "thinkingConfig": {"thinkingBudget": 100}},
    }
    demand = read(GEMINI, asked)
    assert demand.shape.tools
    changed = json.loads(GEMINI.rewrite(demand, model="m", output_cap=9))
    thinking = {"thinkingConfig": {"thinkingBudget": 7}}
    assert changed == {**asked, "generationConfig": {**asked["generationConfig"], "maxOutputTokens": 9, **thinking}}


def test_tools_in_a_namespace_are_taken_when_the_client_runs_every_one_of_them():
    def of(*tools):
        return {"input": "hi", "tools": [{"type": "namespace", "name": "mcp__swarm", "tools": list(tools)}]}

    ours = {"type": "function", "name": "hand_in", "parameters": {}}
    assert read(RESPONSES, of(ours, {"type": "custom", "name": "c"})).shape.vendor_tools == 0
    for theirs in ({"type": "web_search"}, {"type": "namespace", "tools": [ours]}, {"name": "no type"}):
        with pytest.raises(RejectedError) as refused:
            read(RESPONSES, of(ours, theirs))
        assert refused.value.where == "tools[0].tools[1].type"


@pytest.mark.parametrize(
    ("wire", "answer"),
    [
        (RESPONSES, {"status": "failed", "usage": {"input_tokens": 1, "output_tokens": 1}}),
        (RESPONSES, {"status": "in_progress", "usage": {"input_tokens": 1, "output_tokens": 1}}),
        (
            RESPONSES,
            {"status": "completed", "service_tier": "priority", "usage": {"input_tokens": 1, "output_tokens": 1}},
        ),
        (RESPONSES, {"status": "completed", "usage": {"input_tokens": 1}}),
        (GEMINI, {"error": {"code": 500}, "usageMetadata": {"promptTokenCount": 1}}),
        (GEMINI, {"candidates": []}),
    ],
)
def test_usage_that_cannot_be_believed_is_none(wire, answer):
    assert wire.billed(json.dumps(answer).encode()) is None


def test_a_gemini_stream_that_ends_before_every_candidate_did_has_no_final_usage():
    meter, _events, _hidden = metered(GEMINI, GEMINI_STREAM[:1])
    assert meter.billed() is None
    two = b'data: {"candidates":[{"index":0,"finishReason":"STOP"},{"index":1}],"usageMetadata":{"promptTokenCount":9}}\n\n'
    assert metered(GEMINI, [two])[0].billed() is None
    blocked = b'data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":9}}\n\n'
    assert metered(GEMINI, [blocked])[0].billed().usage == Usage(9, 0, 0, 0)


FORM = {"type": "json_schema", "schema": {"type": "object", "description": "x" * 9_000}}


def to_count(**more):
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}], **more}
    demand = Messages().read(json.dumps(body).encode(), headers={}, allowed_fields=frozenset())
    return Messages().to_count(demand, model="m")


@pytest.mark.parametrize(
    "asked",
    [
        {"output_format": FORM},
        {"output_config": FORM},
        {"output_config": {"format": FORM}},
        {"output_config": {"effort": "medium", "format": FORM}},
        {"output_config": {"effort": "medium", "task_budget": {"type": "tokens", "total": 9}}},
        {"output_config": [FORM]},
    ],
)
def test_a_schema_of_the_output_leaves_anthropics_count_no_bound(asked):
    assert to_count() is not None
    assert to_count(**asked) is None


@pytest.mark.parametrize("config", [{}, {"effort": "medium"}, {"effort": "high", "format": None}])
def test_an_effort_is_counted_by_anthropic_along_with_the_input(config):
    assert json.loads(to_count(output_config=config))["output_config"] == config
