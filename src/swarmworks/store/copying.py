"""From a SQLite file to a PostgreSQL database, while nothing runs: `swarm store copy`.

One transaction on the target: every row is copied, read back and compared, then what was under way is put in order as
after a crash. Whatever fails, the target stays empty. The source is only read.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row
from sqlalchemy import Boolean, LargeBinary

from swarmworks.base.errors import ConflictError, NotFoundError
from swarmworks.base.findings import Finding
from swarmworks.store import postgres_schema, schema, sqlite, sqlite_connection, sqlite_schema
from swarmworks.store.archive import Archives
from swarmworks.store.checking_rows import check_rows
from swarmworks.store.postgres_connection import PostgresConnection
from swarmworks.store.postgres_errors import unavailable
from swarmworks.store.tables import chore, metadata, replica
from swarmworks.wire.database_address import without_password

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import Table

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource
    from swarmworks.store.protocol import Tx

_LEFT_BEHIND = (replica, chore)
"""Who was running and did what: of the source's time only."""
_READ_AT_ONCE = 1_000
TABLES = tuple(table for table in metadata.sorted_tables if table not in _LEFT_BEHIND)

Raw = psycopg.Connection[Any]
Values = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Copied:
    """How many rows of each table there are in both databases now, empty tables left out."""

    rows: Mapping[str, int]


def copy(
    path: Path, address: str, archive: Path, clock: Clock, ids: IdSource, put_in_order: Callable[[Tx], None]
) -> Copied:
    """`address` is the server's own, not a pooler's; `archive` the folder of the events' files. `put_in_order` gives back what was under way, in the transaction of
    the copy. NotFoundError without a source; StoreUnavailableError when it is in use or a database cannot be used;
    ConflictError when the source's schema is not this version's, the target is not empty, or a row did not arrive.
    """
    if not path.is_file():
        raise NotFoundError("there is no such database", where=str(path), mend="name the file with --from")
    where = without_password(address)
    lock = sqlite.locked(path)
    try:
        _refuse_other_schema(path)
        with postgres_schema.migrating(address) as connection:
            schema.upgrade(connection, where)
        with closing(PostgresConnection(address, where, clock, ids, Event(), Archives(archive), writes=True)) as target:
            return _copy(path, target, where, put_in_order)
    except sqlite3.Error as error:
        raise sqlite_connection.unavailable(error, path) from error
    finally:
        lock.release()


def _copy(path: Path, target: PostgresConnection, where: str, put_in_order: Callable[[Tx], None]) -> Copied:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as source:
        target.begin()
        counts = _rows(source, target.raw, where)
    target.savepoint()
    put_in_order(target.transaction()[0])
    for check in check_rows(target, target.reader()):
        if check.finding is Finding.LACKING:
            mend = f"see the source: swarm store check ({check.mend})"
            raise ConflictError(f"{check.name}: {check.found}", where=str(path), mend=mend)
    target.commit()
    return Copied({name: count for name, count in counts.items() if count})


def _rows(source: sqlite3.Connection, raw: Raw, where: str) -> dict[str, int]:
    try:
        _claim_empty(raw, where)
        return {table.name: _table(table, source, raw, where) for table in TABLES}
    except psycopg.DataError as error:
        what = str(error).strip().partition("\n")[0]
        raise ConflictError(f"a row cannot be stored there: {what}", where=where, mend="report this") from error
    except psycopg.Error as error:
        raise unavailable(error, where) from error


def _refuse_other_schema(path: Path) -> None:
    with sqlite_schema.migrating(path, writes=False) as connection:
        steps = schema.missing(connection, str(path))
    if steps:
        raise ConflictError(
            f"it lacks {len(steps)} steps to this version's schema",
            where=str(path),
            mend="swarm store migrate, while its file is the configured store",
        )


def _claim_empty(raw: Raw, where: str) -> None:
    """Nobody else writes until the copy has ended; a control plane that starts meanwhile waits."""
    for table in metadata.sorted_tables:
        name = sql.Identifier(table.name)
        raw.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
        if table.name == "counter":  # the migrations make its rows
            raw.execute(sql.SQL("DELETE FROM {}").format(name))
        elif raw.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(name)).fetchone() is not None:
            raise ConflictError(
                f"the target is not empty: it has rows in {table.name}",
                where=where,
                mend="name a database that nothing was written to",
            )


def _table(table: Table, source: sqlite3.Connection, raw: Raw, where: str) -> int:
    columns = [column.name for column in table.columns]
    names, name = sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table.name)
    sent = _Sum()
    with raw.cursor() as cursor, cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, names)) as pipe:
        for row in sent.over(_source_rows(table, source, columns)):
            pipe.write_row(row)
    arrived = _Sum()
    with raw.cursor(name="copied", row_factory=tuple_row) as cursor:
        cursor.itersize = _READ_AT_ONCE
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(names, name))
        for _row in arrived.over(cursor):
            pass
    if sent != arrived:
        raise ConflictError(
            f"what arrived in {table.name} is not what was sent: {sent.count:,} rows sent, {arrived.count:,} there",
            where=where,
            mend="report this, with the database's encoding and version",
        )
    _advance(table, raw)
    return sent.count


def _source_rows(table: Table, source: sqlite3.Connection, columns: Sequence[str]) -> Iterator[Values]:
    """With the types PostgreSQL has and SQLite has not."""
    listed = ", ".join(f'"{column}"' for column in columns)
    kinds = [column.type for column in table.columns]
    flags = [place for place, kind in enumerate(kinds) if isinstance(kind, Boolean)]
    blobs = [place for place, kind in enumerate(kinds) if isinstance(kind, LargeBinary)]
    for row in source.execute(f'SELECT {listed} FROM "{table.name}"'):  # noqa: S608 - names of our own tables
        values = list(row)
        for place in flags:
            values[place] = None if values[place] is None else bool(values[place])
        for place in blobs:
            values[place] = bytes(values[place])
        yield tuple(values)


class _Sum:
    """How many rows, and a sum of their digests: equal for the same rows in any order."""

    def __init__(self) -> None:
        self.count, self._digest = 0, 0

    def over(self, found: Iterable[Values]) -> Iterator[Values]:
        for row in found:
            self.count += 1
            self._digest += int.from_bytes(hashlib.sha256(repr(row).encode()).digest())
            yield row

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sum) and (self.count, self._digest) == (other.count, other._digest)

    __hash__ = None  # pyright: ignore[reportAssignmentType] - it changes


def _advance(table: Table, raw: Raw) -> None:
    """What counts up by itself goes on after the rows that came with numbers of their own."""
    for column in table.primary_key.columns:
        sequence = raw.execute("SELECT pg_get_serial_sequence(%s, %s) AS name", [table.name, column.name]).fetchone()
        if sequence is not None and sequence["name"] is not None:
            raw.execute(
                sql.SQL("SELECT setval(%s, coalesce(max({0}), 1), max({0}) IS NOT NULL) FROM {1}").format(
                    sql.Identifier(column.name), sql.Identifier(table.name)
                ),
                [sequence["name"]],
            )
