"""Anthropic Messages: `/v1/messages`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from swarmworks.domain.budget import Usage
from swarmworks.policy.bound import Billed, Shape, text_bytes
from swarmworks.provider import jsonbody, media, sse
from swarmworks.provider.conversation import Conversation, setting_of, unmarked
from swarmworks.provider.format import (
    Demand,
    Fault,
    asks_one_hour,
    check_fields,
    check_value,
    count,
    flag,
    items,
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

_FIELDS = words(
    "model messages system max_tokens metadata stop_sequences stream temperature top_k top_p tools tool_choice thinking "
    "service_tier output_config output_format cache_control context_management speed inference_geo"
)
_TEXT_BLOCKS = frozenset({"text", "tool_use", "thinking", "redacted_thinking"})
_CLIENT_TOOLS = re.compile(r"(bash|text_editor|memory)_\d{8}")
_UNCOUNTED = words(
    "messages model max_tokens stream metadata stop_sequences temperature top_k top_p service_tier cache_control"
)
"""Beside the messages: what changes no count of input."""
_SPOILS_THE_COUNT = ("context_management", "output_format")
_TO_COUNT = ("messages", "system", "tools", "tool_choice", "thinking", "output_config")
_STATUS = {
    Fault.REJECTED: (400, "invalid_request_error"),
    Fault.UNAUTHENTICATED: (401, "authentication_error"),
    Fault.FORBIDDEN: (403, "permission_error"),
    Fault.NOT_FOUND: (404, "not_found_error"),
    Fault.TOO_LARGE: (413, "request_too_large"),
    Fault.BUSY: (429, "rate_limit_error"),
    Fault.UNAVAILABLE: (529, "overloaded_error"),
}
_WORTH_READING = re.compile(rb'"type"\s*:\s*"(message_start|message_delta|message_stop|error)"')
_COUNTS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class Messages:
    name = "anthropic.messages"
    count_path = "/messages/count_tokens"

    def read(self, raw: bytes, *, headers: Mapping[str, str], allowed_fields: frozenset[str]) -> Demand:
        body = jsonbody.parse(raw)
        values = body.values
        check_fields(values, _FIELDS, allowed_fields)
        check_value(values, "service_tier", ("auto", "standard_only"))
        check_value(values, "speed", ("standard",))
        check_value(values, "inference_geo", ("global",))
        _check_edits(values)
        _read_blocks(values.get("system"), "system", item=0, found=None)
        found: list[Media] = []
        for at, message in enumerate(items(values.get("messages"), "messages")):
            _read_blocks(message.get("content"), f"messages[{at}].content", item=at, found=found)
        beta, version = headers.get("anthropic-beta", ""), headers.get("anthropic-version", "")
        return Demand(
            body=body,
            stream=flag(values, "stream"),
            wants_usage=True,
            asked_output=whole_number(values, "max_tokens", most=MOST_OUTPUT_TOKENS),
            shape=Shape(
                text_bytes=text_bytes(raw, body.text, values, media_bytes=sum(each.payload_bytes for each in found)),
                output_cap=0,
                tools=bool(values.get("tools")),
                vendor_tools=_count_vendor_tools(values),
                one_hour_cache=asks_one_hour(body),
                any_window="context-1m" in beta,
                media=tuple(each.kind for each in found),
            ),
            media=tuple(found),
            conversation=_conversation(values, found, (beta, version)),
        )

    def rewrite(self, demand: Demand, *, model: str, output_cap: int) -> bytes:
        values = demand.body.values
        changes: dict[str, object] = {} if values.get("model") == model else {"model": model}
        if values.get("max_tokens") != output_cap:
            changes["max_tokens"] = output_cap
            if (count(mapping(values.get("thinking")), "budget_tokens") or 0) >= output_cap:
                changes["thinking"] = Inside({"budget_tokens": output_cap - output_cap // 4})
        return demand.body.spliced(changes)

    def counted(self, raw: bytes, *, model: str, allowed_fields: frozenset[str]) -> bytes:
        return self.read(raw, headers={}, allowed_fields=allowed_fields).body.spliced({"model": model})

    def to_count(self, demand: Demand, *, model: str) -> bytes | None:
        """None with edits of the context, whose count is not what another answer of the same size would have, and with a form of
        the output: its schema is part of the prompt, and not of the count.
        """
        values = demand.body.values
        if any(values.get(field) for field in _SPOILS_THE_COUNT) or not _tells_effort_only(values.get("output_config")):
            return None
        asked = {field: values[field] for field in _TO_COUNT if values.get(field) is not None}
        return json.dumps({"model": model, **asked}).encode()

    def count_told(self, answer: bytes) -> int | None:
        return count(read_object(answer), "input_tokens")

    def billed(self, answer: bytes) -> Billed | None:
        parsed = read_object(answer)
        return _billed(mapping(parsed.get("usage"))) if parsed.get("type") == "message" else None

    def meter(self) -> _Meter:
        return _Meter()

    def error(self, fault: Fault, message: str, code: str) -> tuple[int, bytes]:
        status, kind = _STATUS[fault]
        return status, _error_body(kind, message, code)

    def error_event(self, message: str) -> bytes:
        return b"event: error\ndata: " + _error_body("api_error", message, "stream_cut") + b"\n\n"

    def models(self, model: str) -> bytes:
        entry = {"type": "model", "id": model, "display_name": model, "created_at": "1970-01-01T00:00:00Z"}
        return json.dumps({"data": [entry], "has_more": False, "first_id": model, "last_id": model}).encode()


class _Meter:
    """`message_start` holds the input's usage and a placeholder for the output; `message_delta` the running totals.
    The last value of a field that is not null counts. The usage is final once a delta says why the message stopped.
    """

    def __init__(self) -> None:
        self.finished = False
        self.error = b""
        self._failed = False
        self._stopped = False
        self._usage: dict[str, Any] = {}

    def feed(self, event: bytes) -> bool:
        data = sse.data_of(event)
        if not _WORTH_READING.search(data):
            return False
        try:
            message = mapping(json.loads(data))
        except (ValueError, RecursionError):
            self._failed = True
            return False
        if message.get("type") == "error":
            self._failed, self.error = True, data
        self._take(message)
        return False

    def _take(self, message: Mapping[str, Any]) -> None:
        kind = message.get("type")
        if kind == "message_start":
            started = mapping(mapping(message.get("message")).get("usage"))
            self._merge({key: value for key, value in started.items() if key != "output_tokens"})
        elif kind == "message_delta":
            self._merge(mapping(message.get("usage")))
            self._stopped = self._stopped or bool(mapping(message.get("delta")).get("stop_reason"))
        elif kind == "message_stop":
            self.finished = True

    def _merge(self, usage: Mapping[str, Any]) -> None:
        self._usage |= {key: value for key, value in usage.items() if value is not None}

    @property
    def ended(self) -> bool:
        return self.finished or self._stopped

    def billed(self) -> Billed | None:
        return _billed(self._usage) if self._stopped and not self._failed else None


def _billed(usage: Mapping[str, Any]) -> Billed | None:
    """The vendor counts fresh, read and written input apart; our input is their sum."""
    if usage.get("service_tier") not in (None, "standard", "priority", "batch"):
        return None
    if usage.get("inference_geo") not in (None, "", "global", "not_available"):
        return None  # a workspace's default may be a dearer place than the request may ask for
    if usage.get("speed") not in (None, "standard") or mapping(usage.get("server_tool_use")).get("web_search_requests"):
        return None
    fresh, output, read, written = (count(usage, field) for field in _COUNTS)
    if fresh is None or output is None:
        return None
    read, written = read or 0, written or 0
    hour = count(mapping(usage.get("cache_creation")), "ephemeral_1h_input_tokens") or 0
    written = max(written, hour)
    return Billed(Usage(fresh + read + written, output, read, written), cache_write_1h_tokens=hour)


def _conversation(values: Mapping[str, Any], found: list[Media], told: tuple[str, ...]) -> Conversation | None:
    """A message's text and one text block of it are the same to the vendor, and clients send first one, then the other.
    Edits of the context drop parts of a conversation by its length, and may leave them in the next time.
    """
    if values.get("context_management"):
        return None
    setting = setting_of(values, _UNCOUNTED)
    for field in ("system", "tools"):
        if field in setting:
            setting[field] = unmarked(setting[field])
    messages: list[object] = []
    for message in items(values.get("messages"), "messages"):
        content = message.get("content")
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else unmarked(content)
        messages.append({**message, "content": blocks})
    return Conversation(setting, messages, found, told)


def _read_blocks(content: object, where: str, *, item: int, found: list[Media] | None) -> None:
    """Collects media; there is none where `found` is None."""
    if content is None or isinstance(content, str):
        return
    for at, block in enumerate(items(content, where)):
        kind = block.get("type")
        place = f"{where}[{at}]"
        if kind == "tool_result":
            _read_blocks(block.get("content"), f"{place}.content", item=item, found=found)
        elif kind == "document" and mapping(block.get("citations")).get("enabled"):
            raise refuse(
                f"{place}.citations", "a document cut into citations is longer than its bytes", "ask for no citations"
            )
        elif kind == "document" and mapping(block.get("source")).get("type") == "text":
            continue
        elif one_of(kind, ("image", "document")) and found is not None:
            found.append(media.anthropic_block(block, place=place, item=item))
        elif not one_of(kind, _TEXT_BLOCKS):
            raise media.unbounded(kind, place)


def _count_vendor_tools(values: Mapping[str, Any]) -> int:
    """Tools whose schema the provider holds and the client runs. Those the provider runs are refused."""
    found = 0
    for at, tool in enumerate(items(values.get("tools"), "tools")):
        kind = tool.get("type")
        if kind in (None, "custom"):
            continue
        if not isinstance(kind, str) or not _CLIENT_TOOLS.fullmatch(kind):
            raise refuse(
                f"tools[{at}].type",
                f"{str(kind)[:40]!r} runs at the provider, at a price of its own",
                "offer tools that the client runs",
            )
        found += 1
    return found


def _tells_effort_only(config: object) -> bool:
    """The provider's count takes an effort along; what a form of the output adds it leaves out, and of anything else it is not
    known.
    """
    told = mapping(config)
    return not config or (bool(told) and all(field == "effort" or value is None for field, value in told.items()))


def _check_edits(values: Mapping[str, Any]) -> None:
    """Clearing old blocks makes a request shorter; compaction is a second call that reports its usage elsewhere."""
    for at, edit in enumerate(
        items(mapping(values.get("context_management")).get("edits"), "context_management.edits")
    ):
        if not str(edit.get("type")).startswith("clear_"):
            raise refuse(f"context_management.edits[{at}]", "only edits that clear blocks have a bound", "remove it")


def _error_body(kind: str, message: str, code: str) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, "code": code}}).encode()
