"""Relationships between resources: names resolved, foreign keys named, the other half of a `has_many` supplied."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from swarmworks.base.errors import Problem
from swarmworks.domain.spec import BelongsTo, HasMany, Resource
from swarmworks.policy.planning.names import singular, snake
from swarmworks.wire.yaml_lines import suggest

if TYPE_CHECKING:
    from swarmworks.wire.spec import DraftResource
    from swarmworks.wire.spec_entries import FieldEntry, RelationEntry


def link_resources(drafts: list[DraftResource], problems: list[Problem]) -> tuple[Resource, ...]:
    linker = _Linker(drafts, problems)
    linker.link()
    return tuple(draft.resource for draft in drafts)


class _Linker:
    def __init__(self, drafts: list[DraftResource], problems: list[Problem]) -> None:
        self._drafts = drafts
        self._by_name = {draft.resource.identifier: draft for draft in drafts}
        self._by_singular = {singular(identifier): identifier for identifier in self._by_name}
        self._problems = problems

    def link(self) -> None:
        for draft in self._drafts:
            for line, relation in draft.relations:
                if relation.kind == "belongs_to":
                    self._belongs_to(draft, line, relation)
            for line, entry in draft.foreign_keys:
                self._foreign_key(draft, line, entry)
        for draft in self._drafts:
            for line, relation in draft.relations:
                if relation.kind == "has_many":
                    self._has_many(draft, line, relation)
        for draft in self._drafts:
            self._check_keys(draft)

    def _target(self, line: int, name: str) -> str | None:
        """`tasks`, `task` and `Task` all name the resource `task`."""
        identifier = self._by_singular.get(singular(snake(name)))
        if identifier is None:
            self._problems.append(Problem(line, f"no resource `{name}`", suggest(snake(name), self._by_name)))
        return identifier

    def _belongs_to(self, draft: DraftResource, line: int, relation: RelationEntry) -> None:
        target = self._target(line, relation.target)
        if target is None:
            return
        role = relation.role or target
        link = BelongsTo(target, f"{role}_id", role, required=relation.required, unique=relation.unique)
        self._add(draft, line, link)

    def _add(self, draft: DraftResource, line: int, link: BelongsTo) -> None:
        if any(each.key == link.key for each in draft.resource.belongs_to):
            self._problems.append(
                Problem(
                    line,
                    f"`{draft.resource.name}` has two references named `{link.key}`",
                    f"write `belongs_to: {link.resource} as another_name`",
                )
            )
            return
        draft.resource = replace(draft.resource, belongs_to=(*draft.resource.belongs_to, link))

    def _foreign_key(self, draft: DraftResource, line: int, entry: FieldEntry) -> None:
        """A field that says it is a foreign key is the key of a `belongs_to`, written twice or written only here."""
        name = entry.field.name
        links = draft.resource.belongs_to
        known = next((each for each in links if each.key == name), None)
        if known is not None:
            merged = replace(
                known, required=entry.field.required or known.required, unique=entry.field.unique or known.unique
            )
            draft.resource = replace(
                draft.resource, belongs_to=tuple(merged if each is known else each for each in links)
            )
            return
        target = self._target(line, entry.references or name.removesuffix("_id"))
        if target is not None:
            role = name.removesuffix("_id")
            self._add(
                draft,
                line,
                BelongsTo(target, f"{role}_id", role, required=entry.field.required, unique=entry.field.unique),
            )

    def _has_many(self, draft: DraftResource, line: int, relation: RelationEntry) -> None:
        target = self._target(line, relation.target)
        if target is None:
            return
        owner, other = draft.resource.identifier, self._by_name[target]
        back = [each for each in other.resource.belongs_to if each.resource == owner]
        if not back and self._many_to_many(draft, other):
            self._problems.append(
                Problem(
                    line,
                    f"`{draft.resource.name}` and `{other.resource.name}` each have many of the other",
                    "add a resource of its own that belongs_to both",
                )
            )
            return
        if not back:
            role = "parent" if owner == target else owner
            back = [BelongsTo(owner, f"{role}_id", role, required=False)]
            self._add(other, line, back[0])
        found = HasMany(target, back[0].key)
        draft.resource = replace(draft.resource, has_many=(*draft.resource.has_many, found))

    def _many_to_many(self, draft: DraftResource, other: DraftResource) -> bool:
        if draft is other:
            return False
        backwards = {
            self._by_singular.get(singular(snake(each.target)))
            for _, each in other.relations
            if each.kind == "has_many"
        }
        forwards = {each.resource for each in draft.resource.belongs_to}
        return draft.resource.identifier in backwards and other.resource.identifier not in forwards

    def _check_keys(self, draft: DraftResource) -> None:
        """A plain field with the name of a reference's key is that key: the reference wins when the types agree."""
        keys = {each.key for each in draft.resource.belongs_to}
        for field in draft.resource.fields:
            if field.name in keys and field.type not in {"integer", "uuid"}:
                self._problems.append(
                    Problem(
                        draft.line,
                        f"field `{field.name}` of `{draft.resource.name}` is also the key of a reference",
                        "remove the field: `belongs_to` brings its key",
                    )
                )
        kept = tuple(field for field in draft.resource.fields if field.name not in keys)
        draft.resource = replace(draft.resource, fields=kept)
