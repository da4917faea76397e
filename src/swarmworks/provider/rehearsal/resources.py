"""Resources, endpoints and references: the shapes every builder works from."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal import naming
from swarmworks.provider.rehearsal.fields import KINDS, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

INTEGER_KEY = Field("id", "id", KINDS["integer"], primary=True, server_set=True)
UUID_KEY = Field("id", "id", KINDS["string"], primary=True, server_set=True)
UNKNOWN_IDS = {"integer": "999999", "uuid": '"00000000-0000-4000-8000-000000000000"'}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`action` is what it does (create, read, list, update, delete, list_related, create_related, login, current or
    custom); `key` the reference through which a related action finds its owner.
    """

    method: str
    path: str
    verb: str
    action: str
    module: str
    description: str = ""
    order: int = 100
    success: int = 200
    protected: bool = False
    key: str = ""
    filters: tuple[str, ...] = ()
    sets: Mapping[str, str] = field(default_factory=dict[str, str])
    needs: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def parameters(self) -> tuple[str, ...]:
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    @property
    def name(self) -> str:
        """The module's stem: `task_create`."""
        return self.module.rpartition("/")[2].removesuffix(".py")


@dataclass(frozen=True, slots=True)
class Reference:
    """`field` holds the key of a row of `target`. `enforced` is false while the foreign key has to wait for a link task."""

    field: str
    target: str
    table: str
    module: str
    id_type: str = "integer"
    required: bool = True
    unique: bool = False
    enforced: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """A validation: `name` is its known meaning, empty when the words have none; `value` a number or another field."""

    text: str
    field: str = ""
    name: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """What a task is told of a resource it does not own."""

    identifier: str
    class_name: str
    module: str
    table: str
    id_type: str
    factory: str
    make: str
    fields: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def unknown_id(self) -> str:
        return UNKNOWN_IDS[self.id_type]


@dataclass(frozen=True)
class Resource:
    """`identifier` is the singular snake-case name: `PersonDetails` and `person-details` are both `person_details`."""

    identifier: str
    class_name: str
    module: str
    table: str
    migration: str
    id_type: str = "integer"
    description: str = ""
    fields: tuple[Field, ...] = ()
    references: tuple[Reference, ...] = ()
    rules: tuple[Rule, ...] = ()
    example: Mapping[str, object] = field(default_factory=dict[str, object])
    notes: tuple[str, ...] = ()

    @property
    def noun(self) -> str:
        return naming.words(self.identifier)

    @property
    def nouns(self) -> str:
        return naming.words(naming.plural(self.identifier))

    @property
    def key(self) -> Field:
        return UUID_KEY if self.id_type == "uuid" else INTEGER_KEY

    @property
    def unknown_id(self) -> str:
        return UNKNOWN_IDS[self.id_type]

    @property
    def key_type(self) -> str:
        return self.key.kind.annotation

    @cached_property
    def stored(self) -> tuple[Field, ...]:
        """Every column, the key first."""
        return (self.key, *self.fields)

    @cached_property
    def written(self) -> tuple[Field, ...]:
        return tuple(f for f in self.fields if f.written)

    @property
    def alias(self) -> str:
        return rows_alias(self.identifier)

    def find(self, name: str) -> Field | None:
        return next((f for f in self.stored if name in {f.name, f.key}), None)

    def reference(self, key: str) -> Reference | None:
        return next((r for r in self.references if r.field == key), None)


@dataclass(frozen=True, slots=True)
class Authentication:
    """`resource` holds the users; they sign in with `identifier` and `password` at `login`."""

    resource: str
    identifier: str
    password: str
    login_method: str
    login_path: str
    factory: str
    make: str
    model: str = ""
    register: str = ""


def rows_alias(identifier: str) -> str:
    """What other modules call the model module of a resource: `tasks.create(db, data)` reads well."""
    plural = naming.plural(identifier)
    return naming.module_name(plural) if plural != identifier else f"{identifier}_records"


def dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".")


def stem(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".py")
