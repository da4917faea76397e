"""A transaction in a PostgreSQL database in which its schema may be changed, by one process at a time."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from swarmworks.base.errors import StoreUnavailableError
from swarmworks.store import schema
from swarmworks.store.postgres_errors import refuse_old, unavailable
from swarmworks.wire.database_address import without_password

if TYPE_CHECKING:
    from collections.abc import Generator

    from sqlalchemy import Connection

    from swarmworks.store.schema import Step

_MIGRATING = 0x5357_4152_4D57  # an advisory lock's number, any will do: it keeps two processes from migrating at once


def upgraded(connection: Connection, where: str) -> list[Step]:
    """Brings the schema to this version's. StoreUnavailableError while control planes of an older version are at work: they
    would go on to write what this version reads otherwise.
    """
    if schema.present(connection) and schema.missing(connection, where) and _replicas_beat(connection):
        raise StoreUnavailableError(
            "the database has to be brought to this version's schema, and control planes of an older version use it",
            where=where,
            mend="end all of them first, then start this one",
        )
    return schema.upgrade(connection, where)


def _replicas_beat(connection: Connection) -> bool:
    if connection.scalar(text("SELECT to_regclass('replica')")) is None:
        return False
    listed = text("SELECT id, beats, ttl_s FROM replica")
    before = {row.id: row for row in connection.execute(listed)}
    if not before:
        return False
    time.sleep(
        max(row.ttl_s for row in before.values())
    )  # whoever does not beat in this time is given up by others, too
    return any(row.id not in before or row.beats != before[row.id].beats for row in connection.execute(listed))


@contextlib.contextmanager
def migrating(address: str, *, writes: bool = True) -> Generator[Connection]:
    """A transaction in which the schema may be changed, by one process at a time; without `writes` it is only looked at."""
    where = without_password(address)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(address), poolclass=NullPool)
    try:
        with engine.begin() as connection:
            version: Any = connection.scalar(text("SELECT current_setting('server_version_num')"))
            refuse_old(int(version), where)
            if writes:
                connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _MIGRATING})
            yield connection
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise unavailable(error.orig, where) from error
        raise
