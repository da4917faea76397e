"""A resource specification: what an application is made of, as its author wrote it down. Parsed by `wire.spec`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

FIELD_TYPES = (
    "string",
    "text",
    "integer",
    "number",
    "boolean",
    "date",
    "datetime",
    "email",
    "url",
    "uuid",
    "enum",
    "password",
    "json",
)
TEXT_TYPES = frozenset({"string", "text", "email", "url", "password"})
NUMBER_TYPES = frozenset({"integer", "number"})

# Kinds of requirements that have a meaning of their own; `custom` is proved by a test written from its words.
LATENCY = "latency"
THROUGHPUT = "throughput"
CONCURRENCY = "concurrency"
PAGINATION = "pagination"
COVERAGE = "coverage"
LINT = "lint"
TYPES = "types"
DOCUMENTATION = "documentation"
AUTHENTICATION = "authentication"
PASSWORD_HASHING = "password_hashing"  # noqa: S105 - a requirement's name
RATE_LIMIT = "rate_limit"
INPUT_VALIDATION = "input_validation"
SQL_INJECTION = "sql_injection"
PUBLIC = "public"
CUSTOM = "custom"


@dataclass(frozen=True, slots=True)
class Architecture:
    """`notes` are further facts (queue, cache, ...) that stand in every task's specification."""

    language: str = "python"
    framework: str = "fastapi"
    database: str = "sqlite"
    notes: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Field:
    """`attribute` is the name as a Python identifier (`class` becomes `class_`). `generated` is empty, `create` or
    `change`: the server sets the value then, and a client cannot.
    """

    name: str
    attribute: str
    type: str
    required: bool = False
    unique: bool = False
    indexed: bool = False
    generated: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    default: str | None = None
    example: str | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """A rule in its author's words; `rule` and `value` are set when the words have a known meaning."""

    text: str
    field: str | None = None
    rule: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class BelongsTo:
    """`resource` is the other resource's identifier, `key` the column, `role` what the other is to this one."""

    resource: str
    key: str
    role: str
    required: bool = True
    unique: bool = False


@dataclass(frozen=True, slots=True)
class HasMany:
    resource: str
    key: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`sets` are fields the call changes, `needs` values that must hold before (409 otherwise)."""

    method: str
    path: str
    verb: str
    description: str = ""
    public: bool | None = None
    sets: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names in braces, in the order of the path."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))


@dataclass(frozen=True, slots=True)
class Resource:
    """`name` is as written; `identifier` is singular snake case and unique: `person_details`."""

    name: str
    identifier: str
    description: str = ""
    id_type: str = "integer"
    fields: tuple[Field, ...] = ()
    validations: tuple[Validation, ...] = ()
    belongs_to: tuple[BelongsTo, ...] = ()
    has_many: tuple[HasMany, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()

    def field(self, name: str) -> Field | None:
        return next((each for each in self.fields if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Requirement:
    """`area` is `performance`, `quality` or `security`; `numbers` hold its figures (percentile, ms, percent, ...)."""

    area: str
    kind: str
    text: str
    numbers: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Specification:
    name: str
    description: str
    architecture: Architecture
    resources: tuple[Resource, ...]
    requirements: tuple[Requirement, ...] = ()

    def resource(self, identifier: str) -> Resource:
        return next(each for each in self.resources if each.identifier == identifier)

    def requirement(self, kind: str) -> Requirement | None:
        """The first requirement of a kind."""
        return next((each for each in self.requirements if each.kind == kind), None)
