"""Anthropic Messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from swarmworks.agent import document
from swarmworks.agent.conversation import Answered, ModelAnswer, Spoken, TokenUsage
from swarmworks.agent.dialect import AnswerError, tool_call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swarmworks.agent.conversation import Conversation, Turn
    from swarmworks.agent.dialect import ModelSettings

_CACHED: dict[str, object] = {"cache_control": {"type": "ephemeral"}}
"""Marks the prefix that the next turn repeats: without it every turn pays for the whole conversation again."""


class AnthropicDialect:
    path = "/messages"

    def headers(self, token: str) -> dict[str, str]:
        return {"x-api-key": token, "anthropic-version": "2023-06-01"}

    def body(self, conversation: Conversation, settings: ModelSettings) -> dict[str, object]:
        messages = _merged([_message(turn) for turn in conversation.turns])
        last = document.mapping(document.items(messages[-1]["content"])[-1])
        last.update(_CACHED)
        return {
            "model": settings.model,
            "max_tokens": settings.max_output_tokens,
            "system": [{"type": "text", "text": conversation.system, **_CACHED}],
            "messages": messages,
            "tools": [
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
                for tool in settings.tools
            ],
            "stream": settings.stream,
        }

    def assemble(self, chunks: Iterable[dict[str, object]]) -> dict[str, object]:
        """Blocks are numbered by `index`; a tool's input comes as pieces of JSON text, kept as text until it is read."""
        blocks: dict[int, dict[str, object]] = {}
        usage: dict[str, object] = {}
        stop_reason: object = None
        complete = False
        for chunk in chunks:
            kind = chunk.get("type")
            if kind == "error":
                raise AnswerError(f"the stream broke off: {json.dumps(chunk.get('error'))[:300]}")
            if kind == "message_start":
                usage |= document.mapping(document.mapping(chunk.get("message")).get("usage"))
            elif kind == "content_block_start":
                blocks[document.whole(chunk.get("index"))] = dict(document.mapping(chunk.get("content_block")))
            elif kind == "content_block_delta":
                _add_delta(blocks, chunk)
            elif kind == "message_delta":
                usage |= document.mapping(chunk.get("usage"))
                stop_reason = document.mapping(chunk.get("delta")).get("stop_reason")
            elif kind == "message_stop":
                complete = True
        if not complete:
            raise AnswerError("the stream was cut before its end")
        content = [block for _index, block in sorted(blocks.items())]
        return {"content": content, "stop_reason": stop_reason, "usage": usage}

    def read(self, answer: dict[str, object]) -> ModelAnswer:
        if not isinstance(answer.get("content"), list):
            raise AnswerError("the answer holds no content")
        blocks = [document.mapping(block) for block in document.items(answer.get("content"))]
        calls = tuple(
            tool_call(
                document.text(block.get("id")) or f"call_{number}", document.text(block.get("name")), _input(block)
            )
            for number, block in enumerate(blocks)
            if block.get("type") == "tool_use"
        )
        usage = document.mapping(answer.get("usage"))
        cache_read = document.whole(usage.get("cache_read_input_tokens"))
        cache_write = document.whole(usage.get("cache_creation_input_tokens"))
        return ModelAnswer(
            text="\n".join(document.text(block.get("text")) for block in blocks if block.get("type") == "text"),
            calls=calls,
            usage=TokenUsage(
                input_tokens=document.whole(usage.get("input_tokens")) + cache_read + cache_write,
                output_tokens=document.whole(usage.get("output_tokens")),
                cache_read_tokens=cache_read,
                cache_write_tokens=cache_write,
            ),
            cut=answer.get("stop_reason") == "max_tokens",
        )


def _input(block: dict[str, object]) -> str:
    pieces = block.get("input_json")
    return pieces if isinstance(pieces, str) else json.dumps(block.get("input"))


def _add_delta(blocks: dict[int, dict[str, object]], chunk: dict[str, object]) -> None:
    block = blocks.setdefault(document.whole(chunk.get("index")), {"type": "text", "text": ""})
    delta = document.mapping(chunk.get("delta"))
    if delta.get("type") == "text_delta":
        block["text"] = document.text(block.get("text")) + document.text(delta.get("text"))
    elif delta.get("type") == "input_json_delta":
        piece = delta.get("partial_json")
        block["input_json"] = str(block.get("input_json", "")) + (piece if isinstance(piece, str) else "")


def _message(turn: Turn) -> dict[str, object]:
    if isinstance(turn, Spoken):
        return {"role": "user", "content": [{"type": "text", "text": turn.text}]}
    if isinstance(turn, Answered):
        content: list[object] = [{"type": "text", "text": turn.text}] if turn.text.strip() else []
        content += [
            {"type": "tool_use", "id": call.id, "name": call.tool or "unnamed", "input": call.arguments or {}}
            for call in turn.calls
        ]
        return {"role": "assistant", "content": content or [{"type": "text", "text": "(nothing)"}]}
    return {
        "role": "user",
        "content": [
            {
                "type": "tool_result",
                "tool_use_id": result.call_id,
                "content": result.text or "(nothing)",
                "is_error": not result.ok,
            }
            for result in turn.results
        ],
    }


def _merged(messages: list[dict[str, object]]) -> list[dict[str, object]]:
    """Roles must alternate: neighbours of one role become one message."""
    merged: list[dict[str, object]] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            content = [*document.items(merged[-1]["content"]), *document.items(message["content"])]
            merged[-1] = {"role": message["role"], "content": content}
        else:
            merged.append(message)
    return merged
