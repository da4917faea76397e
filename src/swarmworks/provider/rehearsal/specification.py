"""Reads the YAML excerpt of a task into resources and endpoints.

The excerpt is structured facts. Entries in the one-line form of a specification (`name: type (constraints)`,
`METHOD /path (verb)`) are read as well, so a hand-written request works without a planner.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from swarmworks.provider.rehearsal import naming, rules
from swarmworks.provider.rehearsal.fields import KINDS, SYNONYMS, Field, Limits
from swarmworks.provider.rehearsal.fields import parse as parse_field
from swarmworks.provider.rehearsal.resources import (
    Authentication,
    Endpoint,
    Neighbour,
    Reference,
    Resource,
    Rule,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENDPOINT = re.compile(r"^(?P<method>[A-Z]+)\s+(?P<path>/\S*)\s*(?:\((?P<verb>[^()]*)\))?")
ACTIONS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "update",
    "DELETE": "delete",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """The excerpt: `about` says which kind of facts it holds, `data` is the rest as it was written."""

    about: str
    data: Mapping[str, object]

    def mapping(self, key: str) -> dict[str, object]:
        return _mapping(self.data.get(key))

    def entries(self, key: str) -> list[dict[str, object]]:
        return [_mapping(entry) for entry in _list(self.data.get(key))]

    def text(self, key: str) -> str:
        return _text(self.data.get(key))


def facts_of(specification: object) -> Facts:
    data = _mapping(specification)
    return Facts(_text(data.get("about")), data)


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        return {}
    return {str(key): entry for key, entry in cast("dict[object, object]", value).items()}


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _strings(value: object) -> dict[str, str]:
    return {key: _literal(entry) for key, entry in _mapping(value).items()}


def _literal(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _integer(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def resource_of(facts: Mapping[str, object]) -> Resource:
    identifier = naming.snake(_text(facts.get("name")))
    references = tuple(_references(facts))
    fields = [
        *(_field(entry) for entry in _field_entries(facts.get("fields"))),
        *(_key_field(reference) for reference in references),
    ]
    found = tuple(rules.read(entry, fields) for entry in _list(facts.get("validations")))
    limited = tuple(rules.limit(field, found) for field in fields)
    table = _text(facts.get("table")) or naming.plural(identifier)
    return Resource(
        identifier=identifier,
        class_name=_text(facts.get("class")) or naming.class_name(identifier),
        module=_text(facts.get("module")) or f"app/models/{naming.module_name(identifier)}.py",
        table=table,
        migration=_text(facts.get("migration")) or f"{100 + len(references)}_{table}",
        id_type="uuid" if facts.get("id") == "uuid" else "integer",
        description=_text(facts.get("description")),
        fields=limited,
        references=references,
        rules=found,
        example=_mapping(facts.get("example")),
        notes=(*(note for f in limited for note in f.notes), *_unenforced(found)),
    )


def _unenforced(found: tuple[Rule, ...]) -> Iterator[str]:
    for rule in found:
        if not rule.name:
            yield f"validation {rule.text!r} has no known meaning and is not enforced"


def _field_entries(value: object) -> Iterator[dict[str, object]]:
    """Fields as a list of mappings, as one-line texts, or as a mapping of name to type."""
    for name, definition in _mapping(value).items():
        yield {"name": name, "definition": _text(definition)}
    for entry in _list(value):
        if isinstance(entry, str):
            name, _, definition = entry.partition(":")
            yield {"name": name.strip(), "definition": definition.strip()}
            continue
        facts = _mapping(entry)
        if "name" in facts:
            yield facts
        else:
            for name, definition in facts.items():
                yield {"name": name, "definition": _text(definition)}


def _field(facts: dict[str, object]) -> Field:
    key = _text(facts.get("name"))
    if "definition" in facts:
        return parse_field(key, _text(facts["definition"]))
    written = _text(facts.get("type")).lower()
    kind = KINDS.get(SYNONYMS.get(written, written), KINDS["string"])
    unknown = SYNONYMS.get(written, written) not in KINDS
    generated = _text(facts.get("generated"))
    default = facts.get("default")
    return Field(
        key=key,
        name=naming.attribute_name(_text(facts.get("attribute")) or key),
        kind=kind,
        required=facts.get("required") is True,
        unique=facts.get("unique") is True,
        server_set=bool(generated),
        on_change=generated == "change",
        secret=kind.name == "password",
        indexed=facts.get("indexed") is True,
        default=None if default is None else _literal(default),
        choices=tuple(str(value) for value in _list(facts.get("values"))),
        limits=_limits(facts),
        notes=(f"field {key}: unknown type {written!r}, kept as a string",) if unknown else (),
    )


def _limits(facts: dict[str, object]) -> Limits:
    shortest, longest = facts.get("min_length"), facts.get("max_length")
    return Limits(
        least=_text(facts.get("min")),
        most=_text(facts.get("max")),
        min_length=shortest if isinstance(shortest, int) else None,
        max_length=longest if isinstance(longest, int) else None,
        pattern=_text(facts.get("pattern")),
    )


def _references(facts: Mapping[str, object]) -> Iterator[Reference]:
    for entry in _list(facts.get("belongs_to")):
        link = {"resource": entry} if isinstance(entry, str) else _mapping(entry)
        target = naming.snake(_text(link.get("resource")))
        later = link.get("constraint") == "later"
        yield Reference(
            field=_text(link.get("key")) or f"{target}_id",
            target=target,
            table=_text(link.get("table")) or naming.plural(target),
            module=_text(link.get("module")) or f"app/models/{naming.module_name(target)}.py",
            id_type="uuid" if link.get("id") == "uuid" else "integer",
            required=link.get("required") is not False and not later,
            unique=link.get("unique") is True,
            enforced=not later,
        )


def _key_field(reference: Reference) -> Field:
    return Field(
        key=reference.field,
        name=naming.attribute_name(reference.field),
        kind=KINDS[reference.id_type],
        required=reference.required,
        unique=reference.unique,
    )


def endpoint_of(value: object, resource: Resource | None) -> Endpoint:
    """An endpoint from its facts, or from the one-line form."""
    facts = _mapping(value)
    if isinstance(value, str) and (match := ENDPOINT.match(value.strip())):
        facts = {"method": match["method"], "path": match["path"], "verb": match["verb"]}
    method, path = _text(facts.get("method")).upper(), _text(facts.get("path"))
    action = _text(facts.get("action")) or _action(method, path)
    verb = _text(facts.get("verb")) or action
    name = f"{resource.identifier}_{naming.snake(verb)}" if resource else naming.snake(verb)
    return Endpoint(
        method=method,
        path=path,
        verb=verb,
        action=action,
        module=_text(facts.get("module")) or f"app/api/{name}.py",
        description=_text(facts.get("description")),
        order=_integer(facts.get("order"), 100),
        success=_integer(facts.get("success"), {"create": 201, "delete": 204}.get(action, 200)),
        protected=facts.get("protected") is True,
        key=_text(facts.get("key")),
        filters=tuple(str(each) for each in _list(facts.get("filters"))),
        sets=_strings(facts.get("sets")),
        needs=_strings(facts.get("needs")),
    )


def _action(method: str, path: str) -> str:
    item = path.endswith("}")
    if method == "GET":
        return "read" if item else "list"
    if (method == "POST") == item or "}/" in path:
        return "custom"
    return ACTIONS.get(method, "custom")


def neighbour_of(facts: Mapping[str, object]) -> Neighbour:
    identifier = _text(facts.get("name")) or _text(facts.get("resource"))
    module = naming.module_name(identifier)
    return Neighbour(
        identifier=identifier,
        class_name=_text(facts.get("class")) or naming.class_name(identifier),
        module=_text(facts.get("module")) or f"app/models/{module}.py",
        table=_text(facts.get("table")) or naming.plural(identifier),
        id_type="uuid" if facts.get("id") == "uuid" else "integer",
        factory=_text(facts.get("factory")) or f"tests/factories/{module}.py",
        make=_text(facts.get("make")) or f"make_{identifier}",
        fields=_strings(facts.get("fields")),
    )


def neighbour_of_resource(resource: Resource) -> Neighbour:
    return Neighbour(
        identifier=resource.identifier,
        class_name=resource.class_name,
        module=resource.module,
        table=resource.table,
        id_type=resource.id_type,
        factory=resource.module.replace("app/models/", "tests/factories/"),
        make=f"make_{resource.identifier}",
        fields={f.key: f.kind.name for f in resource.fields},
    )


def authentication_of(value: object) -> Authentication | None:
    facts = _mapping(value)
    if not facts:
        return None
    method, _, path = _text(facts.get("login") or "POST /auth/login").partition(" ")
    identifier = _text(facts.get("resource"))
    return Authentication(
        resource=identifier,
        identifier=_text(facts.get("identifier")) or "email",
        password=_text(facts.get("password")) or "password",
        login_method=method,
        login_path=path,
        factory=_text(facts.get("factory")) or f"tests/factories/{naming.module_name(identifier)}.py",
        make=_text(facts.get("make")) or f"make_{identifier}",
        model=_text(facts.get("model")),
        register=_text(facts.get("register")),
    )
