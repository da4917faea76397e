"""Schema changes as an operation of their own, for `swarm store migrate`: what is missing, and doing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import NotFoundError
from swarmworks.store import postgres_schema, schema, sqlite, sqlite_schema
from swarmworks.wire.database_address import without_password

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.store.schema import Step


@dataclass(frozen=True, slots=True)
class Migrated:
    """`before` None: the database was empty. `steps`, in order, are what was done, or in a dry run what would be."""

    before: str | None
    after: str
    steps: tuple[Step, ...]


def migrate_file(path: Path, *, dry_run: bool) -> Migrated:
    """NotFoundError when there is no such file, StoreUnavailableError when a control plane has it open or it is newer."""
    if not path.is_file():
        raise NotFoundError("there is no database yet", where=str(path), mend="the first `swarm run` makes it")
    if dry_run:
        with sqlite_schema.migrating(path, writes=False) as connection:
            return Migrated(schema.present(connection), schema.head(), tuple(schema.missing(connection, str(path))))
    lock = sqlite.locked(path)
    try:
        with sqlite_schema.migrating(path) as connection:
            before = schema.present(connection)
            return Migrated(before, schema.head(), tuple(schema.upgrade(connection, str(path))))
    finally:
        lock.release()


def migrate_server(address: str, *, dry_run: bool) -> Migrated:
    """`address` is the server's own, not a pooler's. StoreUnavailableError when it cannot be used or is newer."""
    where = without_password(address)
    with postgres_schema.migrating(address, writes=not dry_run) as connection:
        before = schema.present(connection)
        steps = schema.missing(connection, where) if dry_run else postgres_schema.upgraded(connection, where)
        return Migrated(before, schema.head(), tuple(steps))
