"""What was said in a call, read out of any vendor's wire format, for those who switched on its recording.

Read as far as it is understood: what is no text, no tool call and no tool's answer is left out, and nothing raises. The
vendors' shapes do not collide, so one reader knows them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from swarmworks.provider import sse
from swarmworks.provider.format import mapping

_MOST_EVENT = 1 << 20
_SYSTEM_FIELDS = ("system", "instructions", "systemInstruction")
_MESSAGE_FIELDS = ("messages", "input", "contents")


@dataclass(frozen=True, slots=True)
class Said:
    """`kind`: text, reasoning, tool_call (with `name`) or tool_call_response."""

    role: str
    kind: str
    text: str
    name: str = ""


def prompt(body: Mapping[str, Any]) -> Iterator[Said]:
    """In the order of the request."""
    for field in _SYSTEM_FIELDS:
        system = body.get(field)
        yield from _blocks("system", mapping(system).get("parts", system))
    for field in _MESSAGE_FIELDS:
        messages = body.get(field)
        if isinstance(messages, str):
            yield Said("user", "text", messages)
        for message in _listed(messages):
            yield from _message(mapping(message))


def answer(raw: bytes) -> list[Said]:
    """Of a whole answer, or of a stream as far as it is there."""
    body = _parsed(raw)
    if body is not None:
        return list(_whole(body))
    gathered = _Gathered()
    for event in sse.EventSplitter(_MOST_EVENT).feed(raw):
        gathered.add(_parsed(sse.data_of(event)) or {})
    return gathered.said()


def _whole(body: Mapping[str, Any]) -> Iterator[Said]:
    for choice in _listed(body.get("choices")):
        yield from _message(mapping(mapping(choice).get("message")), "assistant")
    for candidate in _listed(body.get("candidates")):
        yield from _message(mapping(mapping(candidate).get("content")), "assistant")
    for item in _listed(body.get("output")):
        yield from _message(mapping(item), "assistant")
    yield from _blocks("assistant", body.get("content"))


class _Gathered:
    """The pieces of a stream, put together by the place they belong to."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[object, ...], tuple[str, str, list[str]]] = {}

    def said(self) -> list[Said]:
        return [Said("assistant", kind, "".join(texts), name) for kind, name, texts in self._pieces.values()]

    def add(self, event: Mapping[str, Any]) -> None:
        kind, place = event.get("type"), _place(event.get("index", event.get("item_id")))
        if kind == "content_block_start":
            self._begin_block(place, mapping(event.get("content_block")))
        elif kind == "content_block_delta":
            delta = mapping(event.get("delta"))
            self._put((place, "text"), "text", delta.get("text"))
            self._put((place, "reasoning"), "reasoning", delta.get("thinking"))
            self._put((place, "call"), "tool_call", delta.get("partial_json"))
        elif kind == "response.output_item.added":
            item = mapping(event.get("item"))
            if item.get("type") == "function_call":
                self._put((_place(item.get("id")), "call"), "tool_call", "", _word(item.get("name")))
        elif kind == "response.output_text.delta":
            self._put((place, "text"), "text", event.get("delta"))
        elif kind == "response.function_call_arguments.delta":
            self._put((place, "call"), "tool_call", event.get("delta"))
        for choice in _listed(event.get("choices")):
            self._add_choice(mapping(choice))
        for candidate in _listed(event.get("candidates")):
            self._add_candidate(mapping(candidate))

    def _begin_block(self, place: str, block: Mapping[str, Any]) -> None:
        if block.get("type") == "tool_use":
            self._put((place, "call"), "tool_call", "", _word(block.get("name")))
        else:
            self._put((place, "text"), "text", block.get("text") or None)

    def _add_choice(self, choice: Mapping[str, Any]) -> None:
        at, delta = _place(choice.get("index")), mapping(choice.get("delta"))
        self._put((at, "text"), "text", delta.get("content") or None)
        for call in map(mapping, _listed(delta.get("tool_calls"))):
            function = mapping(call.get("function"))
            name = _word(function.get("name"))
            self._put((at, "call", _place(call.get("index"))), "tool_call", function.get("arguments") or "", name)

    def _add_candidate(self, candidate: Mapping[str, Any]) -> None:
        at = _place(candidate.get("index", 0))
        for said in _message(mapping(candidate.get("content")), "assistant"):
            key = (at, said.kind, len(self._pieces) if said.kind == "tool_call" else 0)
            self._put(key, said.kind, said.text, said.name)

    def _put(self, key: tuple[object, ...], kind: str, text: object, name: str = "") -> None:
        if isinstance(text, str):
            self._pieces.setdefault(key, (kind, name, []))[2].append(text)


def _message(message: Mapping[str, Any], role: str = "") -> Iterator[Said]:
    """A message, or an item of OpenAI Responses."""
    role = role or (_word(message.get("role")) or "user").replace("model", "assistant")
    kind = message.get("type")
    if kind == "function_call":
        yield Said("assistant", "tool_call", _word(message.get("arguments")), _word(message.get("name")))
    elif kind == "function_call_output":
        yield Said("tool", "tool_call_response", _flat(message.get("output")))
    elif role == "tool":
        yield Said("tool", "tool_call_response", _flat(message.get("content")))
    else:
        yield from _blocks(role, message.get("content", message.get("parts")))
    for call in map(mapping, _listed(message.get("tool_calls"))):
        function = mapping(call.get("function"))
        yield Said(role, "tool_call", _word(function.get("arguments")), _word(function.get("name")))


def _blocks(role: str, blocks: object) -> Iterator[Said]:
    if isinstance(blocks, str):
        yield Said(role, "text", blocks)
        return
    for block in map(mapping, _listed(blocks)):
        call, response = mapping(block.get("functionCall")), mapping(block.get("functionResponse"))
        if isinstance(block.get("text"), str):
            yield Said(role, "reasoning" if block.get("thought") is True else "text", block["text"])
        elif isinstance(block.get("thinking"), str):
            yield Said(role, "reasoning", block["thinking"])
        elif block.get("type") == "tool_use":
            yield Said(role, "tool_call", _dumped(block.get("input")), _word(block.get("name")))
        elif block.get("type") == "tool_result":
            yield Said(role, "tool_call_response", _flat(block.get("content")))
        elif call:
            yield Said(role, "tool_call", _dumped(call.get("args")), _word(call.get("name")))
        elif response:
            yield Said(role, "tool_call_response", _dumped(response.get("response")))


def _flat(content: object) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(_word(block.get("text")) for block in map(mapping, _listed(content)) if "text" in block)


def _word(value: object) -> str:
    return value if isinstance(value, str) else ""


def _place(value: object) -> str:
    return str(value) if isinstance(value, int | str) else ""


def _listed(value: object) -> Iterable[object]:
    return cast("list[object]", value) if isinstance(value, list) else ()


def _dumped(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (ValueError, RecursionError):
        return ""


def _parsed(raw: bytes) -> Mapping[str, Any] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else None
