"""Loads a resource specification: YAML text to a `Specification`, or every problem in it at once, each with its line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import InvalidDocumentError, Problem
from swarmworks.domain import spec
from swarmworks.domain.spec import Architecture, Endpoint, Requirement, Resource, Specification, Validation
from swarmworks.policy.planning.names import singular, snake
from swarmworks.wire.spec_entries import (
    EntryError,
    FieldEntry,
    RelationEntry,
    check_name,
    check_value,
    parse_endpoint,
    parse_field,
    parse_relation,
)
from swarmworks.wire.spec_links import link_resources
from swarmworks.wire.spec_requirements import AREAS, parse_requirement
from swarmworks.wire.spec_validations import parse_validation
from swarmworks.wire.yaml_lines import (
    Entry,
    Listing,
    Mapping,
    Node,
    Scalar,
    parse_document,
    read_document,
    suggest,
    unknown_keys,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_SPEC_BYTES = 512 * 1024
MAX_RESOURCES = 200
MAX_TEXT = 4000
_TOP = (
    "name",
    "description",
    "architecture",
    "resources",
    "requirements",
    *AREAS,
    *(f"{area}_requirements" for area in AREAS),
)
_RESOURCE = ("name", "description", "fields", "validations", "relationships", "endpoints")
_ARCHITECTURE = ("language", "framework", "database")
_NOTES = ("version", "style", "authentication", "orm", "cache", "queue", "testing", "deployment", "frontend")
_LANGUAGES = ("python", "javascript", "typescript", "go", "ruby", "java", "rust", "php", "csharp")


@dataclass
class DraftResource:
    """A resource while it is read: relationships by written name, and the lines to complain about."""

    resource: Resource
    line: int
    relations: list[tuple[int, RelationEntry]] = field(default_factory=list[tuple[int, RelationEntry]])
    foreign_keys: list[tuple[int, FieldEntry]] = field(default_factory=list[tuple[int, FieldEntry]])


def load_specification(path: Path) -> tuple[Specification, bytes]:
    """The specification and the bytes it was read from (for the plan's source). Raises InvalidDocumentError."""
    data = read_document(path, MAX_SPEC_BYTES)
    return parse_specification(str(path), data), data


def parse_specification(document: str, data: bytes) -> Specification:
    """Raises InvalidDocumentError holding every problem found."""
    if len(data) > MAX_SPEC_BYTES:
        raise InvalidDocumentError(
            document, [Problem(0, f"larger than {MAX_SPEC_BYTES // 1024} KiB", "split the specification")]
        )
    reader = _SpecReader()
    found = reader.specification(parse_document(document, data))
    if reader.problems:
        raise InvalidDocumentError(document, reader.problems)
    return found


class _SpecReader:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def _problem(self, line: int, what: str, mend: str = "") -> None:
        self.problems.append(Problem(line, what, mend))

    def specification(self, root: Mapping) -> Specification:
        root = self._unwrap(root)
        self.problems.extend(unknown_keys(root, _TOP, "the specification"))
        name = self._text(root, "name")
        if not name:
            self._problem(root.line, "the specification has no `name`", "add `name: My application`")
        architecture = self._architecture(root.get("architecture"))
        drafts = self._resources(root)
        resources = link_resources(drafts, self.problems)
        requirements = self._requirements(root, architecture)
        self._check_authentication(root, requirements, resources)
        return Specification(name, self._text(root, "description"), architecture, resources, tuple(requirements))

    def _unwrap(self, root: Mapping) -> Mapping:
        """`project: {name, description}` is read as if its keys stood at the top."""
        project = root.get("project")
        if project is None or not isinstance(project.value, Mapping):
            return root
        rest = tuple(entry for entry in root.entries if entry.key != "project")
        return Mapping(project.value.entries + rest, root.line)

    def _text(self, node: Mapping, key: str) -> str:
        entry = node.get(key)
        if entry is None:
            return ""
        if not isinstance(entry.value, Scalar):
            self._problem(entry.line, f"`{key}` must be text", f"write `{key}: some words`")
            return ""
        if len(entry.value.text) > MAX_TEXT:
            self._problem(entry.line, f"`{key}` is longer than {MAX_TEXT} characters", "say it shorter")
        return "" if entry.value.null else entry.value.text.strip()

    def _architecture(self, entry: Entry | None) -> Architecture:
        if entry is None:
            return Architecture()
        if not isinstance(entry.value, Mapping):
            self._problem(
                entry.line, "`architecture` must be a mapping", "write language, framework and database below it"
            )
            return Architecture()
        self.problems.extend(unknown_keys(entry.value, _ARCHITECTURE + _NOTES, "architecture"))
        words = {key: self._text(entry.value, key) for key in _ARCHITECTURE + _NOTES}
        framework = words["framework"].lower() or (
            "fastapi" if words["language"].lower() in {"", "python"} else "plain"
        )
        language = words["language"].lower() or _language_of(framework)
        language = re.sub(r"[ \d.+]+$", "", language)
        if language not in _LANGUAGES:
            self._problem(
                _line_of(entry.value, "language"),
                f"no layout for the language `{language}`",
                suggest(language, _LANGUAGES),
            )
        notes = {key: words[key] for key in _NOTES if words[key]}
        return Architecture(language, framework, words["database"].lower() or "sqlite", notes)

    def _resources(self, root: Mapping) -> list[DraftResource]:
        entry = root.get("resources")
        if entry is None:
            self._problem(
                root.line, "the specification has no `resources`", "add at least one resource with fields and endpoints"
            )
            return []
        named = list(self._named(entry))
        if not named and not self.problems:
            self._problem(entry.line, "`resources` is empty", "add at least one resource with fields and endpoints")
        if len(named) > MAX_RESOURCES:
            self._problem(entry.line, f"more than {MAX_RESOURCES} resources", "split the specification")
            return []
        drafts = [draft for line, name, node in named if (draft := self._resource(line, name, node))]
        return self._distinct(drafts)

    def _named(self, entry: Entry) -> Iterator[tuple[int, str, Mapping]]:
        """Resources as a mapping by name, or as a list of mappings with a `name`."""
        if isinstance(entry.value, Mapping):
            for each in entry.value.entries:
                if isinstance(each.value, Mapping):
                    yield each.line, each.key, each.value
                else:
                    self._problem(
                        each.line, f"resource `{each.key}` must be a mapping", "write fields and endpoints below it"
                    )
        elif isinstance(entry.value, Listing):
            for item in entry.value.items:
                yield from self._listed(item)
        elif not entry.value.null:
            self._problem(
                entry.line,
                "`resources` must be a mapping or a list",
                "write `user:` with its fields and endpoints below",
            )

    def _listed(self, item: Node) -> Iterator[tuple[int, str, Mapping]]:
        if isinstance(item, Mapping) and len(item.entries) == 1 and isinstance(item.entries[0].value, Mapping):
            only = item.entries[0]
            yield only.line, only.key, item.entries[0].value
        elif isinstance(item, Mapping) and (name := self._text(item, "name")):
            yield _line_of(item, "name"), name, item
        else:
            self._problem(
                item.line, "a resource without a name", "write `- name: user` and its fields and endpoints below"
            )

    def _distinct(self, drafts: list[DraftResource]) -> list[DraftResource]:
        kept: dict[str, DraftResource] = {}
        for draft in drafts:
            other = kept.setdefault(singular(draft.resource.identifier), draft)
            if other is not draft:
                self._problem(
                    draft.line,
                    f"`{draft.resource.name}` and `{other.resource.name}` (line {other.line}) are the same name in code: `{singular(draft.resource.identifier)}`",
                    "rename one of the two",
                )
        return list(kept.values())

    def _resource(self, line: int, name: str, node: Mapping) -> DraftResource | None:
        try:
            check_name(name, "resource")
        except EntryError as error:
            self._problem(line, error.what, error.mend)
            return None
        self.problems.extend(unknown_keys(node, _RESOURCE, f"resource `{name}`"))
        draft = DraftResource(Resource(name, snake(name), self._text(node, "description")), line)
        fields, lines = self._fields(node.get("fields"), draft)
        endpoints = self._endpoints(node.get("endpoints"), fields, name)
        validations = tuple(self._validations(node.get("validations"), fields))
        draft.relations = list(self._relations(node.get("relationships")))
        draft.resource = replace(
            draft.resource, fields=tuple(fields), endpoints=tuple(endpoints), validations=validations
        )
        self._check_attributes(fields, lines)
        if not lines and not draft.relations:
            self._problem(line, f"resource `{name}` has no fields", "add `fields:` with `- name: type (constraints)`")
        return draft

    def _lines(self, entry: Entry | None, what: str) -> Iterator[tuple[int, str, str | None]]:
        """Entries of a list of `a`, `a: b` or one mapping of `a: b`, as (line, a, b)."""
        if entry is None or (isinstance(entry.value, Scalar) and entry.value.null):
            return
        if isinstance(entry.value, Scalar):
            self._problem(
                entry.line, f"`{what}` must be a list", f"write each of the {what} on a line of its own, after `- `"
            )
            return
        for item in entry.value.items if isinstance(entry.value, Listing) else [entry.value]:
            if isinstance(item, Scalar):
                yield item.line, item.text.strip(), None
            elif isinstance(item, Mapping):
                yield from self._pairs(item, what)
            else:
                self._problem(item.line, f"a list inside `{what}`", "write one entry a line")

    def _pairs(self, item: Mapping, what: str) -> Iterator[tuple[int, str, str | None]]:
        for pair in item.entries:
            if isinstance(pair.value, Scalar):
                yield pair.line, pair.key.strip(), "" if pair.value.null else pair.value.text.strip()
            elif isinstance(pair.value, Listing) and all(isinstance(each, Scalar) for each in pair.value.items):
                for each in pair.value.items:
                    yield each.line, pair.key.strip(), each.text.strip() if isinstance(each, Scalar) else ""
            else:
                self._problem(pair.line, f"`{pair.key}` in `{what}` is not understood", "write one line of text for it")

    def _fields(self, entry: Entry | None, draft: DraftResource) -> tuple[list[spec.Field], dict[str, int]]:
        fields: list[spec.Field] = []
        lines: dict[str, int] = {}
        for line, name, value in self._lines(entry, "fields"):
            try:
                parsed = parse_field(name, value or "")
            except EntryError as error:
                self._problem(line, error.what, error.mend)
                lines.setdefault(name, line)
                continue
            if name in lines:
                self._problem(
                    line, f"field `{name}` stands here twice, first on line {lines[name]}", "remove one of the two"
                )
            elif name == "id" or parsed.primary_key:
                self._identity(draft, line, parsed)
            elif parsed.references is not None:
                draft.foreign_keys.append((line, parsed))
            else:
                fields.append(parsed.field)
            lines.setdefault(name, line)
        return fields, lines

    def _identity(self, draft: DraftResource, line: int, entry: FieldEntry) -> None:
        if entry.field.name != "id" or entry.field.type not in {"integer", "uuid"}:
            self._problem(
                line,
                "a primary key must be `id` of type integer or uuid",
                "write `id: integer`, or leave it out: every resource has one",
            )
            return
        draft.resource = replace(draft.resource, id_type=entry.field.type)

    def _check_attributes(self, fields: list[spec.Field], lines: dict[str, int]) -> None:
        first: dict[str, spec.Field] = {}
        for each in fields:
            other = first.setdefault(each.attribute, each)
            if other is not each:
                self._problem(
                    lines[each.name],
                    f"fields `{each.name}` and `{other.name}` (line {lines[other.name]}) are the same name in code: `{each.attribute}`",
                    "rename one of the two",
                )

    def _endpoints(self, entry: Entry | None, fields: list[spec.Field], owner: str) -> list[Endpoint]:
        found: list[Endpoint] = []
        lines: dict[tuple[str, str], int] = {}
        for line, parsed in self._endpoint_entries(entry, fields):
            shape = (parsed.method, re.sub(r"\{[^}]*\}", "{}", parsed.path))
            if shape in lines:
                self._problem(
                    line,
                    f"`{parsed.method} {parsed.path}` stands here twice, first on line {lines[shape]}",
                    "remove one of the two",
                )
                continue
            lines[shape] = line
            found.append(parsed)
        if entry is not None and isinstance(entry.value, Scalar) and entry.value.null:
            self._problem(
                entry.line, f"`endpoints` of `{owner}` is empty", "add `- GET /path (list)`, or leave the key out"
            )
        return found

    def _endpoint_entries(self, entry: Entry | None, fields: list[spec.Field]) -> Iterator[tuple[int, Endpoint]]:
        nodes = _items(entry)
        if entry is not None and nodes is None:
            self._problem(
                entry.line, "`endpoints` must be a list", "write each endpoint on a line of its own, after `- `"
            )
        for item in nodes or []:
            try:
                if isinstance(item, Scalar):
                    yield item.line, parse_endpoint(item.text)
                elif isinstance(item, Mapping):
                    yield from [(each.line, self._detailed(each, fields)) for each in item.entries]
                else:
                    self._problem(item.line, "a list inside `endpoints`", "write one endpoint a line")
            except EntryError as error:
                self._problem(item.line, error.what, error.mend)

    def _detailed(self, entry: Entry, fields: list[spec.Field]) -> Endpoint:
        """`- POST /orders/{id}/cancel (cancel): words`, or a mapping of description, public, sets, needs."""
        endpoint = parse_endpoint(entry.key)
        if isinstance(entry.value, Scalar):
            return replace(endpoint, description="" if entry.value.null else entry.value.text.strip())
        if not isinstance(entry.value, Mapping):
            raise EntryError(f"`{entry.key}` has a list below it", "write description, public, sets or needs")
        self.problems.extend(
            unknown_keys(entry.value, ("description", "public", "sets", "needs"), f"endpoint `{entry.key}`")
        )
        public = self._text(entry.value, "public").lower()
        if public not in {"", "true", "false", "yes", "no"}:
            raise EntryError("`public` must be true or false", "write `public: true`")
        return replace(
            endpoint,
            description=self._text(entry.value, "description"),
            public=endpoint.public if not public else public in {"true", "yes"},
            sets=self._values(entry.value, "sets", fields),
            needs=self._values(entry.value, "needs", fields),
        )

    def _values(self, node: Mapping, key: str, fields: list[spec.Field]) -> dict[str, str]:
        entry = node.get(key)
        if entry is None:
            return {}
        if not isinstance(entry.value, Mapping):
            raise EntryError(f"`{key}` must be a mapping of fields to values", f"write `{key}: {{status: done}}`")
        known = {each.name: each for each in fields}
        values: dict[str, str] = {}
        for pair in entry.value.entries:
            if pair.key not in known:
                self._problem(pair.line, f"`{key}` names an unknown field `{pair.key}`", suggest(pair.key, known))
            elif isinstance(pair.value, Scalar):
                check_value(known[pair.key], key, pair.value.text)
                values[pair.key] = pair.value.text
        return values

    def _validations(self, entry: Entry | None, fields: list[spec.Field]) -> Iterator[Validation]:
        for line, text, value in self._lines(entry, "validations"):
            try:
                yield parse_validation(text, value, fields)
            except EntryError as error:
                self._problem(line, error.what, error.mend)

    def _relations(self, entry: Entry | None) -> Iterator[tuple[int, RelationEntry]]:
        for line, text, value in self._lines(entry, "relationships"):
            kind, _, rest = text.partition(" ") if value is None else (text, "", value)
            try:
                yield line, parse_relation(kind.rstrip(":"), rest)
            except EntryError as error:
                self._problem(line, error.what, error.mend)

    def _requirements(self, root: Mapping, architecture: Architecture) -> list[Requirement]:
        found: list[Requirement] = []
        for area, entry in self._areas(root):
            for line, text, value in self._lines(entry, area):
                whole = text if value is None else f"{text}: {value}"
                try:
                    found.append(parse_requirement(area, whole))
                except EntryError as error:
                    self._problem(line, error.what, error.mend)
        wanted = architecture.notes.get("authentication")
        if wanted and not any(each.kind == spec.AUTHENTICATION for each in found):
            found.append(Requirement("security", spec.AUTHENTICATION, f"authentication: {wanted}"))
        return found

    def _areas(self, root: Mapping) -> Iterator[tuple[str, Entry]]:
        nested = root.get("requirements")
        scopes = [root]
        if nested is not None and isinstance(nested.value, Mapping):
            self.problems.extend(unknown_keys(nested.value, AREAS, "requirements"))
            scopes.append(nested.value)
        elif nested is not None:
            self._problem(
                nested.line, "`requirements` must be a mapping", "write performance, quality and security below it"
            )
        for scope in scopes:
            for area in AREAS:
                for key in (area, f"{area}_requirements"):
                    if (entry := scope.get(key)) is not None:
                        yield area, entry

    def _check_authentication(
        self, root: Mapping, requirements: list[Requirement], resources: tuple[Resource, ...]
    ) -> None:
        if not any(each.kind == spec.AUTHENTICATION for each in requirements) or not resources:
            return
        line = next((entry.line for _, entry in self._areas(root) if entry.key.startswith("security")), root.line)
        keepers = [each for each in resources if any(f.type == "password" for f in each.fields)]
        if not keepers:
            self._problem(
                line,
                "authentication is required, but no resource has a password",
                "give one resource `password: password (required)`",
            )
        elif not any(f.unique and f.type in spec.TEXT_TYPES for f in keepers[0].fields):
            self._problem(
                line,
                f"authentication needs a unique field in `{keepers[0].name}` to log in with",
                "add `email: email (required, unique)`",
            )


def _items(entry: Entry | None) -> tuple[Node, ...] | None:
    if entry is None or (isinstance(entry.value, Scalar) and entry.value.null):
        return ()
    if isinstance(entry.value, Listing):
        return entry.value.items
    return (entry.value,) if isinstance(entry.value, Mapping) else None


def _line_of(node: Mapping, key: str) -> int:
    entry = node.get(key)
    return entry.line if entry else node.line


def _language_of(framework: str) -> str:
    javascript = {"express", "nest", "nestjs", "koa", "hapi", "fastify"}
    return "javascript" if framework in javascript else "python"
