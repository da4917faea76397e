"""What the rehearsal model sees and says, free of any vendor's wire format.

The two wire modules turn request bytes into a `Conversation` and an `Answer` back into bytes. Nothing here remembers
anything between requests: the transcript in the request is the only memory.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

BYTES_PER_TOKEN = 4  # the usual rule of thumb for English and code; the figures are estimates and say so in the docs


class MalformedRequestError(ValueError):
    """The request's bytes do not fit the wire format; the message says where."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: Mapping[str, object]
    garbled: str = ""
    """What stands on the wire in place of the arguments when they are no JSON."""

    def text(self, key: str) -> str:
        value = self.arguments.get(key)
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One tool call of an earlier turn and what the tool answered (`None` when the transcript holds no answer)."""

    call: ToolCall
    answer: str | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A request: `prompt` is the first user message, `said` what users said after it, `exchanges` every tool call so far, `turns`
    the model's turns so far.
    """

    model: str
    system: str
    prompt: str
    exchanges: tuple[Exchange, ...] = ()
    said: tuple[str, ...] = ()
    tools: frozenset[str] = frozenset()
    turns: int = 0
    max_output_tokens: int | None = None
    input_bytes: int = 0
    stream: bool = False
    include_usage: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    calls: tuple[ToolCall, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    input_tokens: int
    output_tokens: int


@dataclass(slots=True)
class Transcript:
    """Pairs tool calls with their answers while a wire module walks the messages."""

    calls: list[ToolCall] = field(default_factory=list[ToolCall])
    answers: dict[str, str] = field(default_factory=dict[str, str])

    def exchanges(self) -> tuple[Exchange, ...]:
        return tuple(Exchange(call, self.answers.get(call.id)) for call in self.calls)


def usage_of(conversation: Conversation, answer: Answer) -> Usage:
    """Bytes divided by four, never less than one token."""
    return Usage(max(1, conversation.input_bytes // BYTES_PER_TOKEN), output_tokens(answer))


def output_tokens(answer: Answer) -> int:
    size = len(answer.text.encode()) + sum(call_bytes(call) for call in answer.calls)
    return max(1, size // BYTES_PER_TOKEN)


def call_bytes(call: ToolCall) -> int:
    return len(call.name) + len(json.dumps(dict(call.arguments)).encode())


def fit(answer: Answer, max_tokens: int | None) -> Answer:
    """Keep what fits the caller's limit, as a provider must: whole tool calls in order, then a cut text."""
    if max_tokens is None or output_tokens(answer) <= max_tokens:
        return answer
    room = max_tokens * BYTES_PER_TOKEN
    text = answer.text.encode()[:room].decode(errors="ignore")
    room -= len(text.encode())
    kept: list[ToolCall] = []
    for call in answer.calls:
        room -= call_bytes(call)
        if room < 0:
            break
        kept.append(call)
    return Answer(text, tuple(kept), truncated=not kept)


def as_mapping(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise MalformedRequestError(f"{where}: expected an object")
    return cast("dict[str, object]", value)


def as_list(value: object, where: str) -> list[object]:
    if not isinstance(value, list):
        raise MalformedRequestError(f"{where}: expected a list")
    return cast("list[object]", value)


def as_text(value: object, where: str) -> str:
    """A string, nothing, or a list of text parts: both wire formats allow all three wherever prose may stand."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    parts = [as_mapping(part, where) for part in as_list(value, where)]
    return "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")


def as_limit(value: object, where: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise MalformedRequestError(f"{where}: expected a whole number above 0")
    return value
