"""OpenAI Chat Completions: `/v1/chat/completions`, as many servers speak it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from swarmworks.domain.budget import Usage
from swarmworks.policy.bound import Billed, Shape, text_bytes
from swarmworks.provider import jsonbody, media, sse
from swarmworks.provider.conversation import Conversation, setting_of
from swarmworks.provider.format import (
    Demand,
    Fault,
    asks_one_hour,
    check_fields,
    check_value,
    count,
    flag,
    items,
    larger,
    listed,
    mapping,
    one_of,
    read_object,
    refuse,
    whole_number,
    words,
)
from swarmworks.provider.jsonbody import Inside

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.provider.media import Media

MOST_OUTPUT_TOKENS = 10_000_000
MOST_CHOICES = 128

_FIELDS = words(
    "model messages stream stream_options max_tokens max_completion_tokens n temperature top_p top_k min_p stop seed user "
    "presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs tools tool_choice "
    "parallel_tool_calls functions function_call response_format reasoning_effort verbosity metadata store service_tier "
    "safety_identifier prompt_cache_key prompt_cache_retention modalities chat_template_kwargs"
)
_MESSAGE_FIELDS = words(
    "role content name tool_calls tool_call_id tool_name function_call refusal annotations reasoning reasoning_content "
    "reasoning_details thinking thinking_blocks prefix cache_control"
)
_UNCOUNTED = words(
    "messages model max_tokens max_completion_tokens n stream stream_options temperature top_p top_k min_p stop seed user "
    "presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs metadata store service_tier "
    "safety_identifier prompt_cache_key prompt_cache_retention"
)
"""Beside the messages: what changes no count of input."""
_PARTS = ("text", "refusal")
_CAPS = ("max_tokens", "max_completion_tokens")
_STATUS = {
    Fault.REJECTED: (400, "invalid_request_error"),
    Fault.UNAUTHENTICATED: (401, "authentication_error"),
    Fault.FORBIDDEN: (403, "permission_error"),
    Fault.NOT_FOUND: (404, "invalid_request_error"),
    Fault.TOO_LARGE: (413, "invalid_request_error"),
    Fault.BUSY: (429, "rate_limit_error"),
    Fault.UNAVAILABLE: (503, "server_error"),
}
_WORTH_READING = re.compile(rb'"usage"\s*:\s*\{|"finish_reason"\s*:\s*"|"error"\s*:')
_TIERS = frozenset({"default", "flex", "on_demand"})  # the last is Groq's standard one


class ChatCompletions:
    name = "openai.chat"
    count_path = None

    def read(self, raw: bytes, *, headers: Mapping[str, str], allowed_fields: frozenset[str]) -> Demand:
        del headers  # none of this format's changes a price
        body = jsonbody.parse(raw)
        values = body.values
        check_fields(values, _FIELDS, allowed_fields)
        check_value(values, "service_tier", ("auto", *_TIERS))
        check_value(values, "prompt_cache_retention", ("in_memory", "in-memory"))
        if values.get("modalities") not in (None, [], ["text"]):
            raise refuse("modalities", "only text has a bound", "leave it out")
        found = _read_messages(values)
        _check_tools(values)
        options = mapping(values.get("stream_options"))
        asked = [whole_number(values, key, most=MOST_OUTPUT_TOKENS) for key in _CAPS]
        return Demand(
            body=body,
            stream=flag(values, "stream"),
            wants_usage=flag(options, "include_usage"),
            asked_output=max((number for number in asked if number is not None), default=None),
            shape=Shape(
                text_bytes=text_bytes(raw, body.text, values, media_bytes=sum(each.payload_bytes for each in found)),
                output_cap=0,
                choices=whole_number(values, "n", most=MOST_CHOICES) or 1,
                tools=bool(values.get("tools") or values.get("functions")),
                one_hour_cache=asks_one_hour(body),
                media=tuple(each.kind for each in found),
            ),
            media=tuple(found),
            conversation=Conversation(setting_of(values, _UNCOUNTED), items(values.get("messages"), "messages"), found),
        )

    def rewrite(self, demand: Demand, *, model: str, output_cap: int) -> bytes:
        values = demand.body.values
        changes: dict[str, object] = {} if values.get("model") == model else {"model": model}
        caps, name = {key: values[key] for key in _CAPS if values.get(key) is not None}, _cap_name(model)
        for key in {name, *caps} if name in values else caps or {name}:
            if len(caps) < 2 or caps[key] > output_cap:
                changes[key] = output_cap
        renamed = {key: name for key in caps if name not in values}
        if demand.stream and not demand.wants_usage:
            changes["stream_options"] = Inside({"include_usage": True})
        return demand.body.spliced(changes, renamed)

    def counted(self, raw: bytes, *, model: str, allowed_fields: frozenset[str]) -> bytes:
        return self.read(raw, headers={}, allowed_fields=allowed_fields).body.spliced({"model": model})

    def to_count(self, demand: Demand, *, model: str) -> bytes | None:
        del demand, model  # no server of this format is asked
        return None

    def count_told(self, answer: bytes) -> int | None:
        del answer
        return None

    def billed(self, answer: bytes) -> Billed | None:
        parsed = read_object(answer)
        return None if parsed.get("error") else _billed(parsed)

    def meter(self) -> _Meter:
        return _Meter()

    def error(self, fault: Fault, message: str, code: str) -> tuple[int, bytes]:
        status, kind = _STATUS[fault]
        return status, _error_body(message, kind, code)

    def error_event(self, message: str) -> bytes:
        return b"data: " + _error_body(message, "server_error", "stream_cut") + b"\n\n"

    def models(self, model: str) -> bytes:
        entry = {"id": model, "object": "model", "created": 0, "owned_by": "swarmworks"}
        return json.dumps({"object": "list", "data": [entry]}).encode()


class _Meter:
    """A stream ends with `[DONE]`. The usage stands in the last chunk, which has no choices; servers that repeat a
    running total in every chunk are believed only once every choice has a reason to have finished. Of several final ones,
    behind the end too, the largest counts.
    """

    def __init__(self) -> None:
        self.finished = False
        self.error = b""
        self._failed = False
        self._ended_choices = False
        self._last: Billed | None = None
        self._final: Billed | None = None

    def feed(self, event: bytes) -> bool:
        data = sse.data_of(event)
        if data == b"[DONE]":
            self.finished = True
            self._final = larger(self._last, self._final) or self._final
            return False
        if not _WORTH_READING.search(data):
            return False
        try:
            chunk = mapping(json.loads(data))
        except (ValueError, RecursionError):
            self._failed = True
            return False
        if chunk.get("error"):
            self._failed, self.error = True, data
        return self._take(chunk)

    def _take(self, chunk: Mapping[str, Any]) -> bool:
        choices = listed(chunk.get("choices"))
        if any(mapping(choice).get("finish_reason") for choice in choices):
            self._ended_choices = True
        if chunk.get("usage"):
            self._last = _billed(chunk)
            self._failed = self._failed or self._last is None
            if self.finished or (not choices and self._ended_choices):
                self._final = larger(self._last, self._final)
        return bool(chunk.get("usage")) and not choices

    @property
    def ended(self) -> bool:
        return self.finished or self._ended_choices

    def billed(self) -> Billed | None:
        return None if self._failed else self._final


def _billed(answer: Mapping[str, Any]) -> Billed | None:
    """Some servers leave reasoning out of `completion_tokens` but not out of the total: the larger counts."""
    if answer.get("service_tier") not in (None, "auto", "standard", *_TIERS):
        return None
    usage = mapping(answer.get("usage"))
    prompt, completion = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    if prompt is None or completion is None:
        return None
    details = mapping(usage.get("prompt_tokens_details"))
    read, written = count(details, "cached_tokens") or 0, count(details, "cache_write_tokens") or 0
    output = max(completion, (count(usage, "total_tokens") or 0) - prompt)
    return Billed(Usage(max(prompt, read + written), output, read, written))


def _read_messages(values: Mapping[str, Any]) -> list[Media]:
    found: list[Media] = []
    for at, message in enumerate(items(values.get("messages"), "messages")):
        where = f"messages[{at}]"
        check_fields(
            {f"{where}.{key}": value for key, value in message.items() if key not in _MESSAGE_FIELDS},
            frozenset(),
            frozenset(),
        )
        content = message.get("content")
        if content is not None and not isinstance(content, str):
            for part in items(content, f"{where}.content"):
                _read_part(part, f"{where}.content", at, found)
    return found


def _read_part(part: Mapping[str, Any], where: str, item: int, found: list[Media]) -> None:
    kind = part.get("type")
    if kind == "image_url":
        found.append(media.in_data_url(mapping(part.get("image_url")).get("url"), place=where, item=item))
    elif kind == "file" and not mapping(part.get("file")).get("file_id"):
        found.append(media.in_data_url(mapping(part.get("file")).get("file_data"), place=where, item=item))
    elif not one_of(kind, _PARTS):
        raise media.unbounded(kind, where)


def _check_tools(values: Mapping[str, Any]) -> None:
    for at, tool in enumerate(items(values.get("tools"), "tools")):
        if tool.get("type") not in ("function", "custom"):
            raise refuse(
                f"tools[{at}].type",
                f"{str(tool.get('type'))[:40]!r} runs at the provider, at a price of its own",
                "offer function tools only",
            )


def _cap_name(model: str) -> str:
    """OpenAI's reasoning models refuse `max_tokens`. Most other servers know nothing else, and take the other name without a
    word and without a limit (ollama/ollama#7125, abetlen/llama-cpp-python#1907): what a client sent under the wrong one is
    renamed.
    """
    return "max_completion_tokens" if re.match(r"(o\d|gpt-[5-9])", model) else "max_tokens"


def _error_body(message: str, kind: str, code: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}}).encode()
