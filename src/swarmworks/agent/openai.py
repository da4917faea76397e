"""OpenAI Chat Completions, as OpenAI and the many compatible servers speak it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from swarmworks.agent import document
from swarmworks.agent.conversation import Answered, ModelAnswer, Spoken, TokenUsage
from swarmworks.agent.dialect import AnswerError, tool_call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swarmworks.agent.conversation import Conversation, ToolCall, Turn
    from swarmworks.agent.dialect import ModelSettings


class OpenAIDialect:
    path = "/chat/completions"

    def headers(self, token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def body(self, conversation: Conversation, settings: ModelSettings) -> dict[str, object]:
        messages: list[dict[str, object]] = [{"role": "system", "content": conversation.system}]
        for turn in conversation.turns:
            messages += _messages(turn)
        body: dict[str, object] = {
            "model": settings.model,
            "max_completion_tokens": settings.max_output_tokens,
            "messages": messages,
            "tools": [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in settings.tools
            ],
            "stream": settings.stream,
        }
        if settings.stream:
            body["stream_options"] = {"include_usage": True}
        return body

    def assemble(self, chunks: Iterable[dict[str, object]]) -> dict[str, object]:
        """Tool calls come in pieces, told apart by their `index`; usage comes in a last chunk without choices."""
        content: list[str] = []
        calls: dict[int, dict[str, str]] = {}
        finish = ""
        usage: dict[str, object] = {}
        for chunk in chunks:
            if "error" in chunk:
                raise AnswerError(f"the stream broke off: {json.dumps(chunk['error'])[:300]}")
            usage = document.mapping(chunk.get("usage")) or usage
            for choice in map(document.mapping, document.items(chunk.get("choices"))):
                delta = document.mapping(choice.get("delta"))
                content.append(document.text(delta.get("content")))
                for piece in map(document.mapping, document.items(delta.get("tool_calls"))):
                    _add_piece(calls, piece)
                finish = document.text(choice.get("finish_reason")) or finish
        if not finish:
            raise AnswerError("the stream was cut before its end")
        message = {
            "content": "".join(content),
            "tool_calls": [
                {"id": call["id"], "function": {"name": call["name"], "arguments": call["arguments"]}}
                for _index, call in sorted(calls.items())
            ],
        }
        return {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}

    def read(self, answer: dict[str, object]) -> ModelAnswer:
        choices = document.items(answer.get("choices"))
        choice = document.mapping(choices[0]) if choices else {}
        if "message" not in choice:
            raise AnswerError("the answer holds no message")
        message = document.mapping(choice["message"])
        calls = tuple(
            _call(number, document.mapping(call))
            for number, call in enumerate(document.items(message.get("tool_calls")))
        )
        usage = document.mapping(answer.get("usage"))
        details = document.mapping(usage.get("prompt_tokens_details"))
        return ModelAnswer(
            text=document.text(message.get("content")),
            calls=calls,
            usage=TokenUsage(
                input_tokens=document.whole(usage.get("prompt_tokens")),
                output_tokens=document.whole(usage.get("completion_tokens")),
                cache_read_tokens=document.whole(details.get("cached_tokens")),
            ),
            cut=choice.get("finish_reason") == "length",
        )


def _add_piece(calls: dict[int, dict[str, str]], piece: dict[str, object]) -> None:
    call = calls.setdefault(document.whole(piece.get("index")), {"id": "", "name": "", "arguments": ""})
    function = document.mapping(piece.get("function"))
    call["id"] = call["id"] or document.text(piece.get("id"))
    call["name"] += document.text(function.get("name"))
    arguments = function.get("arguments")
    call["arguments"] += arguments if isinstance(arguments, str) else ""


def _call(number: int, call: dict[str, object]) -> ToolCall:
    function = document.mapping(call.get("function"))
    arguments = function.get("arguments")
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return tool_call(document.text(call.get("id")) or f"call_{number}", document.text(function.get("name")), raw)


def _messages(turn: Turn) -> list[dict[str, object]]:
    if isinstance(turn, Spoken):
        return [{"role": "user", "content": turn.text}]
    if isinstance(turn, Answered):
        message: dict[str, object] = {"role": "assistant", "content": turn.text}
        if turn.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.tool, "arguments": json.dumps(call.arguments or {})},
                }
                for call in turn.calls
            ]
        return [message]
    return [{"role": "tool", "tool_call_id": result.call_id, "content": result.text} for result in turn.results]
