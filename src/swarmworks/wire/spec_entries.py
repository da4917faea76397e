"""The one-line entries of a specification: `name: type (constraints)`, `METHOD /path (verb)`, `belongs_to: other`.

Pure text to values. A malformed entry raises `EntryError` with what is wrong and the mend; the caller knows the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from swarmworks.domain.spec import FIELD_TYPES, NUMBER_TYPES, TEXT_TYPES, Endpoint, Field
from swarmworks.policy.planning.names import attribute_name, fold, snake
from swarmworks.wire.yaml_lines import suggest

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
DEFAULT_VERBS = {"POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
RELATIONSHIPS = ("belongs_to", "has_many")
TYPE_ALIASES = {
    "str": "string",
    "varchar": "string",
    "char": "string",
    "int": "integer",
    "bigint": "integer",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "bool": "boolean",
    "timestamp": "datetime",
    "uri": "url",
    "guid": "uuid",
    "object": "json",
    "dict": "json",
}
CONSTRAINTS = (
    "required",
    "optional",
    "unique",
    "indexed",
    "min",
    "max",
    "min_length",
    "max_length",
    "pattern",
    "default",
    "example",
    "auto",
    "auto_update",
    "primary_key",
    "references",
)
CONSTRAINT_ALIASES = {
    "nullable": "optional",
    "not_null": "required",
    "index": "indexed",
    "minimum": "min",
    "maximum": "max",
    "minlength": "min_length",
    "maxlength": "max_length",
    "min_len": "min_length",
    "max_len": "max_length",
    "regex": "pattern",
    "primary": "primary_key",
    "pk": "primary_key",
    "generated": "auto",
    "read_only": "auto",
    "foreign_key": "references",
    "fk": "references",
}
_SECRETS = frozenset({"password", "password_hash", "hashed_password", "passwd"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9 _-]{0,59}")
_TYPE = re.compile(r"\s*([A-Za-z_]+)\s*(?:\(([^()]*)\)|\[([^\]]*)\])?\s*")
_ENDPOINT = re.compile(r"(\S+)\s+(\S+)(?:\s*\(([^()]*)\))?\s*")
_SEGMENT = re.compile(r"[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]*\}")


class EntryError(ValueError):
    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend


@dataclass(frozen=True, slots=True)
class FieldEntry:
    """`references` is set for a foreign key: the other's name, or empty when only the key's name tells it."""

    field: Field
    primary_key: bool = False
    references: str | None = None


@dataclass(frozen=True, slots=True)
class RelationEntry:
    kind: str
    target: str
    role: str
    required: bool
    unique: bool


def check_name(name: str, what: str) -> str:
    """The name, when programs can be made of it."""
    if _NAME.fullmatch(name) and snake(name):
        return name
    plain = snake(fold(name)).lstrip("0123456789_")[:60]
    mend = "use ASCII letters, digits, `-` or `_`, beginning with a letter"
    raise EntryError(f"{what} name `{name}` cannot be used", f"{mend}, for example `{plain}`" if plain else mend)


def parse_field(name: str, text: str) -> FieldEntry:
    check_name(name, "field")
    kind, choices, rest = _split_type(name, text)
    if kind in {"string", "text"} and name in _SECRETS:
        # What is asked for on the wire is the password; that it is stored as a hash goes without saying.
        name, kind = "password", "password"
    field = Field(name, attribute_name(name), kind, choices=choices)
    if name in {"created_at", "updated_at"} and kind == "datetime":
        field = replace(field, generated="create" if name == "created_at" else "change")
    entry = FieldEntry(field)
    for part in _split_constraints(name, rest):
        entry = _constrain(entry, part)
    _check_bounds(entry.field)
    return entry


def _split_type(name: str, text: str) -> tuple[str, tuple[str, ...], str]:
    if not text.strip():
        raise EntryError(
            f"field `{name}` has no type", "write `name: type (constraints)`, for example `title: string (required)`"
        )
    match = _TYPE.match(text)
    word = match.group(1).lower() if match else ""
    kind = TYPE_ALIASES.get(word, word)
    if not match or kind not in FIELD_TYPES:
        if word in {"list", "array"}:
            raise EntryError(
                f"field `{name}`: no type `{word}`", "use `json`, or a resource of its own with `belongs_to`"
            )
        raise EntryError(
            f"field `{name}`: no type `{word or text.strip()}`", suggest(word or text.strip(), FIELD_TYPES)
        )
    if kind == "enum":
        listed = match.group(2) if match.group(2) is not None else match.group(3)
        return kind, _choices(name, listed or ""), text[match.end() :]
    return kind, (), text[match.end(1) :]


def _choices(name: str, listed: str) -> tuple[str, ...]:
    choices = tuple(part.strip().strip("\"'") for part in re.split(r"[|,]", listed) if part.strip())
    if len(choices) < 2 or len(set(choices)) != len(choices):
        raise EntryError(f"field `{name}`: an enum needs two or more different values", "write `enum(open|closed)`")
    return choices


def _split_constraints(name: str, rest: str) -> list[str]:
    rest = rest.strip()
    if not rest:
        return []
    if not (rest.startswith("(") and rest.endswith(")")):
        raise EntryError(
            f"field `{name}`: `{rest}` is not understood",
            "write the constraints in one pair of parentheses after the type",
        )
    return split_list(rest[1:-1])


def split_list(text: str) -> list[str]:
    """Parts between commas; commas inside brackets and quotes do not count."""
    parts, current, depth, quote = [""], 0, 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        if character == "," and depth == 0 and not quote:
            parts.append("")
            current += 1
        else:
            parts[current] += character
    return [part.strip() for part in parts if part.strip()]


def _constrain(entry: FieldEntry, part: str) -> FieldEntry:
    word, value = _constraint_words(part)
    apply = _APPLY.get(word)
    if apply is None:
        raise EntryError(f"field `{entry.field.name}`: unknown constraint `{part}`", suggest(word, CONSTRAINTS))
    return apply(entry, value)


def _constraint_words(part: str) -> tuple[str, str]:
    """`max length 20`, `max_length=20`, `max-length: 20` and `max_length 20` are one constraint."""
    match = re.fullmatch(r"([A-Za-z][A-Za-z_ -]*?)\s*(?:[=: ]\s*(.*))?", part, re.DOTALL)
    if not match:
        return part, ""
    word, value = match.group(1), match.group(2) or ""
    two = re.fullmatch(r"(length|null|key|update|only)\b[=: ]*(.*)", value, re.DOTALL)
    if two:
        word, value = f"{word}_{two.group(1)}", two.group(2)
    word = re.sub(r"[ -]", "_", word.lower())
    return CONSTRAINT_ALIASES.get(word, word), value.strip().strip("\"'")


def _number(entry: FieldEntry, word: str, value: str) -> float:
    try:
        return float(value.removesuffix("characters").removesuffix("chars").strip())
    except ValueError:
        raise EntryError(
            f"field `{entry.field.name}`: `{word}` needs a number, not `{value}`", f"write `{word} 1`"
        ) from None


def _whole(entry: FieldEntry, word: str, value: str) -> int:
    number = _number(entry, word, value)
    if number < 0 or number != int(number):
        raise EntryError(f"field `{entry.field.name}`: `{word}` needs a whole number from 0", f"write `{word} 1`")
    return int(number)


def _flag(**changes: bool) -> Callable[[FieldEntry, str], FieldEntry]:
    return lambda entry, value: replace(entry, field=replace(entry.field, **_without_value(entry, changes, value)))


def _without_value(entry: FieldEntry, changes: dict[str, bool], value: str) -> dict[str, bool]:
    if value and value.lower() not in {"true", "yes"}:
        raise EntryError(
            f"field `{entry.field.name}`: `{next(iter(changes))}` takes no value",
            "write the word alone, parted by commas",
        )
    return changes


def _bound(word: str) -> Callable[[FieldEntry, str], FieldEntry]:
    def apply(entry: FieldEntry, value: str) -> FieldEntry:
        if entry.field.type in TEXT_TYPES:
            return _length(f"{word}_length")(entry, value)
        if entry.field.type not in NUMBER_TYPES:
            raise EntryError(
                f"field `{entry.field.name}`: `{word}` does not fit type `{entry.field.type}`",
                "remove it, or change the type",
            )
        number = _number(entry, word, value)
        return replace(entry, field=replace(entry.field, **{f"{word}imum": number}))

    return apply


def _length(word: str) -> Callable[[FieldEntry, str], FieldEntry]:
    def apply(entry: FieldEntry, value: str) -> FieldEntry:
        if entry.field.type not in TEXT_TYPES:
            raise EntryError(
                f"field `{entry.field.name}`: `{word}` does not fit type `{entry.field.type}`",
                "use min and max for numbers",
            )
        return replace(entry, field=replace(entry.field, **{word: _whole(entry, word, value)}))

    return apply


def _pattern(entry: FieldEntry, value: str) -> FieldEntry:
    if entry.field.type not in TEXT_TYPES:
        raise EntryError(
            f"field `{entry.field.name}`: `pattern` does not fit type `{entry.field.type}`", "remove it, or use string"
        )
    try:
        re.compile(value)
    except re.error as error:
        raise EntryError(
            f"field `{entry.field.name}`: the pattern is no regular expression: {error}", "mend the pattern"
        ) from error
    return replace(entry, field=replace(entry.field, pattern=value))


def _text(key: str) -> Callable[[FieldEntry, str], FieldEntry]:
    def apply(entry: FieldEntry, value: str) -> FieldEntry:
        if not value:
            raise EntryError(f"field `{entry.field.name}`: `{key}` has no value", f"write `{key} something`")
        check_value(entry.field, key, value)
        return replace(entry, field=replace(entry.field, **{key: value}))

    return apply


def check_value(field: Field, what: str, value: str) -> None:
    """Raises EntryError unless `value` can stand in the field (`what` names where it was written)."""
    kinds = {
        "integer": re.compile(r"[+-]?\d+"),
        "number": re.compile(r"[+-]?\d+(\.\d+)?"),
        "boolean": re.compile(r"(?i)true|false"),
        "date": re.compile(r"\d{4}-\d\d-\d\d|today"),
        "datetime": re.compile(r"\d{4}-\d\d-\d\d[T ]\S+|now"),
    }
    if field.type == "enum" and value not in field.choices:
        raise EntryError(f"field `{field.name}`: {what} `{value}` is none of its values", suggest(value, field.choices))
    if field.type in kinds and not kinds[field.type].fullmatch(value):
        raise EntryError(
            f"field `{field.name}`: {what} `{value}` is no {field.type}", f"write a value of type {field.type}"
        )


def _auto(when: str) -> Callable[[FieldEntry, str], FieldEntry]:
    def apply(entry: FieldEntry, _value: str) -> FieldEntry:
        if entry.field.type not in {"datetime", "date", "uuid", "integer"}:
            raise EntryError(
                f"field `{entry.field.name}`: the server cannot generate a {entry.field.type}",
                "use auto for datetime, date or uuid",
            )
        return replace(entry, field=replace(entry.field, generated=when))

    return apply


_APPLY: dict[str, Callable[[FieldEntry, str], FieldEntry]] = {
    "required": _flag(required=True),
    "optional": _flag(required=False),
    "unique": _flag(unique=True),
    "indexed": _flag(indexed=True),
    "min": _bound("min"),
    "max": _bound("max"),
    "min_length": _length("min_length"),
    "max_length": _length("max_length"),
    "pattern": _pattern,
    "default": _text("default"),
    "example": _text("example"),
    "auto": _auto("create"),
    "auto_update": _auto("change"),
    "primary_key": lambda entry, _: replace(entry, primary_key=True),
    "references": lambda entry, value: replace(entry, references=re.split(r"[.( ]", value)[0] if value else ""),
}


def _check_bounds(field: Field) -> None:
    pairs = (
        (field.minimum, field.maximum, "min", "max"),
        (field.min_length, field.max_length, "min_length", "max_length"),
    )
    for low, high, low_name, high_name in pairs:
        if low is not None and high is not None and low > high:
            raise EntryError(
                f"field `{field.name}`: {low_name} {low:g} is greater than {high_name} {high:g}", "swap the two"
            )
    if field.pattern and field.example and not re.search(field.pattern, field.example):
        raise EntryError(f"field `{field.name}`: the example does not match the pattern", "give an example that does")


def parse_endpoint(text: str) -> Endpoint:
    match = _ENDPOINT.fullmatch(text.strip())
    form = "write `METHOD /path (verb)`, for example `GET /users/{id} (read)`"
    if not match:
        raise EntryError(f"endpoint `{text}` is not understood", form)
    method, path, inside = match.group(1).upper(), match.group(2), match.group(3)
    if method not in METHODS:
        raise EntryError(f"endpoint `{text}`: no method `{match.group(1)}`", "use one of " + ", ".join(METHODS))
    path = _check_path(text, path)
    words = split_list(inside or "")
    public = _publicity(words)
    verbs = [word for word in words if word.lower() not in {"public", "protected", "private"}]
    if len(verbs) > 1:
        raise EntryError(f"endpoint `{text}`: more than one verb", form)
    verb = snake(check_name(verbs[0], "verb")) if verbs else _default_verb(method, path)
    return Endpoint(method, path, verb, public=public)


def _publicity(words: list[str]) -> bool | None:
    lowered = {word.lower() for word in words}
    if "public" in lowered:
        return True
    return False if lowered & {"protected", "private"} else None


def _check_path(text: str, path: str) -> str:
    if not path.startswith("/"):
        raise EntryError(f"endpoint `{text}`: the path must begin with /", f"write `/{path}`")
    segments = [segment for segment in path.split("/") if segment]
    segments = [f"{{{segment[1:]}}}" if segment.startswith(":") else segment for segment in segments]
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise EntryError(
                f"endpoint `{text}`: `{segment}` cannot be a part of a path",
                "use letters, digits, `-`, `_` and `{parameter}`",
            )
    parameters = [segment for segment in segments if segment.startswith("{")]
    if len(set(parameters)) != len(parameters):
        raise EntryError(f"endpoint `{text}`: a path parameter stands twice", "give each parameter a name of its own")
    return "/" + "/".join(segments)


def _default_verb(method: str, path: str) -> str:
    if method == "GET":
        return "read" if path.endswith("}") else "list"
    return DEFAULT_VERBS[method]


def parse_relation(kind: str, text: str) -> RelationEntry:
    """`user`, `user (optional)`, `user as author (required, unique)`."""
    if kind not in RELATIONSHIPS:
        raise EntryError(f"unknown relationship `{kind}`", suggest(kind, RELATIONSHIPS))
    match = re.fullmatch(r"([^()]+?)(?:\s+as\s+([^()]+?))?\s*(?:\(([^()]*)\))?", text.strip())
    if not match:
        raise EntryError(
            f"`{kind}: {text}` is not understood", f"write `{kind}: other` or `{kind}: other as role (optional)`"
        )
    words = [word.lower() for word in split_list(match.group(3) or "")]
    for word in words:
        if word not in {"required", "optional", "unique"}:
            raise EntryError(
                f"`{kind}: {text}`: unknown word `{word}`", suggest(word, ["required", "optional", "unique"])
            )
    role = snake(check_name(match.group(2), "role")) if match.group(2) else ""
    return RelationEntry(kind, match.group(1), role, required="optional" not in words, unique="unique" in words)
