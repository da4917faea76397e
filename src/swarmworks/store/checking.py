"""Whether a database is fit for use and its rows agree with each other: `swarm store check`. Nothing is changed, and it may
be asked while control planes are running.
"""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.findings import Check, Finding
from swarmworks.base.ids import RandomIds
from swarmworks.store import postgres_schema, schema, sqlite_schema
from swarmworks.store.archive import Archives
from swarmworks.store.checking_rows import check_rows
from swarmworks.store.checking_server import check_server
from swarmworks.store.postgres_connection import PostgresConnection
from swarmworks.store.postgres_errors import unavailable
from swarmworks.store.sqlite import ARCHIVE_NAME
from swarmworks.store.sqlite_connection import SqliteConnection
from swarmworks.wire.database_address import without_password

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection as SchemaConnection

_MIGRATE = "swarm store migrate"
_PUT_BACK = "put a backup of the file back; keep this one aside"


def check_file(path: Path, *, chains: bool) -> list[Check]:
    """Of the SQLite database `path`. The checks stop at the first that makes the next ones pointless."""
    if not path.is_file():
        return [Check("database", Finding.NOTE, f"{path} is not there yet", "the first `swarm run` makes it")]
    return list(_guarded(_file(path, chains=chains)))


def check_address(address: str, listen_address: str | None, archive: Path, *, chains: bool) -> list[Check]:
    """Of the PostgreSQL database at `address`; `listen_address` is the server's own where that is a pooler's."""
    return list(_guarded(_address(address, listen_address or address, Archives(archive), chains=chains)))


def _guarded(checks: Iterator[Check]) -> Iterator[Check]:
    try:
        yield from checks
    except StoreUnavailableError as error:
        yield Check("database", Finding.LACKING, error.what, error.mend)


def _file(path: Path, *, chains: bool) -> Iterator[Check]:
    with sqlite_schema.migrating(path, writes=False) as connection:
        version = _schema(connection, str(path))
    yield Check("database", Finding.OK, str(path))
    yield version
    if version.finding is not Finding.OK:
        return
    db = SqliteConnection(path, SystemClock(), RandomIds(), Archives(path.with_name(ARCHIVE_NAME)), writes=False)
    try:
        db.snapshot()
        yield _pages(db)
        yield from check_rows(db, db.reader() if chains else None)
    finally:
        db.close()


def _pages(db: SqliteConnection) -> Check:
    found = db.pragma("quick_check(1)")
    if found != "ok":
        return Check("pages", Finding.LACKING, str(found), _PUT_BACK)
    table = db.pragma("foreign_key_check")
    if table is not None:
        return Check("pages", Finding.LACKING, f"rows of {table} refer to rows that are not there", _PUT_BACK)
    return Check("pages", Finding.OK, "undamaged")


def _address(address: str, listen_address: str, archives: Archives, *, chains: bool) -> Iterator[Check]:
    where = without_password(address)
    clock = SystemClock()
    try:
        raw: psycopg.Connection[Any] = psycopg.connect(
            address, autocommit=True, prepare_threshold=None, connect_timeout=10, application_name="swarm-check"
        )
        with raw:
            yield Check("database", Finding.OK, where)
            yield from check_server(raw, where, listen_address, clock.now)
    except psycopg.Error as error:
        raise unavailable(error, where) from error
    with postgres_schema.migrating(address, writes=False) as connection:
        version = _schema(connection, where)
    yield version
    if version.finding is not Finding.OK:
        return
    db = PostgresConnection(address, where, clock, RandomIds(), Event(), archives, writes=False)
    try:
        db.snapshot()
        yield from check_rows(db, db.reader() if chains else None)
    finally:
        db.close()


def _schema(connection: SchemaConnection, where: str) -> Check:
    try:
        steps = schema.missing(connection, where)
    except StoreUnavailableError as error:
        return Check("schema", Finding.LACKING, error.what, error.mend)
    present = schema.present(connection)
    if present is None:
        return Check("schema", Finding.NOTE, "the database is empty", f"the first `swarm run` fills it, or: {_MIGRATE}")
    if steps:
        return Check("schema", Finding.NOTE, f"{present}, {len(steps)} behind this version's {schema.head()}", _MIGRATE)
    return Check("schema", Finding.OK, f"{present}, this version's")
