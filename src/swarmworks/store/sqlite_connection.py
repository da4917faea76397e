"""One SQLite connection behind the protocols of `connection.py` and `writer.py`, and what its errors mean to an operator."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from swarmworks.base.errors import ConflictError, StoreUnavailableError
from swarmworks.store.archive import NOWHERE
from swarmworks.store.connection import expand, sequences
from swarmworks.store.transaction import SqlReader, SqlTx

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping
    from pathlib import Path

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource, SwarmId
    from swarmworks.store.archive import Archives
    from swarmworks.store.connection import Row
    from swarmworks.store.protocol import Reader, Tx

_BUSY_TIMEOUT_S = 5.0
_JOURNAL_LIMIT_BYTES = 64 << 20
_CONFLICTS = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
    }
)
_MENDS = {
    sqlite3.SQLITE_FULL: "free space on its disk; what was not written was refused, nothing is half-written",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable for this user",
    sqlite3.SQLITE_CANTOPEN: "see that its folder exists and is writable for this user",
    sqlite3.SQLITE_CORRUPT: "put a backup of the file back; keep this one aside",
    sqlite3.SQLITE_NOTADB: "put a backup of the file back; keep this one aside",
    sqlite3.SQLITE_BUSY: "end the program that has the database open for writing",
    sqlite3.SQLITE_IOERR: "look at the disk (dmesg), then start again",
}


def unavailable(error: sqlite3.Error, where: Path) -> StoreUnavailableError:
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return StoreUnavailableError(
        f"the database cannot be used: {error}", where=str(where), mend=_MENDS.get(primary, "restore a backup")
    )


class SqliteConnection:
    def __init__(self, path: Path, clock: Clock, ids: IdSource, archives: Archives = NOWHERE, *, writes: bool) -> None:
        self._path, self._clock, self._ids, self._archives = path, clock, ids, archives
        with self._errors():
            self._raw = sqlite3.connect(
                path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False, cached_statements=256
            )
            self._raw.row_factory = sqlite3.Row
            self._set_up(writes=writes)

    def _set_up(self, *, writes: bool) -> None:
        if writes:
            self._raw.execute("PRAGMA journal_mode = WAL")
            self._raw.execute("PRAGMA synchronous = FULL")
            self._raw.execute("PRAGMA foreign_keys = ON")
            self._raw.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT_BYTES}")
        else:
            self._raw.execute("PRAGMA query_only = ON")

    @contextlib.contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode in _CONFLICTS:
                raise ConflictError(f"it exists already, or what it refers to does not: {error}") from error
            raise
        except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.ProgrammingError):
                raise
            raise unavailable(error, self._path) from error

    # What transactions ask

    def rows(self, sql: str, **values: object) -> list[Row]:
        if sequences(sql):
            sql, values = expand(sql, values)
        with self._errors():
            return self._raw.execute(sql, values).fetchall()

    def several(self, *asked: tuple[str, Mapping[str, object]]) -> list[list[Row]]:
        return [self.rows(sql, **values) for sql, values in asked]

    def row(self, sql: str, **values: object) -> Row | None:
        found = self.rows(sql, **values)
        return found[0] if found else None

    def change(self, sql: str, **values: object) -> int:
        if sequences(sql):
            sql, values = expand(sql, values)
        with self._errors():
            return self._raw.execute(sql, values).rowcount

    def change_many(self, sql: str, values: Iterable[Mapping[str, object]]) -> int:
        with self._errors():
            return max(0, self._raw.executemany(sql, values).rowcount)

    def post(
        self, sql: str, values: Iterable[Mapping[str, object]], missed: Callable[[], Exception] | None = None
    ) -> None:
        listed = list(values)
        touched = self.change_many(sql, listed)
        if missed is not None and touched != len(listed):
            raise missed()

    def flush(self) -> None:
        """Nothing is kept back."""

    def wait_for(self, subject: str) -> None:
        """Nobody else writes to the file."""

    def hold(self, swarm_id: str, *, wait: bool) -> bool:  # noqa: ARG002 - the file has one writer
        return True

    # What the writer and the readers ask

    def begin(self) -> None:
        self._control("BEGIN IMMEDIATE")

    def snapshot(self) -> None:
        self._control("BEGIN DEFERRED")

    def commit(self) -> None:
        self._control("COMMIT")

    def rollback(self) -> None:
        if self._raw.in_transaction:
            self._control("ROLLBACK")

    def next_step(self) -> None:
        """Nothing to do: nobody else's locks are met here."""

    def savepoint(self) -> None:
        self._control("SAVEPOINT step")

    def release(self) -> None:
        self._control("RELEASE step")

    def rollback_to_savepoint(self) -> None:
        self._control("ROLLBACK TO step")

    @property
    def in_transaction(self) -> bool:
        return self._raw.in_transaction

    def transaction(self) -> tuple[Tx, set[SwarmId]]:
        tx = SqlTx(self, self._clock, self._ids, self._archives)
        return tx, tx.touched

    def reader(self) -> Reader:
        return SqlReader(self, self._clock, self._ids, self._archives)

    def pragma(self, statement: str) -> Any:
        """For tests and `doctor`: the first value of a PRAGMA."""
        with self._errors():
            row = self._raw.execute(f"PRAGMA {statement}").fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        self._raw.close()

    def _control(self, statement: str) -> None:
        with self._errors():
            self._raw.execute(statement)
