"""Reading what was said: whatever stands in a request or an answer, nothing raises."""

from __future__ import annotations

import json
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from swarmworks.provider.content import Said, answer, prompt

WORDS = [
    "role",
    "content",
    "parts",
    "type",
    "text",
    "messages",
    "input",
    "contents",
    "system",
    "systemInstruction",
    "tool_calls",
    "function",
    "name",
    "arguments",
    "functionCall",
    "functionResponse",
    "args",
    "index",
    "delta",
    "choices",
    "message",
    "candidates",
    "output",
    "content_block",
    "item",
    "item_id",
    "thinking",
    "thought",
    "tool_use",
    "tool_result",
    "function_call",
    "function_call_output",
    "content_block_start",
    "output_text",
    "content_block_delta",
    "response.output_text.delta",
    "response.output_item.added",
    "partial_json",
    "id",
]


def anything(random: Random, depth: int = 5):
    """JSON made of the words that the formats know, put together in ways they do not."""
    kind = random.randrange(8)
    if depth == 0 or kind < 3:
        return random.choice([None, True, 1, -0.5, "", *random.sample(WORDS, 4)])
    if kind == 3:
        return [anything(random, depth - 1) for _ in range(random.randrange(4))]
    return {word: anything(random, depth - 1) for word in random.sample(WORDS, random.randrange(7))}


def test_any_body_is_read_as_far_as_it_is_understood():
    read = 0
    for seed in range(3_000):
        random = Random(seed)
        body = {word: anything(random) for word in random.sample(WORDS, 6)}
        whole = answer(json.dumps(body).encode())
        stream = answer(f"data: {json.dumps(body)}\n\n".encode() * 2)
        found = [*prompt(body), *whole, *stream]
        assert all(isinstance(each.text, str) and isinstance(each.name, str) for each in found)
        read += len(found)
    assert read > 300


@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_in_which_nothing_may_be_said(raw):
    answer(raw)
    answer(b"data: " + raw + b"\n\n")


def test_depth_without_end_is_nothing_said():
    assert answer(b'{"content": ' + b"[" * 100_000) == []


def test_a_conversation_with_tools_is_read_in_each_vendors_words():
    called, gave = Said("assistant", "tool_call", '{"a": 1}', "look"), "found it"
    chat = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "look"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": '{"a": 1}'}}]},
        {"role": "tool", "tool_call_id": "c", "content": gave},
    ]
    tool_answer = Said("tool", "tool_call_response", gave)
    expected = [Said("system", "text", "be brief"), Said("user", "text", "look"), called, tool_answer]
    assert list(prompt({"messages": chat})) == expected
    blocks = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "look", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "content": [{"type": "text", "text": gave}]}]},
    ]
    by_user = Said("user", "tool_call_response", gave)
    system = [{"type": "text", "text": "be brief"}]
    assert list(prompt({"system": system, "messages": blocks})) == [*expected[:3], by_user]
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "look"}]},
        {"type": "function_call", "name": "look", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "output": gave},
    ]
    assert list(prompt({"instructions": "be brief", "input": items})) == expected
    contents = [
        {"role": "user", "parts": [{"text": "look"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {"a": 1}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"r": gave}}}]},
    ]
    found = list(prompt({"systemInstruction": {"parts": [{"text": "be brief"}]}, "contents": contents}))
    assert found == [*expected[:3], Said("user", "tool_call_response", f'{{"r": "{gave}"}}')]
