"""Gemini: `/v1beta/models/MODEL:generateContent` and `:streamGenerateContent?alt=sse`.

The model and the kind of answer stand in the path, not in the body. Names are taken in camelCase only: the provider reads
`max_output_tokens` as well, and a body that names a limit twice must not be bounded by the wrong one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from swarmworks.domain.budget import Usage
from swarmworks.policy.bound import Billed, Shape, text_bytes
from swarmworks.provider import jsonbody, media, sse
from swarmworks.provider.conversation import Conversation, setting_of
from swarmworks.provider.format import (
    Demand,
    Fault,
    check_fields,
    count,
    items,
    larger,
    listed,
    mapping,
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
MOST_CANDIDATES = 8
WHOLE, STREAM, COUNT = "generateContent", "streamGenerateContent", "countTokens"

_FIELDS = words("contents systemInstruction tools toolConfig safetySettings generationConfig labels")
_COUNTED = words("generateContentRequest contents systemInstruction model")
_GENERATION = words(
    "maxOutputTokens candidateCount temperature topP topK stopSequences responseMimeType responseSchema responseJsonSchema "
    "thinkingConfig seed presencePenalty frequencyPenalty responseLogprobs logprobs responseModalities "
    "mediaResolution"
)
_PART_FIELDS = words("text functionCall functionResponse thought thoughtSignature inlineData mediaResolution")
_UNCOUNTED = words("contents safetySettings labels")
"""Beside the contents: what changes no count of input; so does the output's cap."""
_STATUS = {
    Fault.REJECTED: (400, "INVALID_ARGUMENT"),
    Fault.UNAUTHENTICATED: (401, "UNAUTHENTICATED"),
    Fault.FORBIDDEN: (403, "PERMISSION_DENIED"),
    Fault.NOT_FOUND: (404, "NOT_FOUND"),
    Fault.TOO_LARGE: (413, "INVALID_ARGUMENT"),
    Fault.BUSY: (429, "RESOURCE_EXHAUSTED"),
    Fault.UNAVAILABLE: (503, "UNAVAILABLE"),
}


class GenerateContent:
    """`stream` is what the path asked for."""

    name = "google.generate"
    count_path = f"/models/{{model}}:{COUNT}"

    def __init__(self, *, stream: bool = False) -> None:
        self._stream = stream

    def read(self, raw: bytes, *, headers: Mapping[str, str], allowed_fields: frozenset[str]) -> Demand:
        del headers  # none of this format's changes a price
        body = jsonbody.parse(raw)
        values = body.values
        found = _bounded(values, allowed_fields)
        wanted = _object(values, "generationConfig")
        choices = whole_number(wanted, "candidateCount", most=MOST_CANDIDATES) or 1
        if self._stream and choices > 1:
            raise refuse("generationConfig.candidateCount", "a stream has one candidate here", "ask for one")
        return Demand(
            body=body,
            stream=self._stream,
            wants_usage=True,
            asked_output=whole_number(wanted, "maxOutputTokens", most=MOST_OUTPUT_TOKENS),
            shape=Shape(
                text_bytes=text_bytes(raw, body.text, values, media_bytes=sum(each.payload_bytes for each in found)),
                output_cap=0,
                choices=choices,
                tools=_offers_tools(values),
                media=tuple(each.kind for each in found),
            ),
            media=tuple(found),
            conversation=_conversation(values, found),
        )

    def rewrite(self, demand: Demand, *, model: str, output_cap: int) -> bytes:
        del model  # stands in the path
        wanted = mapping(demand.body.values.get("generationConfig"))
        changes: dict[str, object] = {}
        if count(wanted, "maxOutputTokens") != output_cap:
            changes["maxOutputTokens"] = output_cap
            if (count(mapping(wanted.get("thinkingConfig")), "thinkingBudget") or 0) >= output_cap:
                changes["thinkingConfig"] = Inside({"thinkingBudget": output_cap - output_cap // 4})
        return demand.body.spliced({"generationConfig": Inside(changes)}) if changes else demand.body.raw

    def counted(self, raw: bytes, *, model: str, allowed_fields: frozenset[str]) -> bytes:
        body = jsonbody.parse(raw)
        _check_spelling(body.values, _COUNTED)
        check_fields(body.values, _COUNTED, allowed_fields)
        whole, name = _object(body.values, "generateContentRequest"), f"models/{model}"
        for each, besides in ((body.values, {"model", "generateContentRequest"}), (whole, {"model"})):
            _bounded({key: value for key, value in each.items() if key not in besides}, allowed_fields)
        changes: dict[str, object] = {"model": name} if "model" in body.values else {}
        if body.values.get("generateContentRequest") is not None:
            changes["generateContentRequest"] = {**whole, "model": name}
        return body.spliced(changes)

    def to_count(self, demand: Demand, *, model: str) -> bytes | None:
        return json.dumps({"generateContentRequest": {"model": f"models/{model}", **demand.body.values}}).encode()

    def count_told(self, answer: bytes) -> int | None:
        return count(read_object(answer), "totalTokens")

    def billed(self, answer: bytes) -> Billed | None:
        parsed = read_object(answer)
        return None if parsed.get("error") else _billed(parsed)

    def meter(self) -> _Meter:
        return _Meter()

    def error(self, fault: Fault, message: str, code: str) -> tuple[int, bytes]:
        status, name = _STATUS[fault]
        return status, _error_body(status, name, message, code)

    def error_event(self, message: str) -> bytes:
        return b"data: " + _error_body(503, "UNAVAILABLE", message, "stream_cut") + b"\n\n"

    def models(self, model: str) -> bytes:
        verbs = [WHOLE, STREAM, COUNT]
        entry = {"name": f"models/{model}", "displayName": model, "supportedGenerationMethods": verbs}
        return json.dumps({"models": [entry]}).encode()


class _Meter:
    """Every event carries the usage so far. It is final once each candidate that began has a reason to have ended, or the
    prompt was blocked; nothing marks the end of the stream, so later events are believed over earlier ones, unless they
    say less: a total does not shrink.
    """

    def __init__(self) -> None:
        self.finished = False
        self.error = b""
        self._failed = False
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self._blocked = False
        self._final: Billed | None = None

    def feed(self, event: bytes) -> bool:
        data = sse.data_of(event)
        if not data:
            return False
        try:
            told = mapping(json.loads(data))
        except (ValueError, RecursionError):
            self._failed = True
            return False
        if told.get("error"):
            self._failed, self.error = True, data
        self._take(told)
        return False

    def _take(self, told: Mapping[str, Any]) -> None:
        for candidate in map(mapping, listed(told.get("candidates"))):
            number = count(candidate, "index") or 0
            self._begun.add(number)
            if candidate.get("finishReason"):
                self._ended.add(number)
        self._blocked = self._blocked or bool(mapping(told.get("promptFeedback")).get("blockReason"))
        if told.get("usageMetadata"):
            self._final = larger(_billed(told), self._final) if self.ended else None

    @property
    def ended(self) -> bool:
        return self._blocked or (bool(self._begun) and self._begun <= self._ended)

    def billed(self) -> Billed | None:
        return None if self._failed else self._final


def _billed(answer: Mapping[str, Any]) -> Billed | None:
    """Thoughts are output, what tools put into the prompt is input; a total that is larger than the parts counts."""
    usage = mapping(answer.get("usageMetadata"))
    prompt = count(usage, "promptTokenCount")
    details: list[Any] = usage.get("candidatesTokensDetails") or []
    if prompt is None or any(mapping(each).get("modality") not in (None, "TEXT") for each in details):
        return None  # what is not text is billed at another rate
    prompt += count(usage, "toolUsePromptTokenCount") or 0
    given = (count(usage, "candidatesTokenCount") or 0) + (count(usage, "thoughtsTokenCount") or 0)
    output = max(given, (count(usage, "totalTokenCount") or 0) - prompt)
    cached = count(usage, "cachedContentTokenCount") or 0
    return Billed(Usage(max(prompt, cached), output, cached, 0))


def _bounded(values: Mapping[str, Any], allowed_fields: frozenset[str]) -> list[Media]:
    """The media of a request. RejectedError, naming the field, for what has no bound or reaches beyond the gateway."""
    _check_spelling(values, _FIELDS)
    check_fields(values, _FIELDS, allowed_fields)
    wanted = _object(values, "generationConfig")
    _check_spelling(wanted, _GENERATION)
    check_fields(
        {f"generationConfig.{key}": value for key, value in wanted.items() if key not in _GENERATION},
        frozenset(),
        allowed_fields,
    )
    _check_modalities(wanted)
    _offers_tools(values)
    return _read_contents(values)


def _check_spelling(values: Mapping[str, Any], known: frozenset[str]) -> None:
    """A second spelling is refused even where its value is empty: which of two the provider believes is not ours to guess."""
    plain = {name.lower(): name for name in known}
    for key in values:
        name = plain.get(key.replace("_", "").lower())
        if name is not None and name != key:
            raise refuse(key, "names are taken in camelCase only", f"write {name}")


def _object(values: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    if values.get(field) is not None and not isinstance(values[field], dict):
        raise refuse(field, "must be an object", "correct the value")
    return mapping(values.get(field))


def _check_modalities(wanted: Mapping[str, Any]) -> None:
    asked = json.dumps(wanted.get("responseModalities")).lower()
    if asked not in {"null", "[]", '["text"]'}:
        raise refuse("generationConfig.responseModalities", "only text has a bound", "leave it out")


def _conversation(values: Mapping[str, Any], found: list[Media]) -> Conversation:
    setting = setting_of(values, _UNCOUNTED)
    if "generationConfig" in setting:
        setting["generationConfig"] = setting_of(mapping(setting["generationConfig"]), frozenset({"maxOutputTokens"}))
    return Conversation(setting, items(values.get("contents"), "contents"), found)


def _read_contents(values: Mapping[str, Any]) -> list[Media]:
    _read_parts(_object(values, "systemInstruction").get("parts"), "systemInstruction.parts", 0, None)
    found: list[Media] = []
    for at, content in enumerate(items(values.get("contents"), "contents")):
        _read_parts(content.get("parts"), f"contents[{at}].parts", at, found)
    return found


def _read_parts(parts: object, where: str, item: int, found: list[Media] | None) -> None:
    """Collects media; there is none where `found` is None."""
    for at, part in enumerate(items(parts, where)):
        place = f"{where}[{at}]"
        for field in part:
            if field not in _PART_FIELDS:
                raise refuse(f"{place}.{field}", "this part has no bound", media.MEND)
        if set(_object(part, "mediaResolution")) - {"level"}:
            raise refuse(f"{place}.mediaResolution", "a number of tokens of one's own has no bound", "give a level")
        if _object(part, "functionResponse").get("parts"):
            raise refuse(f"{place}.functionResponse.parts", "what a tool returns as a file has no bound", media.MEND)
        if "inlineData" in part:
            inline = _object(part, "inlineData")
            if found is None:
                raise refuse(f"{place}.inlineData", "media has no bound here", "put it into contents")
            found.append(
                media.in_base64(inline.get("data"), inline.get("mimeType"), place=f"{place}.inlineData", item=item)
            )


def _offers_tools(values: Mapping[str, Any]) -> bool:
    """Whether functions of the client are offered. Tools that the provider runs are refused."""
    offered = False
    for at, tool in enumerate(items(values.get("tools"), "tools")):
        for field, value in tool.items():
            if field != "functionDeclarations":
                raise refuse(
                    f"tools[{at}].{field}",
                    "this tool runs at the provider, at a price of its own",
                    "offer functions only",
                )
            offered = offered or bool(value)
    return offered


def _error_body(status: int, name: str, message: str, code: str) -> bytes:
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "swarmworks"}
    return json.dumps({"error": {"code": status, "message": message, "status": name, "details": [reason]}}).encode()
