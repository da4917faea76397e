"""What a provider says of its limits: what is left (headers), when to come back, and what kind of refusal it was."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

from swarmworks.base.errors import RejectedError
from swarmworks.domain.provider import Outage
from swarmworks.provider.format import items, mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|h|m|s))")
_UNITS_S = {"h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_MOST_NUMBER = 10**12
_MOST_S = 10**7

_HEADERS: Mapping[str, tuple[tuple[str, str, str, str], ...]] = {
    "anthropic": tuple(
        (unit, f"{at}-limit", f"{at}-remaining", f"{at}-reset")
        for unit, at in (
            ("requests", "anthropic-ratelimit-requests"),
            ("tokens", "anthropic-ratelimit-tokens"),
            ("input tokens", "anthropic-ratelimit-input-tokens"),
            ("output tokens", "anthropic-ratelimit-output-tokens"),
        )
    ),
    "openai": tuple(
        (unit, f"x-ratelimit-limit-{unit}", f"x-ratelimit-remaining-{unit}", f"x-ratelimit-reset-{unit}")
        for unit in ("requests", "tokens")
    ),
}
"""By kind of provider: the unit, and the names of its limit, of what is left, and of when it is full again. Google has none."""

_OVERLOADED = frozenset(
    {"overloaded_error", "overloaded", "server_overloaded", "engine_overloaded", "engine_overloaded_error"}
)
_NO_CREDIT = frozenset({
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "BILLING_DISABLED",
})  # fmt: skip
_BAD_KEY = frozenset({
    "invalid_api_key",
    "authentication_error",
    "account_deactivated",
    "API_KEY_INVALID",
    "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED",
    "API_KEY_IP_ADDRESS_BLOCKED",
    "SERVICE_DISABLED",
    "CONSUMER_SUSPENDED",
    "CONSUMER_INVALID",
})  # fmt: skip
_LIMITED = frozenset({"rate_limit_error", "rate_limit_exceeded", "RESOURCE_EXHAUSTED", "insufficient_quota"})
_WRONG = frozenset({"invalid_request_error", "invalid_prompt", "INVALID_ARGUMENT", "FAILED_PRECONDITION"})
_THE_REQUESTS = re.compile(
    r"content|filter|safety|policy|moderation|image|audio|file|length|context|too.?(long|large|big|many.?tokens)|invalid|schema"
    r"|unsupported|not.?supported|malformed|parse|prompt|recitation|bad.?request|validation",
    re.IGNORECASE,
)
"""What is in the names of errors that are the request's own fault, in a stream, where no status says whose they are."""
_ITS_RATE = re.compile(r"rate.?limit|too.?many.?requests|quota|throttl", re.IGNORECASE)
_ITS_LOAD = re.compile(r"overload|unavailable|capacity", re.IGNORECASE)
_ITS_FAILURE = re.compile(
    r"server|internal|time.?out|timed.?out|deadline|gateway|upstream|connection|api.?error|unknown.?error",
    re.IGNORECASE,
)
"""In the names that servers give to errors of their own."""
_GAVE_UP = frozenset({408, 499})
_EVENTS = frozenset({"error", "response.failed"})
_CREDIT_WORDS: Mapping[tuple[str, int], tuple[str, ...]] = {
    ("anthropic", 400): ("Your credit balance is too low",),
    ("openai", 403): ("Your newly created team", "Your team ", "Key limit exceeded"),  # xAI, OpenRouter
}
"""By kind of provider and status: how the message begins where no type or code says it. Vendors repeat a request's invalid
values in the middle of theirs, so that a session could write these words itself.
"""
_KEY_WORDS: Mapping[tuple[str, int], tuple[str, ...]] = {
    ("anthropic", 403): ("Your API key", "This organization has been disabled", "Your organization has disabled"),
    ("google", 403): ("Your API key", "Your project has been denied access", "Permission denied: Consumer "),
}


@dataclass(frozen=True, slots=True)
class Told:
    """Of one unit: `limit` None when it was not said; `reset_s` from now on."""

    unit: str
    limit: int | None
    remaining: int
    reset_s: float


def told(kind: str, headers: Mapping[str, str], now: Callable[[], datetime]) -> tuple[Told, ...]:
    """What can be read of it; a header that is malformed says nothing. `headers` by names in lower case, or without case."""
    names = _HEADERS.get(kind)
    if names is None:
        return ()
    found: list[Told] = []
    for unit, limit_name, remaining_name, reset_name in names:
        remaining = _number(headers.get(remaining_name))
        if remaining is None:
            continue
        reset_s = _seconds(headers.get(reset_name), now())
        if reset_s is not None:
            found.append(Told(unit, _number(headers.get(limit_name)), remaining, reset_s))
    return tuple(found)


def retry_after_s(headers: Mapping[str, str], body: bytes, now: datetime) -> float | None:
    """Seconds the provider asks to wait: by header (milliseconds, seconds or a date), or Google's RetryInfo."""
    ms = _float(headers.get("retry-after-ms"))
    if ms is not None:
        return min(ms / 1_000, _MOST_S)
    value = headers.get("retry-after")
    if value is not None:
        seconds = _float(value)
        return min(seconds, _MOST_S) if seconds is not None else _until_date(value, now)
    return _retry_info(body) if b"RetryInfo" in body else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """`unbilled`: refused before anything was generated, by what the provider itself says."""

    outage: Outage
    unbilled: bool


def refusal(kind: str, status: int, headers: Mapping[str, str], body: bytes) -> Refusal | None:
    """Why the account, and not the request, was refused; None when it is the request's own fault, or unknown.

    A body in which the provider says that it took no request in (overloaded) counts as unbilled; the bare status does not.
    """
    person = _needs_a_person(kind, status, body)
    if person is not None:
        return Refusal(person, unbilled=True)
    words = _words(kind, body)
    if status == 429:
        return Refusal(Outage.RATE_LIMITED, unbilled=True)
    if status < 500:
        return None
    overloaded = bool(words & _OVERLOADED) or (status == 503 and "UNAVAILABLE" in words)
    if overloaded or status == 529 or (status == 503 and {"retry-after", "retry-after-ms"} & set(headers)):
        return Refusal(Outage.OVERLOADED, unbilled=overloaded)
    return Refusal(Outage.FAILING, unbilled=False)


def failed_stream(kind: str, data: bytes) -> tuple[int, Refusal | None]:
    """Of the event in which a provider said, in the middle of an answer, that it failed: the status that it would have had as an
    answer of its own, and the refusal that would have been. A name that tells of the request (an image, a filter, a length) is
    the request's fault; what nobody knows is the provider's.
    """
    body = json.dumps({"error": _stream_error(data)}).encode()
    status = _stream_status(_error(body).get("code"), _words(kind, body) - _EVENTS)
    return status, refusal(kind, status, {}, body)


def _stream_status(code: object, words: frozenset[str]) -> int:
    if words & _LIMITED:
        return 429
    if words & _WRONG:
        return 400
    if words & _OVERLOADED or "UNAVAILABLE" in words:
        return 503
    number = _number(str(code))
    if number is not None:
        return number if 400 <= number < 600 and number not in _GAVE_UP else 500
    for status, names in ((429, _ITS_RATE), (503, _ITS_LOAD), (500, _ITS_FAILURE)):
        if any(names.search(word) for word in words):
            return status
    return 400 if any(_THE_REQUESTS.search(word) for word in words) else 500


def _stream_error(data: bytes) -> Mapping[str, Any]:
    """Wherever a format puts it: `error`, the failed response's, or beside the event's own type."""
    told = _answer(data)
    return mapping(told.get("error")) or mapping(mapping(told.get("response")).get("error")) or told


def _needs_a_person(kind: str, status: int, body: bytes) -> Outage | None:
    """Whether it is the key or the credit. 403 is also said to a request whose content, model or place is refused, and by
    firewalls: without the vendor's own word on the key it says nothing of the account.
    """
    if status == 401:
        return Outage.KEY_REFUSED
    if status == 402:
        return Outage.NO_CREDIT
    words, message = _words(kind, body), _message(body)
    if message.startswith(_CREDIT_WORDS.get((kind, status), ())) or (status in {400, 403, 429} and words & _NO_CREDIT):
        return Outage.NO_CREDIT
    if message.startswith(_KEY_WORDS.get((kind, status), ())) or (status in {400, 403} and words & _BAD_KEY):
        return Outage.KEY_REFUSED
    return None


def _answer(body: bytes) -> Mapping[str, Any]:
    try:
        answer: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(answer, list):  # Google's, outside of streams of events
        answer = next(iter(cast("list[object]", answer)), None)
    return mapping(answer)


def _error(body: bytes) -> Mapping[str, Any]:
    return mapping(_answer(body).get("error"))


def _words(kind: str, body: bytes) -> frozenset[str]:
    """The names a provider gives an error: its type, code and status, and the reasons in Google's details, whose errors have a
    status at its address for OpenAI's format, too.
    """
    error = _error(body)
    found = [error.get(name) for name in ("type", "code", "status")]
    if kind == "google" or isinstance(error.get("status"), str):
        found += [detail.get("reason") for detail in _details(error)]
    return frozenset(word for word in found if isinstance(word, str))


def _message(body: bytes) -> str:
    error = _answer(body).get("error")
    message = error if isinstance(error, str) else mapping(error).get("message")  # xAI's is the message itself
    return message if isinstance(message, str) else ""


def _details(error: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        return items(error.get("details"), "details")
    except RejectedError:
        return []


def _retry_info(body: bytes) -> float | None:
    for detail in _details(_error(body)):
        if str(detail.get("@type", "")).endswith("google.rpc.RetryInfo"):
            delay = detail.get("retryDelay")
            return _duration_s(delay) if isinstance(delay, str) else None
    return None


def _number(text: str | None) -> int | None:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 15:
        return None
    return min(int(text), _MOST_NUMBER)


def _float(text: str | None) -> float | None:
    """Not negative, and a number."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0.0 <= value < float("inf") else None


def _seconds(text: str | None, now: datetime) -> float | None:
    """From now: a duration (`6m0s`, `12ms`), a number of seconds, or an instant (RFC 3339)."""
    if not text:
        return None
    if (seconds := _float(text)) is not None:
        return min(seconds, _MOST_S)
    if (seconds := _duration_s(text)) is not None:
        return seconds
    try:
        return _from(datetime.fromisoformat(text), now)
    except ValueError:
        return None


def _duration_s(text: str) -> float | None:
    parts = _DURATION.findall(text[:40])
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return min(sum(float(number) * _UNITS_S[unit] for number, unit in parts), _MOST_S)


def _until_date(text: str, now: datetime) -> float | None:
    try:
        return _from(parsedate_to_datetime(text[:60]), now)
    except (ValueError, TypeError, IndexError):
        return None


def _from(instant: datetime, now: datetime) -> float:
    at = instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
    return min(max((at - now) / timedelta(seconds=1), 0.0), _MOST_S)
