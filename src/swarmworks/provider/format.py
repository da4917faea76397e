"""What the gateway needs to know of a vendor's wire format, whichever it is. `openai` and `anthropic` implement it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, cast

from swarmworks.base.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swarmworks.policy.bound import Billed, Shape
    from swarmworks.provider.jsonbody import JsonBody


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
    """

    body: JsonBody
    stream: bool
    wants_usage: bool
    asked_output: int | None
    shape: Shape  # with an output_cap of zero


class StreamMeter(Protocol):
    """Reads usage out of a stream, event by event."""

    @property
    def finished(self) -> bool:
        """The provider said that this was the end."""
        ...

    def feed(self, event: bytes) -> bool:
        """True when the event holds nothing but the usage: what a client that did not ask for it must not see."""
        ...

    def billed(self) -> Billed | None:
        """The final usage; None unless the provider gave it and reported no error."""
        ...


class WireFormat(Protocol):
    name: str

    def read(self, raw: bytes, *, headers: Mapping[str, str], allowed_fields: frozenset[str]) -> Demand:
        """RejectedError, naming the field and the mend, for a request whose cost has no bound we know."""
        ...

    def rewrite(self, demand: Demand, *, model: str, output_cap: int) -> bytes: ...

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


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def refuse(field: str, why: str, mend: str) -> RejectedError:
    return RejectedError(why, where=field, mend=mend)


def check_fields(values: Mapping[str, Any], known: frozenset[str], extra: frozenset[str]) -> None:
    """An empty value asks for nothing, whatever its field."""
    for field, value in values.items():
        if field not in known and field not in extra and value not in (None, [], {}, False):
            raise refuse(
                field,
                "this field is not known to leave the cost of a call bounded",
                f"remove it, or, when it is free of cost, add {field!r} to the gateway's allowed fields",
            )


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
    listed = cast("list[object]", value)
    if not all(isinstance(item, dict) for item in listed):
        raise refuse(field, "must be a list of objects", "send objects only")
    return cast("list[dict[str, Any]]", listed)


def count(usage: Mapping[str, Any], field: str) -> int | None:
    """A token count as a provider gave it; None when it is missing or no count."""
    value = usage.get(field)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def mapping(value: object) -> Mapping[str, Any]:
    """The object, or an empty one for anything else: for reading answers, where what is not there counts as unknown."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}
