"""The SQL of a resource's table. Every name is quoted, so reserved words are ordinary names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.provider.rehearsal.build.annotations import is_nullable

if TYPE_CHECKING:
    from swarmworks.provider.rehearsal.fields import Field
    from swarmworks.provider.rehearsal.resources import Reference, Resource


def column_lines(resource: Resource) -> list[str]:
    return [_key(resource.key), *(_column(field, resource) for field in resource.fields)]


def index_lines(resource: Resource) -> list[str]:
    """An index for each reference and each field that asks for one; unique columns have theirs already."""
    named = [f.column for f in resource.fields if (f.indexed or resource.reference(f.key)) and not f.unique]
    return [f'CREATE INDEX "{resource.table}_{name}" ON "{resource.table}" ("{name}");' for name in named]


def _key(field: Field) -> str:
    if field.kind.name == "integer":
        return '"id" INTEGER PRIMARY KEY AUTOINCREMENT'
    return '"id" TEXT PRIMARY KEY NOT NULL'


def _column(field: Field, resource: Resource) -> str:
    reference = resource.reference(field.key)
    parts = [f'"{field.column}"', field.kind.sql]
    parts += [] if is_nullable(field) else ["NOT NULL"]
    parts += ["UNIQUE"] if field.unique else []
    parts += [_foreign_key(reference)] if reference and reference.enforced else []
    return " ".join(parts)


def _foreign_key(reference: Reference) -> str:
    action = "CASCADE" if reference.required else "SET NULL"
    return f'REFERENCES "{reference.table}" ("id") ON DELETE {action}'
