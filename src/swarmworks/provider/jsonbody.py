"""A JSON request body that can be changed in a few top-level members and is forwarded otherwise byte for byte.

A body two readers could understand differently is refused: duplicate keys, NaN, bytes that are not UTF-8. What we bound
must be what the provider reads.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from swarmworks.base.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_VALUES = 300_000
"""In one body, keys aside. A conversation that fills a context of a million tokens has far fewer: each is a token at least,
and its text is the rest. Ten megabytes of empty objects would be a gigabyte of them in memory, and minutes of reading.
"""

_BRACKETS = ((b"{", b"{}"), (b"[", b"[]"))
_SPACE = re.compile(r"[ \t\n\r]*")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice, _count = Counter(key for key, _value in pairs).most_common(1)[0]
        raise RejectedError(f"the key {twice[:80]!r} appears twice in one object", mend="send each key once")
    return found


def _no_constant(name: str) -> NoReturn:
    raise RejectedError(f"{name} is not JSON", mend="send numbers only")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


@dataclass(frozen=True, slots=True)
class Inside:
    """In the place of a new value: these members of the object that stands there, or of a new one; the rest of it as it is."""

    changes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class JsonBody:
    """`spans` gives, for each top-level key, where its value stands in `text`, `names` where the key itself does; `inside`
    is just after the brace.
    """

    raw: bytes
    text: str
    values: Mapping[str, Any]
    spans: Mapping[str, tuple[int, int]]
    names: Mapping[str, tuple[int, int]]
    inside: int

    def spliced(self, changes: Mapping[str, object], renamed: Mapping[str, str] | None = None) -> bytes:
        """The body with these top-level members set: values replaced in place, new members put first. `renamed`: members
        under another name than they have.
        """
        renamed = renamed or {}
        if not changes and not renamed:
            return self.raw
        text = self.text
        edits = [
            (span, _written(changes[key], text[slice(*span)])) for key, span in self.spans.items() if key in changes
        ]
        edits += [(self.names[key], json.dumps(name)) for key, name in renamed.items()]
        for (start, end), new in sorted(edits, reverse=True):
            text = f"{text[:start]}{new}{text[end:]}"
        fresh = [f"{json.dumps(key)}:{_written(value)}" for key, value in changes.items() if key not in self.spans]
        if fresh:
            comma = "," if self.spans else ""
            text = f"{text[: self.inside]}{','.join(fresh)}{comma}{text[self.inside :]}"
        return text.encode()


def _written(value: object, present: str = "{}") -> str:
    if not isinstance(value, Inside):
        return json.dumps(value)
    if not present.startswith("{"):
        return json.dumps(value.changes)  # null stands for nothing
    return _parse(present.encode()).spliced(value.changes).decode()


def parse(raw: bytes) -> JsonBody:
    """RejectedError when `raw` is not one JSON object in UTF-8, or one of more than MOST_VALUES."""
    _check_size(raw)
    try:
        return _parse(raw)
    except UnicodeDecodeError as error:
        raise _rejected("it is not UTF-8") from error
    except RecursionError as error:
        raise _rejected("it is nested too deeply") from error
    except ValueError as error:
        raise _rejected(str(error)[:200]) from error


def _check_size(raw: bytes) -> None:
    """Before anything is made of it. What stands inside of strings, code or tables, is looked away from only where it matters."""
    if _values(raw) <= MOST_VALUES:
        return
    plain = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 4 * MOST_VALUES or _values(b"0".join(plain.split(b'"')[::2])) > MOST_VALUES:
        raise RejectedError(
            f"the request body holds more than {MOST_VALUES:,} JSON values",
            mend="send a shorter conversation, or data as text inside of a string",
        )


def _values(raw: bytes) -> int:
    """At most: each is the first inside of a bracket, or follows a comma."""
    return 1 + raw.count(b",") + sum(raw.count(opened) - raw.count(empty) for opened, empty in _BRACKETS)


def _rejected(why: str) -> RejectedError:
    return RejectedError(f"the request body is not a JSON object: {why}", mend="send one JSON object, UTF-8")


def _parse(raw: bytes) -> JsonBody:
    text = raw.decode("utf-8")
    at = _skip(text, 0)
    if text[at : at + 1] != "{":
        raise _rejected("it does not begin with a brace")
    inside = at + 1
    values: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    names: dict[str, tuple[int, int]] = {}
    at = _skip(text, inside)
    while text[at : at + 1] != "}":
        if values:
            at = _skip(text, _expect(text, at, ","))
        name_at = at
        key, at = _DECODER.raw_decode(text, at)
        if not isinstance(key, str) or key in values:
            raise _rejected(f"a key that is no string, or twice the same: {str(key)[:80]!r}")
        names[key] = (name_at, at)
        start = _skip(text, _expect(text, _skip(text, at), ":"))
        values[key], at = _DECODER.raw_decode(text, start)
        spans[key] = (start, at)
        at = _skip(text, at)
    if _skip(text, at + 1) != len(text):
        raise _rejected("something follows the object")
    return JsonBody(raw, text, values, spans, names, inside)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise _rejected(f"expected {sign!r} at character {at}")
    return at + 1
