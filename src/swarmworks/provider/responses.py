"""OpenAI Responses: `/v1/responses`. What the provider would fetch by itself (earlier answers, stored prompts, files,
references) has no bound in the request's bytes and is refused.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, cast

from swarmworks.base.errors import RejectedError
from swarmworks.domain.budget import Usage
from swarmworks.policy.bound import Billed, Shape, text_bytes
from swarmworks.provider import jsonbody, media, sse
from swarmworks.provider.conversation import Conversation, setting_of
from swarmworks.provider.format import (
    Demand,
    Fault,
    check_fields,
    check_value,
    count,
    flag,
    items,
    larger,
    mapping,
    one_of,
    read_object,
    refuse,
    whole_number,
    words,
)
from swarmworks.provider.openai import MOST_OUTPUT_TOKENS, ChatCompletions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.provider.media import Media

_FIELDS = words(
    "model input instructions stream stream_options max_output_tokens temperature top_p top_logprobs tools tool_choice "
    "parallel_tool_calls max_tool_calls reasoning text metadata store include truncation user safety_identifier "
    "prompt_cache_key prompt_cache_retention service_tier client_metadata"
)
_TEXT_ITEMS = frozenset({
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "custom_tool_call_output",
    "local_shell_call",
    "local_shell_call_output",
    "apply_patch_call",
    "apply_patch_call_output",
    "reasoning",
})  # fmt: skip
_TEXT_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})
_DESCRIBED = ("function", "custom")
"""Tools that the client describes, and runs."""

_CLIENT_TOOLS = frozenset({"local_shell", "apply_patch"})
_INCLUDES = frozenset({"reasoning.encrypted_content", "message.output_text.logprobs"})
_TIERS = ("auto", "default", "flex")
_WORTH_READING = re.compile(rb'"type"\s*:\s*"(response\.(completed|incomplete|failed)|error)"')
_UNCOUNTED = words(
    "input model max_output_tokens stream stream_options temperature top_p top_logprobs max_tool_calls metadata store include "
    "truncation user safety_identifier prompt_cache_key prompt_cache_retention service_tier client_metadata"
)
"""Beside the input: what changes no count of input."""
_CHAT = ChatCompletions()


class Responses:
    name = "openai.responses"
    count_path = None

    def read(self, raw: bytes, *, headers: Mapping[str, str], allowed_fields: frozenset[str]) -> Demand:
        del headers  # none of this format's changes a price
        body = jsonbody.parse(raw)
        values = body.values
        check_fields(values, _FIELDS, allowed_fields)
        check_value(values, "service_tier", _TIERS)
        check_value(values, "prompt_cache_retention", ("in_memory", "in-memory"))
        _check_includes(values)
        found = _read_input(values)
        return Demand(
            body=body,
            stream=flag(values, "stream"),
            wants_usage=True,  # it stands in the last event, with the whole answer
            asked_output=whole_number(values, "max_output_tokens", most=MOST_OUTPUT_TOKENS),
            shape=Shape(
                text_bytes=text_bytes(raw, body.text, values, media_bytes=sum(each.payload_bytes for each in found)),
                output_cap=0,
                tools=bool(values.get("tools")),
                vendor_tools=_count_vendor_tools(values),
                media=tuple(each.kind for each in found),
            ),
            media=tuple(found),
            conversation=_conversation(values, found),
        )

    def rewrite(self, demand: Demand, *, model: str, output_cap: int) -> bytes:
        values = demand.body.values
        changes: dict[str, object] = {} if values.get("model") == model else {"model": model}
        if values.get("max_output_tokens") != output_cap:
            changes["max_output_tokens"] = output_cap
        return demand.body.spliced(changes)

    def counted(self, raw: bytes, *, model: str, allowed_fields: frozenset[str]) -> bytes:
        return self.read(raw, headers={}, allowed_fields=allowed_fields).body.spliced({"model": model})

    def to_count(self, demand: Demand, *, model: str) -> bytes | None:
        return _CHAT.to_count(demand, model=model)

    def count_told(self, answer: bytes) -> int | None:
        return _CHAT.count_told(answer)

    def billed(self, answer: bytes) -> Billed | None:
        return _billed(read_object(answer))

    def meter(self) -> _Meter:
        return _Meter()

    def error(self, fault: Fault, message: str, code: str) -> tuple[int, bytes]:
        return _CHAT.error(fault, message, code)

    def error_event(self, message: str) -> bytes:
        told = {"type": "error", "code": "stream_cut", "message": message, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + json.dumps({**told, "error": told}).encode() + b"\n\n"

    def models(self, model: str) -> bytes:
        return _CHAT.models(model)


class _Meter:
    """The stream ends with the whole answer, its usage in it."""

    def __init__(self) -> None:
        self.finished = False
        self.error = b""
        self._billed: Billed | None = None
        self._failed = False

    def feed(self, event: bytes) -> bool:
        data = sse.data_of(event)
        if not _WORTH_READING.search(data):
            return False
        try:
            told = mapping(json.loads(data))
        except (ValueError, RecursionError):
            self._failed = True
            return False
        kind = told.get("type")
        if kind in ("response.completed", "response.incomplete"):
            self.finished = True
            told_now = _billed(mapping(told.get("response")))
            self._failed = self._failed or told_now is None
            self._billed = larger(told_now, self._billed)
        elif kind in ("response.failed", "error"):
            self._failed, self.error = True, data
        return False

    @property
    def ended(self) -> bool:
        return self.finished

    def billed(self) -> Billed | None:
        return None if self._failed else self._billed


def _billed(answer: Mapping[str, Any]) -> Billed | None:
    """Nothing for an answer that failed or is not finished: what it will cost is not known then."""
    if answer.get("status") not in ("completed", "incomplete") or answer.get("error"):
        return None
    if answer.get("service_tier") not in (None, "standard", *_TIERS):
        return None
    usage = mapping(answer.get("usage"))
    taken, given = count(usage, "input_tokens"), count(usage, "output_tokens")
    if taken is None or given is None:
        return None
    details = mapping(usage.get("input_tokens_details"))
    read, written = count(details, "cached_tokens") or 0, count(details, "cache_write_tokens") or 0
    output = max(given, (count(usage, "total_tokens") or 0) - taken)
    return Billed(Usage(max(taken, read + written), output, read, written))


def _check_includes(values: Mapping[str, Any]) -> None:
    wanted = values.get("include")
    if wanted is not None and not isinstance(wanted, list):
        raise refuse("include", "must be a list of names", "correct the value")
    for name in cast("list[object]", wanted or []):
        if not one_of(name, _INCLUDES):
            raise refuse(
                "include", f"{str(name)[:60]!r} is not known to be free", f"use {', '.join(sorted(_INCLUDES))}"
            )


def _conversation(values: Mapping[str, Any], found: list[Media]) -> Conversation | None:
    """With truncation the provider leaves out items from the middle, by the length of the whole."""
    if values.get("truncation") not in (None, "disabled"):
        return None
    given = values.get("input")
    listed = cast("list[object]", given) if isinstance(given, list) else [given]
    return Conversation(setting_of(values, _UNCOUNTED), listed, found)


def _read_input(values: Mapping[str, Any]) -> list[Media]:
    if values.get("instructions") is not None and not isinstance(values["instructions"], str):
        raise refuse("instructions", "must be text", "put anything else into the input")
    given = values.get("input")
    found: list[Media] = []
    if given is None or isinstance(given, str):
        return found
    for at, item in enumerate(items(given, "input")):
        _check_item(item, f"input[{at}]")
        for field in ("content", "output", "summary"):
            _read_parts(item.get(field), f"input[{at}].{field}", at, found)
    return found


def _check_item(item: Mapping[str, Any], place: str) -> None:
    """What only names something that the provider holds would bring in more than its bytes."""
    kind = item.get("type")
    if kind in (None, "message"):
        if "role" not in item or item.get("content") is None:
            raise refuse(place, "a reference to what the provider holds has no bound", "send the item itself")
    elif not one_of(kind, _TEXT_ITEMS):
        raise media.unbounded(kind, place)
    elif kind == "reasoning" and item.get("id") and not isinstance(item.get("encrypted_content"), str):
        raise refuse(
            place,
            "reasoning that the provider holds has no bound",
            'send "store": false, include reasoning.encrypted_content, and send that back',
        )


def _read_parts(content: object, where: str, item: int, found: list[Media]) -> None:
    if content is None or isinstance(content, str):
        return
    for part in items(content, where):
        kind = part.get("type")
        if kind == "input_image" and not part.get("file_id"):
            found.append(media.in_data_url(part.get("image_url"), place=where, item=item))
        elif kind == "input_file" and not (part.get("file_id") or part.get("file_url")):
            found.append(media.in_data_url(part.get("file_data"), place=where, item=item))
        elif not one_of(kind, _TEXT_PARTS):
            raise media.unbounded(kind, where)


def _count_vendor_tools(values: Mapping[str, Any]) -> int:
    """Tools whose description the provider holds and the client runs. Those the provider runs are refused."""
    found = 0
    for at, tool in enumerate(items(values.get("tools"), "tools")):
        kind, place = tool.get("type"), f"tools[{at}]"
        if kind == "namespace":  # a folder of tools, which has no price of its own
            for within, inner in enumerate(items(tool.get("tools"), f"{place}.tools")):
                if inner.get("type") not in _DESCRIBED:
                    raise _runs_there(inner.get("type"), f"{place}.tools[{within}].type")
        elif kind not in _DESCRIBED:
            if not one_of(kind, _CLIENT_TOOLS):
                raise _runs_there(kind, f"{place}.type")
            found += 1
    return found


def _runs_there(kind: object, place: str) -> RejectedError:
    why = f"{str(kind)[:40]!r} runs at the provider, at a price of its own"
    return refuse(place, why, "offer tools that the client runs")
