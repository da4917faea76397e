"""Fields of a resource: `name: type (constraints)` read into what a table, a pydantic model and a test need to know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Kind:
    """A canonical type: its Python annotation and its SQLite column type."""

    name: str
    annotation: str
    sql: str


KINDS = {
    kind.name: kind
    for kind in (
        Kind("string", "str", "TEXT"),
        Kind("text", "str", "TEXT"),
        Kind("email", "str", "TEXT"),
        Kind("url", "str", "TEXT"),
        Kind("integer", "int", "INTEGER"),
        Kind("number", "float", "REAL"),
        Kind("decimal", "Decimal", "TEXT"),
        Kind("boolean", "bool", "INTEGER"),
        Kind("date", "dt.date", "TEXT"),
        Kind("datetime", "dt.datetime", "TEXT"),
        Kind("time", "dt.time", "TEXT"),
        Kind("uuid", "UUID", "TEXT"),
        Kind("enum", "str", "TEXT"),
        Kind("json", "JsonValue", "TEXT"),
        Kind("list", "list", "TEXT"),
        Kind("password", "str", "TEXT"),
    )
}

SYNONYMS = {
    "str": "string",
    "varchar": "string",
    "char": "string",
    "slug": "string",
    "phone": "string",
    "hash": "password",
    "longtext": "text",
    "markdown": "text",
    "int": "integer",
    "bigint": "integer",
    "smallint": "integer",
    "serial": "integer",
    "float": "number",
    "double": "number",
    "real": "number",
    "money": "decimal",
    "numeric": "decimal",
    "currency": "decimal",
    "bool": "boolean",
    "timestamp": "datetime",
    "timestamptz": "datetime",
    "uri": "url",
    "guid": "uuid",
    "choice": "enum",
    "object": "json",
    "jsonb": "json",
    "dict": "json",
    "map": "json",
    "array": "list",
    "reference": "integer",
    "foreign_key": "integer",
    "fk": "integer",
    "id": "integer",
    "secret": "password",
}

DEFINITION = re.compile(r"^(?P<type>[A-Za-z_][\w-]*)(?:\((?P<params>[^()]*)\)|\[(?P<item>[^\[\]]*)\])?\s*(?P<rest>.*)$")
CHANGE_NAMES = frozenset({"updated_at", "updated_on", "modified_at", "modified_on"})
SERVER_SET_NAMES = CHANGE_NAMES | {"created_at", "created_on"}
NUMERIC = frozenset({"integer", "number", "decimal"})
TEXTUAL = frozenset({"string", "text", "email", "url", "password"})


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds as the specification wrote them: numbers for numeric kinds, lengths for text, items for lists."""

    least: str = ""
    most: str = ""
    above: str = ""
    below: str = ""
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    places: int | None = None
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """`key` is the name in JSON and SQL, `name` the Python attribute. `server_set` fields never come from a client."""

    key: str
    name: str
    kind: Kind
    required: bool = False
    unique: bool = False
    primary: bool = False
    server_set: bool = False
    on_change: bool = False
    secret: bool = False
    indexed: bool = False
    default: str | None = None
    example: str | None = None
    choices: tuple[str, ...] = ()
    item: str = "str"
    checks: tuple[str, ...] = ()
    limits: Limits = Limits()
    references: str = ""
    notes: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        """Secrets are stored under a name that says they are hashed; everything else under its own."""
        return f"{self.key}_hash" if self.secret else self.key

    @property
    def written(self) -> bool:
        """A client may send it."""
        return not self.server_set and not self.primary

    @property
    def needed(self) -> bool:
        """A client must send it on create."""
        return self.written and self.required


@dataclass(slots=True)
class _Draft:
    required: bool = False
    optional: bool = False
    unique: bool = False
    primary: bool = False
    server_set: bool = False
    on_change: bool = False
    secret: bool = False
    indexed: bool = False
    default: str | None = None
    example: str | None = None
    choices: tuple[str, ...] = ()
    references: str = ""
    least: str = ""
    most: str = ""
    above: str = ""
    below: str = ""
    shortest: int | None = None
    longest: int | None = None
    pattern: str = ""
    notes: list[str] = field(default_factory=list[str])


def parse(key: str, definition: str) -> Field:
    """Read one field; an unknown type becomes a string and says so in the field's notes."""
    match = DEFINITION.match(definition.strip())
    written = match["type"] if match else "string"
    word = naming.snake(written)
    params = (match["params"] or "") if match else ""
    constraints = _unwrap(match["rest"] if match else definition)
    draft = _Draft()
    kind = KINDS.get(SYNONYMS.get(word, word))
    if kind is None:
        kind = KINDS["string"]
        draft.notes.append(f"field {key}: unknown type {written!r}, kept as a string")
    for constraint in split(constraints):
        _apply(draft, constraint, kind)
    return _finish(key, word, kind, params, (match["item"] or "") if match else "", draft)


def _finish(key: str, word: str, kind: Kind, params: str, item: str, draft: _Draft) -> Field:
    name = naming.attribute_name(key)
    choices = draft.choices or (tuple(_plain(part) for part in split(params)) if kind.name == "enum" else ())
    if choices and kind.name in {"string", "text"}:
        kind = KINDS["enum"]
    if kind.name == "enum" and not choices:
        kind = KINDS["string"]
        draft.notes.append(f"field {key}: an enum without choices, kept as a string")
    if word in {"reference", "foreign_key", "fk"} and params:
        draft.references = params
    if kind.name == "password":
        draft.secret = True
    longest = draft.longest
    if kind.name == "string" and params.strip().isdigit():
        longest = int(params)
    numbers = [int(part) for part in split(params) if part.strip().isdigit()] if kind.name == "decimal" else []
    return Field(
        key=key,
        name=name,
        kind=kind,
        required=(draft.required or draft.primary) and not draft.optional,
        unique=draft.unique,
        primary=draft.primary,
        server_set=draft.server_set or draft.on_change or name in SERVER_SET_NAMES,
        on_change=draft.on_change or name in CHANGE_NAMES,
        secret=draft.secret,
        indexed=draft.indexed,
        default=draft.default,
        example=draft.example,
        choices=choices,
        item=_item(item or (params if kind.name == "list" else "")),
        limits=Limits(
            least=draft.least,
            most=draft.most,
            above=draft.above,
            below=draft.below,
            min_length=draft.shortest,
            max_length=longest,
            pattern=draft.pattern,
            digits=numbers[0] if len(numbers) == 2 else None,
            places=numbers[1] if len(numbers) == 2 else None,
        ),
        references=draft.references,
        notes=tuple(draft.notes),
    )


def _item(word: str) -> str:
    kind = KINDS.get(SYNONYMS.get(naming.singular(naming.snake(word)), naming.singular(naming.snake(word))))
    return kind.annotation if kind and kind.annotation in {"str", "int", "float", "bool"} else "str"


def _unwrap(rest: str) -> str:
    rest = rest.strip().strip(",")
    return rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest


def split(text: str) -> list[str]:
    """Cut at commas outside brackets and quotes."""
    return [part for part in (piece.strip() for piece in _pieces(text)) if part]


def _pieces(text: str) -> Iterator[str]:
    depth = 0
    quote = ""
    start = 0
    for index, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _plain(text: str) -> str:
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


FLAGS = {
    "required": "required",
    "not_null": "required",
    "mandatory": "required",
    "optional": "optional",
    "nullable": "optional",
    "null": "optional",
    "unique": "unique",
    "primary_key": "primary",
    "primary": "primary",
    "pk": "primary",
    "auto": "server_set",
    "auto_now": "on_change",
    "auto_update": "on_change",
    "auto_increment": "server_set",
    "autoincrement": "server_set",
    "auto_generated": "server_set",
    "generated": "server_set",
    "read_only": "server_set",
    "readonly": "server_set",
    "server_set": "server_set",
    "hashed": "secret",
    "hash": "secret",
    "secret": "secret",
    "write_only": "secret",
    "private": "secret",
    "index": "indexed",
    "indexed": "indexed",
}
BOUND = re.compile(r"^(?P<name>[a-zA-Z_ -]+?)\s*(?:[:=]|\s)\s*(?P<value>.+)$")
COMPARISON = re.compile(r"^(?P<sign>>=|<=|>|<|≥|≤)\s*(?P<value>-?[\d.]+)$")
RANGE = re.compile(r"^(?P<low>-?[\d.]+)\s*(?:-|\.\.|to)\s*(?P<high>-?[\d.]+)(?P<unit>\s+char\w*)?$")


def _apply(draft: _Draft, constraint: str, kind: Kind) -> None:
    flag = FLAGS.get(naming.snake(constraint))
    if flag:
        setattr(draft, flag, True)
    elif comparison := COMPARISON.match(constraint):
        _bound(draft, comparison["sign"], comparison["value"], kind)
    elif span := RANGE.match(constraint):
        _bound(draft, ">=", span["low"], kind)
        _bound(draft, "<=", span["high"], kind)
    elif bound := BOUND.match(constraint):
        _named(draft, naming.snake(bound["name"]), bound["value"].strip(), kind)
    elif kind.name == "enum" and re.search(r"[|/]", constraint):
        draft.choices = tuple(_plain(part) for part in re.split(r"[|/]", constraint))
    elif kind.name == "enum":
        draft.choices = (*draft.choices, _plain(constraint))
    else:
        draft.notes.append(f"unknown constraint {constraint!r} is not enforced")


def _bound(draft: _Draft, sign: str, value: str, kind: Kind) -> None:
    if kind.name in NUMERIC:
        name = {">=": "least", "≥": "least", "<=": "most", "≤": "most", ">": "above", "<": "below"}[sign]
        setattr(draft, name, value)
        return
    length = int(float(value))
    if sign in {">=", "≥", ">"}:
        draft.shortest = length + (sign == ">")
    else:
        draft.longest = length - (sign == "<")


def _named(draft: _Draft, name: str, value: str, kind: Kind) -> None:
    """A constraint with a value: words first, then the bounds."""
    match name:
        case "default":
            draft.default = _plain(value)
        case "example":
            draft.example = _plain(value)
        case "references" | "foreign_key" | "reference" | "fk" | "belongs_to":
            draft.references = re.sub(r"^(to|of)\s+", "", value)
        case "pattern" | "regex" | "matches":
            draft.pattern = _plain(value)
        case "enum" | "one_of" | "in" | "values" | "choices" | "choice":
            listed = _plain(value).strip("[](){}")
            draft.choices = tuple(_plain(part) for part in re.split(r"\s*[,|/]\s*|\s+or\s+", listed) if part)
        case _:
            _measured(draft, name, value, kind)


def _measured(draft: _Draft, name: str, value: str, kind: Kind) -> None:
    number = re.match(r"-?\d+(\.\d+)?", value)
    match name:
        case "min_length" | "minlength" if number:
            draft.shortest = int(float(number[0]))
        case "max_length" | "maxlength" | "length" | "size" if number:
            draft.longest = int(float(number[0]))
        case "min" | "minimum" | "at_least" | "ge" if number:
            _bound(draft, ">=", number[0], kind)
        case "max" | "maximum" | "at_most" | "le" | "up_to" if number:
            _bound(draft, "<=", number[0], kind)
        case "gt" | "greater_than" | "above" if number:
            _bound(draft, ">", number[0], kind)
        case "lt" | "less_than" | "below" if number:
            _bound(draft, "<", number[0], kind)
        case _:
            draft.notes.append(f"unknown constraint {name!r} is not enforced")
