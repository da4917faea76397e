"""Values for tests: valid ones that satisfy the specification's rules, others to change to, and unique ones by number."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, cast

from swarmworks.provider.rehearsal.build.annotations import pattern_of
from swarmworks.provider.rehearsal.build.rendering import quoted
from swarmworks.provider.rehearsal.fields import NUMERIC, TEXTUAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.provider.rehearsal.fields import Field
    from swarmworks.provider.rehearsal.resources import Resource

FIXED: dict[str, object] = {
    "boolean": True,
    "date": "2030-01-15",
    "datetime": "2030-01-15T12:00:00Z",
    "time": "12:00:00",
    "email": "ada@example.com",
    "url": "https://example.com/page",
    "uuid": "3f2b8c1e-6d4a-4a57-9a55-0f6f1c7f2d10",
    "json": {"key": "value"},
    "list": [],
}
PAST = {"date": "2020-01-15", "datetime": "2020-01-15T12:00:00Z"}
PAST_CHECKS = frozenset({"in_past", "not_in_future"})
FUTURE_CHECKS = frozenset({"in_future", "not_in_past"})
FUTURE = {"date": "2090-01-15", "datetime": "2090-01-15T12:00:00Z"}
STEPS = {"not_before": 1, "after": 1, "not_after": -1, "before": -1}


def literal(value: object) -> str:
    """A JSON value as Python source."""
    if isinstance(value, dict):
        pairs = cast("dict[object, object]", value).items()
        entries = ", ".join(f"{quoted(str(key))}: {literal(entry)}" for key, entry in pairs)
        return f"{{{entries}}}"
    if isinstance(value, list):
        entries = ", ".join(literal(entry) for entry in cast("list[object]", value))
        return f"[{entries}]"
    if isinstance(value, dt.date | dt.datetime):
        return quoted(value.isoformat())
    return quoted(value)


def examples(resource: Resource) -> dict[str, object]:
    """A valid value for every field a client may send, without the references; the rules between fields hold too."""
    found = {f.key: _example(f, resource) for f in resource.written if resource.reference(f.key) is None}
    for rule in resource.rules:
        step = STEPS.get(rule.name)
        if step and rule.field in found and rule.value in found:
            found[rule.field] = _moved(found[rule.value], step, found[rule.field])
    return found


def _example(field: Field, resource: Resource) -> object:
    if set(field.checks) & PAST_CHECKS:
        return PAST[field.kind.name]
    if set(field.checks) & FUTURE_CHECKS:
        return FUTURE[field.kind.name]
    given = resource.example.get(field.key, field.example)
    if isinstance(given, dt.date | dt.datetime):
        given = given.isoformat()
    if field.kind.name == "datetime" and isinstance(given, str):
        given = given.replace("+00:00", "Z")  # as the API writes it
    return _plain(field) if given is None else given


def _plain(field: Field) -> object:
    """Made from the type and its bounds alone."""
    if field.kind.name == "enum":
        return field.choices[0]
    if field.kind.name in NUMERIC:
        return _number(field)
    if field.kind.name in FIXED:
        return FIXED[field.kind.name]
    text = "Secret-pass-1" if field.kind.name == "password" else f"Sample {field.key.replace('_', ' ')} 1"
    shortest, longest = field.limits.min_length or 0, field.limits.max_length or 10_000
    return (text + "x" * (shortest - len(text)))[:longest].strip() or "x"


def _number(field: Field) -> object:
    low, high = field.limits.least or field.limits.above, field.limits.most or field.limits.below
    if field.kind.name == "decimal":
        return low or "12.50"
    start = float(low) + (1 if field.limits.above else 0) if low else min(1.0, float(high or 1))
    return int(-(-start // 1)) if field.kind.name == "integer" else start


def _moved(other: object, step: int, current: object) -> object:
    """A value one day, or one unit, beyond the other."""
    if isinstance(other, int | float) and not isinstance(other, bool):
        return other + step
    if isinstance(other, str) and re.match(r"\d{4}-\d\d-\d\d", other):
        day = dt.date.fromisoformat(other[:10]) + dt.timedelta(days=step)
        return day.isoformat() + other[10:]
    return current


def broken(resource: Resource, values: dict[str, object]) -> Iterator[tuple[str, dict[str, object]]]:
    """Each rule between two fields, with changes that break it."""
    for rule in resource.rules:
        step = STEPS.get(rule.name)
        if step and rule.field in values and rule.value in values:
            changed = _moved(values[rule.value], -step, values[rule.field])
            if changed != values[rule.field]:
                yield rule.text, {rule.field: changed, rule.value: values[rule.value]}


def change(resource: Resource, values: dict[str, object]) -> tuple[str, object] | None:
    """A field and another valid value for it: text first, because it says most in a test."""
    ruled = {name for rule in resource.rules if rule.name in STEPS for name in (rule.field, rule.value)}
    candidates = [f for f in resource.written if f.key in values and f.key not in ruled and not f.secret]
    for field in sorted(candidates, key=lambda f: f.kind.name not in {"string", "text"}):
        for value in _others(field, values[field.key]):
            if value != values[field.key]:
                return field.key, value
    return None


def _others(field: Field, current: object) -> Iterator[object]:
    match field.kind.name:
        case "enum":
            yield from field.choices
        case "boolean":
            yield not current
        case "integer" | "number" if isinstance(current, int | float):
            yield from (each for each in (current + 1, current - 1) if _within(field, each))
        case "string" | "text" if not pattern_of(field):
            changed = f"Changed {field.key.replace('_', ' ')}"
            yield (changed + "x" * ((field.limits.min_length or 0) - len(changed)))[: field.limits.max_length or None]
        case "email":
            yield "changed@example.com"
        case "url":
            yield "https://example.com/changed"
        case "date" | "datetime" if not field.checks:
            yield _moved(current, 1, current)
        case _:
            return


def _within(field: Field, value: float) -> bool:
    limits = field.limits
    return (
        (not limits.least or value >= float(limits.least))
        and (not limits.above or value > float(limits.above))
        and (not limits.most or value <= float(limits.most))
        and (not limits.below or value < float(limits.below))
    )


def numbered(field: Field, value: object) -> str | None:
    """Python source that makes the value differ by `number`, or `None` when no way is known that stays valid."""
    kind = field.kind.name
    if kind == "uuid":
        return "str(uuid4())"
    if kind in {"integer", "number"} and isinstance(value, int | float):
        span = int(float(field.limits.most) - value) if field.limits.most else 0
        return f"{value} + number % {span + 1}" if field.limits.most else f"{value} + number"
    return _numbered_words(field, value) if isinstance(value, str) else None


def _numbered_words(field: Field, value: str) -> str | None:
    match field.kind.name:
        case "email":
            name, _, domain = value.partition("@")
            return f'f"{name}{{number}}@{domain}"'
        case "url":
            return f'f"{value}/{{number}}"'
        case "date":
            return f'(dt.date.fromisoformat("{value}") + dt.timedelta(days=number)).isoformat()'
        case "datetime":
            return f'(dt.datetime.fromisoformat("{value}") + dt.timedelta(days=number)).isoformat()'
        case kind:
            return _numbered_text(field, value) if kind in TEXTUAL else None


def _numbered_text(field: Field, value: str) -> str | None:
    """Count in the longest run of digits, then in the longest run of letters, then at the end."""
    pattern = pattern_of(field)
    if not pattern:
        room = (field.limits.max_length or 10_000) - 6
        text = re.sub(r"\s*\d+$", "", value)[: max(room, 0)].strip().replace("{", "").replace("}", "")
        return f'f"{text} {{number}}"' if text and room > 0 else 'f"{number:x}"'
    for run in sorted(re.finditer(r"\d+", value), key=lambda m: m.start() - m.end()):
        width = run.end() - run.start()
        probe = value[: run.start()] + str(7).zfill(width) + value[run.end() :]
        if re.search(pattern, probe):
            inner = f"{{number % {10**width}:0{width}d}}"
            return f"f{quoted(_escape(value[: run.start()]) + inner + _escape(value[run.end() :]))}"
    for run in sorted(re.finditer(r"[a-z]+|[A-Z]+", value), key=lambda m: m.start() - m.end()):
        first = "a" if run[0].islower() else "A"
        if re.search(pattern, value[: run.start()] + first * len(run[0]) + value[run.end() :]):
            places = range(len(run[0]) - 1, -1, -1)
            letters = "".join(f"{{chr({ord(first)} + number // {26**place} % 26)}}" for place in places[-3:])
            kept = value[: run.start()] + first * (len(run[0]) - len(places[-3:]))
            return f"f{quoted(_escape(kept) + letters + _escape(value[run.end() :]))}"
    return None


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
