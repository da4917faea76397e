"""What the gateway needs to know of a vendor's wire format, whichever it is. Each of its siblings implements it."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, cast

from swarmworks.base.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swarmworks.policy.bound import Billed, Shape
    from swarmworks.provider.conversation import Conversation
    from swarmworks.provider.jsonbody import JsonBody
    from swarmworks.provider.media import Media

MOST_TOKENS = 1_000_000_000
"""A larger count is no count, of no call that was ever made."""


class Fault(StrEnum):
    """Why the gateway answers in a provider's place."""

    REJECTED = "rejected"  # the request itself, or a limit for good: do not retry
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    BUSY = "busy"  # the budget is held by calls under way: try again
    UNAVAILABLE = "unavailable"  # the provider cannot be reached: try again


@dataclass(frozen=True, slots=True)
class Demand:
    """A request that was read and found bounded, but for the output cap: `asked_output` is None when it names none.

    `wants_usage`: the client itself asked for the usage of a stream, so the chunk that carries it is not ours to strip.
    `media`: in the order of `shape.media`. `conversation`: None where what is counted may shrink and grow again.
    """

    body: JsonBody
    stream: bool
    wants_usage: bool
    asked_output: int | None
    shape: Shape  # with an output_cap of zero
    media: tuple[Media, ...] = ()
    conversation: Conversation | None = None


class StreamMeter(Protocol):
    """Reads usage out of a stream, event by event."""

    @property
    def finished(self) -> bool:
        """The provider said that this was the end."""
        ...

    @property
    def ended(self) -> bool:
        """The provider said why the answer is over, or that it is, whether or not it counted."""
        ...

    @property
    def error(self) -> bytes:
        """The data of the event in which the provider said that it failed; empty where it did not."""
        ...

    def feed(self, event: bytes) -> bool:
        """True when the event holds nothing but the usage: what a client that did not ask for it must not see."""
        ...

    def billed(self) -> Billed | None:
        """The final usage; None unless the provider gave it and reported no error."""
        ...


class WireFormat(Protocol):
    name: str

    @property
    def count_path(self) -> str | None:
        """Where the provider counts tokens, without its version; None where it is not asked."""
        ...

    def read(self, raw: bytes, *, headers: Mapping[str, str], allowed_fields: frozenset[str]) -> Demand:
        """RejectedError, naming the field and the mend, for a request whose cost has no bound we know."""
        ...

    def rewrite(self, demand: Demand, *, model: str, output_cap: int) -> bytes: ...

    def counted(self, raw: bytes, *, model: str, allowed_fields: frozenset[str]) -> bytes:
        """The body of a request to count tokens, with the session's model in it. RejectedError for what `read` refuses: a
        count reaches no further than a call.
        """
        ...

    def to_count(self, demand: Demand, *, model: str) -> bytes | None:
        """What to ask the provider to count before the call is made; None when its answer would not be an upper bound."""
        ...

    def count_told(self, answer: bytes) -> int | None:
        """Of the count's answer."""
        ...

    def billed(self, answer: bytes) -> Billed | None:
        """The usage of a whole (not streamed) answer; None when it has none that can be believed."""
        ...

    def meter(self) -> StreamMeter: ...

    def error(self, fault: Fault, message: str, code: str) -> tuple[int, bytes]:
        """Status and body."""
        ...

    def error_event(self, message: str) -> bytes:
        """An event that ends a stream which was cut."""
        ...

    def models(self, model: str) -> bytes: ...


def larger(new: Billed | None, old: Billed | None) -> Billed | None:
    """Of two usages of one call, in the order they came: a total does not shrink. None when the new one cannot be read."""
    if new is None or old is None:
        return new
    return new if _tokens(new) >= _tokens(old) else old


def _tokens(billed: Billed) -> int:
    return billed.usage.input_tokens + billed.usage.output_tokens


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def one_of(value: object, known: Iterable[str]) -> bool:
    """Whether it is a name, and one of these: a type may be anything in a body that somebody made."""
    return isinstance(value, str) and value in known


def refuse(field: str, why: str, mend: str) -> RejectedError:
    return RejectedError(why, where=field, mend=mend)


def check_fields(values: Mapping[str, Any], known: frozenset[str], extra: frozenset[str]) -> None:
    """An empty value asks for nothing, but in a known field's other spelling: a server that reads names in any case lets
    `"MAX_TOKENS": null` take back the cap that `max_tokens` set.
    """
    for field, value in values.items():
        if field in known or field in extra:
            continue
        if field.casefold() in _any_case(known):
            raise refuse(field, "this field's name is taken in one spelling only", "write it as the vendor does")
        if value is not None and value is not False and value not in ([], {}):
            raise refuse(
                field,
                "this field is not known to leave the cost of a call bounded",
                f"remove it, or, when it is free of cost, add {field!r} to the gateway's allowed fields",
            )


@functools.cache
def _any_case(known: frozenset[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in known)


def check_value(values: Mapping[str, Any], field: str, allowed: Iterable[str]) -> None:
    value = values.get(field)
    names = sorted(allowed)
    if value is not None and value not in names:
        raise refuse(field, f"{str(value)[:60]!r} has no price here", f"leave it out, or use one of {', '.join(names)}")


def whole_number(values: Mapping[str, Any], field: str, *, most: int) -> int | None:
    """A positive integer, or None when the field is missing or null."""
    value = values.get(field)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise refuse(field, f"must be a whole number from 1 to {most}", "correct the number")
    return value


def flag(values: Mapping[str, Any], field: str) -> bool:
    value = values.get(field)
    if value is not None and not isinstance(value, bool):
        raise refuse(field, "must be true or false", "correct the value")
    return bool(value)


def items(value: object, field: str) -> list[dict[str, Any]]:
    """A list of objects; empty when missing."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise refuse(field, "must be a list of objects", "send a list")
    given = cast("list[object]", value)
    if not all(isinstance(item, dict) for item in given):
        raise refuse(field, "must be a list of objects", "send objects only")
    objects = cast("list[dict[str, Any]]", given)
    for at, item in enumerate(objects):
        _check_item(item, f"{field}[{at}]")
    return objects


def _check_item(item: Mapping[str, Any], field: str) -> None:
    """What decides over the cost of an item is its `type`: every reader must find the same one."""
    folded = {key.casefold() for key in item}
    if len(folded) != len(item) or ("type" in folded) != ("type" in item):
        raise refuse(
            field, "a key in two spellings, or type in another than that", "send each key once, as the vendor does"
        )
    if not isinstance(item.get("type"), str | None):
        raise refuse(f"{field}.type", "a type must be text", "correct the value")


def read_object(answer: bytes) -> Mapping[str, Any]:
    """An answer's JSON object; an empty one for anything else."""
    try:
        return mapping(json.loads(answer))
    except (ValueError, RecursionError):
        return {}


def asks_one_hour(body: JsonBody) -> bool:
    """Whether a cache entry may be asked to live an hour, which doubles the price of what is written."""
    if '"1h"' in body.text:
        return True
    return "\\u" in body.text and '"1h"' in json.dumps(body.values, ensure_ascii=False)


def count(usage: Mapping[str, Any], field: str) -> int | None:
    """A token count as a provider gave it; None when it is missing or no count that can be believed."""
    value = usage.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS else None


def listed(value: object) -> list[Any]:
    """The list, or an empty one for anything else: for reading answers, as `mapping`."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one for anything else: for reading answers, where what is not there counts as unknown."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
