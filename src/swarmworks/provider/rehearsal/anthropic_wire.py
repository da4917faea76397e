"""The Anthropic Messages wire format: request bytes in, JSON or server-sent events out."""

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
from swarmworks.provider.rehearsal.openai_wire import arguments_of, pieces

if TYPE_CHECKING:
    from collections.abc import Iterator


def parse(body: dict[str, object], input_bytes: int) -> Conversation:
    """Raise `MalformedRequestError` for a body that is not a Messages request."""
    spoken: list[str] = []
    turns = 0
    transcript = Transcript()
    for index, entry in enumerate(as_list(body.get("messages"), "messages")):
        where = f"messages[{index}]"
        message = as_mapping(entry, where)
        match message.get("role"):
            case "user":
                spoken.append(as_text(message.get("content"), where))
                transcript.answers.update(_results(message, where))
            case "assistant":
                turns += 1
                transcript.calls.extend(_calls(message, where))
            case role:
                raise MalformedRequestError(f"{where}: unknown role {role!r}")
    if not spoken:
        raise MalformedRequestError("messages: no user message")
    limit = as_limit(body.get("max_tokens"), "max_tokens")
    if limit is None:
        raise MalformedRequestError("max_tokens: required")
    return Conversation(
        model=str(body.get("model", "")),
        system=as_text(body.get("system"), "system"),
        prompt=spoken[0],
        exchanges=transcript.exchanges(),
        said=tuple(filter(None, spoken[1:])),
        tools=frozenset(str(as_mapping(t, "tools").get("name")) for t in as_list(body.get("tools") or [], "tools")),
        turns=turns,
        max_output_tokens=limit,
        input_bytes=input_bytes,
        stream=body.get("stream") is True,
    )


def _blocks(message: dict[str, object], where: str, kind: str) -> Iterator[dict[str, object]]:
    content = message.get("content")
    if isinstance(content, list):
        for entry in as_list(message.get("content"), where):
            block = as_mapping(entry, where)
            if block.get("type") == kind:
                yield block


def _calls(message: dict[str, object], where: str) -> Iterator[ToolCall]:
    for block in _blocks(message, where, "tool_use"):
        yield ToolCall(str(block.get("id")), str(block.get("name")), as_mapping(block.get("input") or {}, where))


def _results(message: dict[str, object], where: str) -> Iterator[tuple[str, str]]:
    for block in _blocks(message, where, "tool_result"):
        yield str(block.get("tool_use_id")), as_text(block.get("content"), where)


def render(answer: Answer, usage: Usage, model: str, answer_id: str) -> dict[str, object]:
    content: list[dict[str, object]] = []
    if answer.text:
        content.append({"type": "text", "text": answer.text})
    content.extend(
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.garbled or dict(call.arguments)}
        for call in answer.calls
    )
    return {
        **_envelope(model, answer_id),
        "content": content,
        "stop_reason": _stop_reason(answer),
        "stop_sequence": None,
        "usage": {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
    }


def stream(_conversation: Conversation, answer: Answer, usage: Usage, model: str, answer_id: str) -> Iterator[bytes]:
    start_usage = {"input_tokens": usage.input_tokens, "output_tokens": 1}
    content: list[object] = []
    start = {**_envelope(model, answer_id), "content": content, "stop_reason": None, "stop_sequence": None}
    yield _event("message_start", {"message": {**start, "usage": start_usage}})
    index = 0
    if answer.text:
        deltas = [{"type": "text_delta", "text": piece} for piece in pieces(answer.text)]
        yield from _block(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for call in answer.calls:
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(arguments_of(call))]
        yield from _block(index, {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, deltas)
        index += 1
    stop = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield _event("message_delta", {"delta": stop, "usage": {"output_tokens": usage.output_tokens}})
    yield _event("message_stop", {})


def error(status: int, message: str) -> dict[str, object]:
    kinds = {404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _block(index: int, start: dict[str, object], deltas: list[dict[str, str]]) -> Iterator[bytes]:
    yield _event("content_block_start", {"index": index, "content_block": start})
    for delta in deltas:
        yield _event("content_block_delta", {"index": index, "delta": delta})
    yield _event("content_block_stop", {"index": index})


def _envelope(model: str, answer_id: str) -> dict[str, object]:
    return {"id": f"msg_{answer_id}", "type": "message", "role": "assistant", "model": model}


def _stop_reason(answer: Answer) -> str:
    if answer.truncated:
        return "max_tokens"
    return "tool_use" if answer.calls else "end_turn"


def _event(name: str, data: dict[str, object]) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()
