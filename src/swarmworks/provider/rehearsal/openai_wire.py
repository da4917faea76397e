"""The OpenAI Chat Completions wire format: request bytes in, JSON or server-sent events out."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.conversation import (
    Answer,
    Conversation,
    MalformedRequestError,
    ToolCall,
    Transcript,
    Usage,
    as_limit,
    as_list,
    as_mapping,
    as_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_CHARACTERS = 400


def parse(body: dict[str, object], input_bytes: int) -> Conversation:
    """Raise `MalformedRequestError` for a body that is not a Chat Completions request."""
    system: list[str] = []
    spoken: list[str] = []
    turns = 0
    transcript = Transcript()
    for index, entry in enumerate(as_list(body.get("messages"), "messages")):
        where = f"messages[{index}]"
        message = as_mapping(entry, where)
        match message.get("role"):
            case "system" | "developer":
                system.append(as_text(message.get("content"), where))
            case "user":
                spoken.append(as_text(message.get("content"), where))
            case "assistant":
                turns += 1
                transcript.calls.extend(_calls(message, where))
            case "tool":
                transcript.answers[str(message.get("tool_call_id"))] = as_text(message.get("content"), where)
            case role:
                raise MalformedRequestError(f"{where}: unknown role {role!r}")
    if not spoken:
        raise MalformedRequestError("messages: no user message")
    options = body.get("stream_options")
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    return Conversation(
        model=str(body.get("model", "")),
        system="\n".join(system),
        prompt=spoken[0],
        exchanges=transcript.exchanges(),
        said=tuple(spoken[1:]),
        tools=frozenset(_tool_names(body)),
        turns=turns,
        max_output_tokens=as_limit(limit, "max_tokens"),
        input_bytes=input_bytes,
        stream=body.get("stream") is True,
        include_usage=bool(options) and as_mapping(options, "stream_options").get("include_usage") is True,
    )


def _calls(message: dict[str, object], where: str) -> Iterator[ToolCall]:
    for entry in as_list(message.get("tool_calls") or [], where):
        call = as_mapping(entry, where)
        function = as_mapping(call.get("function"), f"{where}.tool_calls")
        try:
            arguments = as_mapping(json.loads(str(function.get("arguments") or "{}")), f"{where}.arguments")
        except ValueError:
            arguments = {}
        yield ToolCall(str(call.get("id")), str(function.get("name")), arguments)


def _tool_names(body: dict[str, object]) -> Iterator[str]:
    for entry in as_list(body.get("tools") or [], "tools"):
        function = as_mapping(entry, "tools").get("function")
        yield str(as_mapping(function, "tools").get("name"))


def render(answer: Answer, usage: Usage, model: str, answer_id: str) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": answer.text or None}
    if answer.calls:
        message["tool_calls"] = [_wire_call(call) for call in answer.calls]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish_reason(answer)}
    return {**_envelope("chat.completion", model, answer_id), "choices": [choice], "usage": _usage(usage)}


def stream(conversation: Conversation, answer: Answer, usage: Usage, model: str, answer_id: str) -> Iterator[bytes]:
    envelope = _envelope("chat.completion.chunk", model, answer_id)

    def chunk(delta: dict[str, object], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event({**envelope, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(answer.text):
        yield chunk({"content": piece})
    for index, call in enumerate(answer.calls):
        wire = _wire_call(call)
        function: dict[str, object] = {"name": call.name, "arguments": ""}
        yield chunk({"tool_calls": [{**wire, "index": index, "function": function}]})
        for piece in pieces(arguments_of(call)):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish_reason(answer))
    if conversation.include_usage:
        yield _event({**envelope, "choices": [], "usage": _usage(usage)})
    yield b"data: [DONE]\n\n"


def error(status: int, message: str) -> dict[str, object]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    code = "rate_limit_exceeded" if status == 429 else None
    return {"error": {"message": message, "type": "requests" if code else kind, "param": None, "code": code}}


def arguments_of(call: ToolCall) -> str:
    return call.garbled or json.dumps(dict(call.arguments))


def pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), CHUNK_CHARACTERS):
        yield text[start : start + CHUNK_CHARACTERS]


def _envelope(kind: str, model: str, answer_id: str) -> dict[str, object]:
    # `created` is constant: the same request must give the same bytes.
    return {"id": f"chatcmpl-{answer_id}", "object": kind, "created": 0, "model": model}


def _wire_call(call: ToolCall) -> dict[str, object]:
    function = {"name": call.name, "arguments": arguments_of(call)}
    return {"id": call.id, "type": "function", "function": function}


def _finish_reason(answer: Answer) -> str:
    if answer.truncated:
        return "length"
    return "tool_calls" if answer.calls else "stop"


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _event(data: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
