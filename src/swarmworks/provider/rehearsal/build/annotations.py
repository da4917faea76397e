"""Pydantic declarations of a resource's fields: the annotation and its `Field(...)`, for create, update and read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming
from swarmworks.provider.rehearsal.build.rendering import quoted
from swarmworks.provider.rehearsal.fields import NUMERIC, TEXTUAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.provider.rehearsal.fields import Field
    from swarmworks.provider.rehearsal.resources import Resource

EMAIL_PATTERN = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
URL_PATTERN = r"^https?://[^\s/]+\S*$"
# The regular expressions that pydantic's own engine refuses.
NEEDS_PYTHON_ENGINE = re.compile(r"\(\?[=!<]|\\[1-9]")


def pattern_of(field: Field) -> str:
    return field.limits.pattern or {"email": EMAIL_PATTERN, "url": URL_PATTERN}.get(field.kind.name, "")


def alias_of(field: Field, resource: Resource) -> str:
    """The name of a type of the field's own: `TaskStatus`."""
    return f"{resource.class_name}{naming.class_name(field.name.strip('_'))}"


def plain_type(field: Field, resource: Resource) -> str:
    """The type without the checks on its value."""
    if field.kind.name == "enum":
        return alias_of(field, resource)
    if field.kind.name == "list":
        return f"list[{field.item}]"
    return field.kind.annotation


def checked_type(field: Field, resource: Resource) -> str:
    """The type as a client's value is checked against it."""
    if field.checks == ("not_blank",):
        return "NonBlank"
    if field.checks:
        return alias_of(field, resource)
    return "UtcDatetime" if field.kind.name == "datetime" else plain_type(field, resource)


def create_line(field: Field, resource: Resource) -> str:
    kind = checked_type(field, resource)
    options = _constraints(field)
    if field.needed:
        return _declare(field, kind, options)
    if field.default is not None:
        return _declare(field, kind, [_default(field), *options])
    return _declare(field, f"{kind} | None", ["default=None", *options])


def update_line(field: Field, resource: Resource) -> str:
    kind = checked_type(field, resource)
    return _declare(field, f"{kind} | None", ["default=None", *_constraints(field)])


def compared_line(field: Field, resource: Resource) -> str:
    """As a rule between fields sees it: without the checks of its own, which hold only when it is written."""
    kind = "UtcDatetime" if field.kind.name == "datetime" else plain_type(field, resource)
    return _declare(field, f"{kind} | None", ["default=None"])


def read_line(field: Field, resource: Resource) -> str:
    kind = plain_type(field, resource)
    if is_nullable(field):
        return _declare(field, f"{kind} | None", ["default=None"])
    return _declare(field, kind, [])


def is_nullable(field: Field) -> bool:
    """Whether the column may hold NULL: what is required, has a default or is stamped by the server never does."""
    stamped = field.server_set and field.kind.name in {"datetime", "date", "uuid", "integer"}
    return not (field.required or field.primary or field.default is not None or stamped)


def _declare(field: Field, kind: str, options: list[str]) -> str:
    alias = [] if field.name == field.key else [f"alias={quoted(field.key)}"]
    options = [*options, *alias]
    if not options:
        return f"{field.name}: {kind}"
    if len(options) == 1 and options[0].startswith("default="):
        return f"{field.name}: {kind} = {options[0].removeprefix('default=')}"
    return f"{field.name}: {kind} = Field({', '.join(options)})"


DEFAULTS: dict[str, Callable[[str], str]] = {
    "boolean": lambda value: f"default={value.lower() in {'true', 'yes', '1'}}",
    "integer": lambda value: f"default={int(float(value))}",
    "number": lambda value: f"default={float(value)}",
    "decimal": lambda value: f"default=Decimal({quoted(value)})",
    "json": lambda value: "default_factory=dict" if value.startswith("{") else "default_factory=list",
    "list": lambda _: "default_factory=list",
    "uuid": lambda value: f"default=UUID({quoted(value)})",
}
NOW = {"date": "default_factory=dt.date.today", "datetime": "default_factory=utc_now"}


def _default(field: Field) -> str:
    value, kind = field.default or "", field.kind.name
    if kind in NOW and value in {"today", "now"}:
        return NOW[kind]
    if kind in {"date", "datetime", "time"}:
        return f"default={field.kind.annotation}.fromisoformat({quoted(value)})"
    written = DEFAULTS.get(kind)
    return written(value) if written else f"default={quoted(value)}"


def _constraints(field: Field) -> list[str]:
    limits = field.limits
    options: list[str] = []
    if field.kind.name in TEXTUAL:
        options += [f"min_length={limits.min_length}"] if limits.min_length else []
        options += [f"max_length={limits.max_length}"] if limits.max_length is not None else []
        options += [f"pattern={raw(pattern_of(field))}"] if pattern_of(field) else []
    elif field.kind.name in NUMERIC:
        bounds = (("ge", limits.least), ("gt", limits.above), ("le", limits.most), ("lt", limits.below))
        options += [f"{name}={_number(value, field)}" for name, value in bounds if value]
        options += ["allow_inf_nan=False"] if field.kind.name == "number" else []
    if field.kind.name == "decimal" and limits.places is not None:
        options += [f"max_digits={limits.digits}", f"decimal_places={limits.places}"]
    return options


def _number(value: str, field: Field) -> str:
    number = float(value)
    if number == int(number):
        return str(int(number))
    return f"Decimal({quoted(value)})" if field.kind.name == "decimal" else str(number)


def raw(pattern: str) -> str:
    if '"' not in pattern and not pattern.endswith("\\"):
        return f'r"{pattern}"' if "\\" in pattern else f'"{pattern}"'
    return quoted(pattern)
