"""Both wire formats, as raw bytes and through the vendors' own clients."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest

from tests.provider.rehearsal.loop import TOOLS
from tests.provider.rehearsal.prompts import prompt

LIMIT = "about: rate_limit\nrequirement: {kind: rate_limit, text: x, requests: 5, seconds: 10}\n"
TASK = prompt(task="t1", kind="implement_feature", owns=["app/middleware/rate_limit.py"], specification=LIMIT)
OPENAI_TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in TOOLS]
ANTHROPIC_TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in TOOLS]


def looked(call: dict) -> list[dict]:
    return [
        {"role": "user", "content": TASK},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "app/main.py"},
    ]


@pytest.fixture
def first_call() -> dict:
    return {"id": "c1", "type": "function", "function": {"name": "list_files", "arguments": '{"path": "."}'}}


def chat(model, messages, **more):
    body = {"model": "rehearsal", "messages": messages, "tools": OPENAI_TOOLS, **more}
    return model.post("/v1/chat/completions", json=body)


def test_models_lists_what_it_is(model):
    [entry] = model.get("/v1/models").json()["data"]
    assert entry["id"] == "rehearsal"
    assert "not a language model" in entry["display_name"]
    assert model.get("/v1/models/rehearsal").json()["id"] == "rehearsal"
    assert model.get("/v1/models/other").status_code == 404


def test_first_turn_looks_around_and_usage_is_a_quarter_of_the_bytes(model):
    body = json.dumps(
        {"model": "rehearsal", "messages": [{"role": "user", "content": TASK}], "tools": OPENAI_TOOLS}
    ).encode()
    answer = model.post("/v1/chat/completions", content=body).json()
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["function"]["name"] == "list_files"
    assert answer["usage"]["prompt_tokens"] == len(body) // 4
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_same_request_gets_the_same_bytes(model, first_call):
    answers = {chat(model, looked(first_call)).content for _ in range(2)}
    assert len(answers) == 1


def test_openai_stream_adds_up_to_the_plain_answer(model, first_call):
    client = openai.OpenAI(base_url=f"{model.base_url}/v1", api_key="none", max_retries=0)
    plain = client.chat.completions.create(model="rehearsal", messages=looked(first_call), tools=OPENAI_TOOLS)
    text, calls, usage, finish = "", {}, None, None
    with client.chat.completions.create(
        model="rehearsal",
        messages=looked(first_call),
        tools=OPENAI_TOOLS,
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        for chunk in stream:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                text += choice.delta.content or ""
                for piece in choice.delta.tool_calls or []:
                    name, arguments = calls.get(piece.index, ("", ""))
                    calls[piece.index] = (piece.function.name or name, arguments + (piece.function.arguments or ""))
    client.close()
    whole = plain.choices[0].message
    assert text == whole.content
    assert [calls[i] for i in sorted(calls)] == [(c.function.name, c.function.arguments) for c in whole.tool_calls]
    assert calls[0][0] == "write_file"
    assert "Retry-After" in json.loads(calls[0][1])["content"]
    assert finish == "tool_calls"
    assert usage.completion_tokens == plain.usage.completion_tokens > 500


def test_anthropic_stream_adds_up_to_the_plain_answer(model):
    client = anthropic.Anthropic(base_url=str(model.base_url), api_key="none", max_retries=0)
    request = {
        "model": "rehearsal",
        "max_tokens": 8000,
        "system": "x",
        "tools": ANTHROPIC_TOOLS,
        "messages": [
            {"role": "user", "content": TASK},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "list_files", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "app/main.py"}]},
        ],
    }
    plain = client.messages.create(**request)
    with client.messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    client.close()
    shown = [block.model_dump(include={"type", "text", "name", "input"}) for block in streamed.content]
    assert shown == [block.model_dump(include={"type", "text", "name", "input"}) for block in plain.content]
    assert plain.stop_reason == streamed.stop_reason == "tool_use"
    assert plain.content[1].input["path"] == "app/middleware/rate_limit.py"
    assert streamed.usage.output_tokens == plain.usage.output_tokens


def test_answer_stays_within_max_tokens(model, first_call):
    answer = chat(model, looked(first_call), max_tokens=50).json()
    assert answer["usage"]["completion_tokens"] <= 50
    assert answer["choices"][0]["finish_reason"] == "length"
    assert "tool_calls" not in answer["choices"][0]["message"]


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("/v1/chat/completions", b"{", 400),
        ("/v1/chat/completions", b"[]", 400),
        ("/v1/chat/completions", b'{"model": "rehearsal", "messages": []}', 400),
        ("/v1/chat/completions", b'{"model": "gpt-5", "messages": [{"role": "user", "content": "x"}]}', 404),
        ("/v1/messages", b'{"model": "rehearsal", "messages": [{"role": "user", "content": "x"}]}', 400),
        ("/v1/embeddings", b"{}", 404),
    ],
)
def test_malformed_requests_get_the_vendors_error_shape(model, path, content, status):
    response = model.post(path, content=content)
    assert response.status_code == status
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("text", ["Write me a web shop, please.", "# Task list\n- one", ""])
def test_free_form_requests_are_refused_in_plain_words(model, text):
    answer = chat(model, [{"role": "user", "content": text}]).json()
    assert answer["choices"][0]["message"]["content"].startswith("cannot: ")
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_other_stacks_and_unknown_kinds_are_refused_in_plain_words(model, first_call):
    other = prompt(task="t", kind="scaffold", owns=["src/app.ts"], specification="a: 1", stack="typescript, express")
    unknown = prompt(task="t", kind="tune_database", owns=["x.py"], specification="a: 1")
    for text, words in ((other, "typescript"), (unknown, "tune_database")):
        messages = [{"role": "user", "content": text}, *looked(first_call)[1:]]
        message = chat(model, messages).json()["choices"][0]["message"]
        assert message["content"].startswith("cannot: ")
        assert words in message["content"]
        assert "tool_calls" not in message
