"""Reading JSON that somebody else wrote: each function gives the wanted type, or its empty value when it is not there."""

from __future__ import annotations

import json
from typing import cast


def parse(raw: str | bytes) -> object:
    """The JSON value; ValueError for anything else, however deeply nested or badly encoded it is."""
    try:
        return json.loads(raw)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def mapping(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def text(value: object) -> str:
    """The string, with lone surrogates (legal in JSON, not in UTF-8) replaced."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def clean(value: object) -> object:
    """The same value with every string in it encodable as UTF-8."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, list):
        return [clean(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {text(key): clean(item) for key, item in cast("dict[str, object]", value).items()}
    return value


def clip(value: str, limit: int) -> str:
    """At most `limit` characters, saying how many were left out."""
    if len(value) <= limit:
        return value
    notice = f" [... {len(value) - limit} more characters]"
    return value[:limit] + notice
