"""One PostgreSQL connection behind the protocols of `connection.py` and `writer.py`.

Several control planes write at once. What belongs to a swarm is written under that swarm's row lock, which a transaction
takes by itself: before every statement that names a swarm, and after a look-up by id that found a row of a swarm it does
not hold yet, which is then asked again. Swarms do not wait for each other. Locks are taken in one order: worker, swarm,
accounts from the leaf up. Only the first step of a commit waits for a lock; a later one that would have to is run again
in the next commit, so that no commit waits while it holds what another needs.

A connection that is lost (the server is restarted, the network breaks) is made again, for PATIENCE_S, and the transaction
is run again. Where it was lost at its COMMIT, the server is asked what became of it.
"""

from __future__ import annotations

import contextlib
import time
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row, scalar_row

from swarmworks.base.errors import ConflictError, StoreUnavailableError
from swarmworks.store.archive import NOWHERE
from swarmworks.store.connection import expand, sequences
from swarmworks.store.postgres_errors import OPERATORS, refuse_old, unavailable
from swarmworks.store.postgres_statements import (
    BEGIN,
    BEGIN_SNAPSHOT,
    HOLD,
    HOLD_NOW,
    LOCK_WAIT_LATER,
    NUMBER,
    READER_SETTINGS,
    WRITER_SETTINGS,
    Asked,
    Posted,
    translated,
)
from swarmworks.store.transaction import SqlReader, SqlTx
from swarmworks.store.writer import RunAgainError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource, SwarmId
    from swarmworks.store.archive import Archives
    from swarmworks.store.connection import Row
    from swarmworks.store.protocol import Reader, Tx

PATIENCE_S = 10.0
"""How long a database that is away is waited for, before whoever wants it is told."""
_PAUSE_S = 0.1
LINE = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""A peer that vanished without a word is noticed within ten seconds."""
_PREPARE_AFTER = 5  # runs of one statement, before the server keeps its plan
_MOST_PREPARED = 300
_CONFLICTS = (errors.UniqueViolation, errors.ForeignKeyViolation)
_LOST = ("08", "57P", "25P03")
_STALE = (errors.FeatureNotSupported, errors.InvalidSqlStatementName)
"""What the driver keeps prepared is no more what the server has: a table was changed; or the server skipped a preparation behind
a statement of the same message that failed, which psycopg 3.3 does not notice. Another connection begins anew.
"""
_AGAIN = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


class PostgresConnection:
    """`address` is the connection string, `where` the same without its password."""

    def __init__(
        self,
        address: str,
        where: str,
        clock: Clock,
        ids: IdSource,
        closing: threading.Event,
        archives: Archives = NOWHERE,
        *,
        writes: bool,
    ) -> None:
        """StoreUnavailableError when there is no connection now. Once `closing` is set, nothing is waited for."""
        self._address, self._where, self._clock, self._ids, self._writes = address, where, clock, ids, writes
        self._closing, self._archives = closing, archives
        self._held: set[str] = set()
        self._before: set[str] = set()
        self._steps = 0
        self._open_step = False
        self._number: str | None = None
        self._posted: list[Posted] = []
        self._begun = False  # whether a BEGIN is among them
        self._each_time: tuple[str, ...] = ()
        self._raw = self._connect()

    def _connect(self) -> psycopg.Connection[dict[str, Any]]:
        try:
            made = psycopg.Connection[dict[str, Any]].connect(
                make_conninfo(self._address, **LINE),
                autocommit=True,
                prepare_threshold=None,
                row_factory=dict_row,
                application_name="swarm-writer" if self._writes else "swarm-reader",
            )
            self._set_up(made)
        except psycopg.Error as error:
            raise unavailable(error, self._where) from error
        try:
            refuse_old(made.info.server_version, self._where)
        except StoreUnavailableError:
            made.close()
            raise
        return made

    def _set_up(self, made: psycopg.Connection[dict[str, Any]]) -> None:
        """Settings once for the connection; with a pooler between, whose server processes serve others too, for each
        transaction, and nothing prepared.
        """
        settings = WRITER_SETTINGS if self._writes else READER_SETTINGS
        self._each_time = tuple(f"SET LOCAL {setting}" for setting in settings) if pooled(made) else ()
        if not self._each_time:
            made.prepare_threshold, made.prepared_max = _PREPARE_AFTER, _MOST_PREPARED
            made.execute("; ".join(f"SET {setting}" for setting in settings).encode())

    @contextlib.contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except _CONFLICTS as error:
            raise ConflictError(f"it exists already, or what it refers to does not: {error}") from error
        except _AGAIN as error:
            raise RunAgainError(str(error)) from error
        except _STALE as error:
            self._raw.close()
            raise RunAgainError(str(error)) from error
        except OPERATORS as error:
            if self._lost(error):
                raise RunAgainError(f"the connection was lost: {error}") from error
            raise unavailable(error, self._where) from error

    def _lost(self, error: psycopg.Error) -> bool:
        """Whether the connection is of no use any more; it is closed then."""
        if not (self._raw.closed or (error.sqlstate or "").startswith(_LOST)):
            return False
        self._raw.close()
        return True

    def _whole(self) -> None:
        """A connection to work with. StoreUnavailableError when the database has been away for too long."""
        deadline = time.monotonic() + PATIENCE_S
        while self._raw.closed:
            try:
                self._raw = self._connect()
            except StoreUnavailableError:
                if time.monotonic() > deadline or self._closing.wait(_PAUSE_S):
                    raise

    # What transactions ask

    def rows(self, sql: str, **values: object) -> list[Row]:
        self._hold(values.get("swarm_id"))
        return [*self._ask(sql, values)]

    def row(self, sql: str, **values: object) -> Row | None:
        self._hold(values.get("swarm_id"))
        found = self._ask(sql, values)
        if not found:
            return None
        if self._hold(found[0].get("swarm_id")):
            found = self._ask(sql, values)
        return found[0] if found else None

    def several(self, *asked: tuple[str, Mapping[str, object]]) -> list[list[Row]]:
        return [[*answer.fetchall()] for answer in self._send(*(_asked(*each) for each in asked))]

    def change(self, sql: str, **values: object) -> int:
        self._hold(values.get("swarm_id"))
        return self._run(sql, values).rowcount

    def change_many(self, sql: str, values: Iterable[Mapping[str, object]]) -> int:
        listed = list(values)
        if len(listed) < 2:
            return sum(self.change(sql, **each) for each in listed)
        self._hold(listed[0].get("swarm_id"))
        self.flush()
        with self._errors(), self._raw.cursor() as cursor:
            cursor.executemany(translated(sql), listed)
            return cursor.rowcount

    def post(
        self, sql: str, values: Iterable[Mapping[str, object]], missed: Callable[[], Exception] | None = None
    ) -> None:
        listed = list(values)
        if listed:
            self._hold(listed[0].get("swarm_id"))
            self._posted += [Posted(translated(sql), each, missed) for each in listed]

    def flush(self) -> None:
        """What was posted is sent, in its order and as one message."""
        if self._posted:
            self._send()

    def _send(self, *asked: Asked) -> list[psycopg.Cursor[dict[str, Any]]]:
        """What was posted and then what is asked, as one message; the answers to what is asked."""
        posted, self._posted, self._begun = self._posted, [], False
        groups = [list(group) for _key, group in groupby(posted, key=attrgetter("statement"))]
        with self._errors():
            if not groups and len(asked) == 1:
                return [self._queued(asked)]
            with self._raw.pipeline():
                cursors = [self._queued(group) for group in groups]
                answers = [self._queued((each,)) for each in asked]
        for group, cursor in zip(groups, cursors, strict=True):
            if (missed := group[0].missed) is not None and cursor.rowcount != len(group):
                raise missed()
        return answers

    def _queued(self, group: Sequence[Asked]) -> psycopg.Cursor[dict[str, Any]]:
        cursor = self._raw.cursor()
        if len(group) == 1:
            return cursor.execute(group[0].statement, group[0].values)
        cursor.executemany(group[0].statement, [each.values or {} for each in group])
        return cursor

    def hold(self, swarm_id: str, *, wait: bool) -> bool:
        if wait or swarm_id in self._held:
            self._hold(swarm_id)
            return True
        return self._lock(HOLD + b" SKIP LOCKED", swarm_id)

    def _lock(self, statement: bytes, swarm_id: str) -> bool:
        [found] = self._send(Asked(statement, {"swarm_id": swarm_id}))
        locked = found.fetchone()
        if locked is not None:
            self._number = locked["number"]
            self._held.add(swarm_id)
        return locked is not None

    def _ask(self, sql: str, values: Mapping[str, object]) -> list[dict[str, Any]]:
        return self._run(sql, values).fetchall()

    def _run(self, sql: str, values: Mapping[str, object]) -> psycopg.Cursor[dict[str, Any]]:
        return self._send(_asked(sql, values))[0]

    def _hold(self, swarm_id: object) -> bool:
        """Whether the swarm's lock was taken just now. Who holds one swarm never waits for another: nobody could end a
        circle of such waits but the server, after a second.
        """
        if not self._writes or not isinstance(swarm_id, str) or swarm_id in self._held:
            return False
        waits = self._steps < 2 and not self._held
        try:
            self._lock(HOLD if waits else HOLD_NOW, swarm_id)
        except RunAgainError as error:
            raise RunAgainError(str(error), swarm_id) from error
        self._held.add(swarm_id)  # also one that does not exist yet: it is this transaction that inserts it
        return True

    # What the writer and the readers ask

    def begin(self) -> None:
        self._held.clear()
        self._posted.clear()
        self._steps, self._open_step, self._number = 0, False, None
        self._begin(BEGIN)

    def snapshot(self) -> None:
        self._posted.clear()
        self._begin(BEGIN_SNAPSHOT)

    def _begin(self, statement: str) -> None:
        self._whole()
        self._begun = True
        self._post_control(statement, *self._each_time)

    def commit(self) -> None:
        """RunAgainError when nothing of it is written."""
        if self._begun and all(each.values is None for each in self._posted):
            self._posted.clear()  # nothing was asked of the database
            self._begun = False
            return
        number = self._number or self._ask(NUMBER, {})[0]["number"]
        self.flush()
        try:
            self._control("COMMIT")
        except RunAgainError:
            if number is None or not self._was_committed(number):
                raise

    def _was_committed(self, number: str) -> bool:
        """What the server did with a COMMIT to which no answer came."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self._whole()
            with contextlib.suppress(RunAgainError):
                try:
                    state = self._ask("SELECT pg_xact_status(:number::xid8) AS state", {"number": number})[0]["state"]
                except errors.InvalidParameterValue:
                    return False  # a number to come: another server took over, which never had it
                if state != "in progress":
                    return state == "committed"
            if self._closing.wait(_PAUSE_S):
                break
        raise StoreUnavailableError(
            "the connection was lost at a commit, and the database does not say whether it was made", where=self._where
        )

    def rollback(self) -> None:
        self._posted.clear()
        self._begun = False
        if self.in_transaction:
            with contextlib.suppress(StoreUnavailableError, RunAgainError):  # the server has forgotten it already
                self._control("ROLLBACK")

    def wait_for(self, subject: str) -> None:
        with contextlib.suppress(StoreUnavailableError, RunAgainError):
            self.begin()
            self._hold(subject)
        self.rollback()

    def next_step(self) -> None:
        self._steps += 1
        if self._steps == 2:
            self._post_control(LOCK_WAIT_LATER)

    def savepoint(self) -> None:
        """A step's end and the next one's beginning are one message; the last one's end is the commit."""
        later = f"{LOCK_WAIT_LATER}; " if self._steps == 1 else ""  # outside the step, which may be rolled back
        self._control(f"RELEASE step; {later}SAVEPOINT step" if self._open_step else "SAVEPOINT step")
        self._steps, self._open_step = self._steps + 1, True
        self._before = set(self._held)

    def release(self) -> None:
        """Nothing to do until the next step begins."""

    def rollback_to_savepoint(self) -> None:
        self._posted.clear()
        self._control("ROLLBACK TO step")
        self._held = self._before  # locks taken since are gone with it

    @property
    def in_transaction(self) -> bool:
        status = self._raw.info.transaction_status
        return self._begun or status in {psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR}

    def transaction(self) -> tuple[Tx, set[SwarmId]]:
        tx = SqlTx(self, self._clock, self._ids, self._archives)
        return tx, tx.touched

    def reader(self) -> Reader:
        return SqlReader(self, self._clock, self._ids, self._archives)

    @property
    def raw(self) -> psycopg.Connection[dict[str, Any]]:
        """The driver's connection, for what `copying.py` does with whole tables; nothing is kept back from it."""
        self.flush()
        return self._raw

    def close(self) -> None:
        self._raw.close()

    def _post_control(self, *statements: str) -> None:
        self._posted += [Posted(each.encode()) for each in statements]

    def _control(self, statement: str) -> None:
        """Now, and by itself: it may be several in one text, which is not possible within a longer message."""
        self.flush()
        with self._errors():
            self._raw.execute(statement.encode())


def _asked(sql: str, values: Mapping[str, object]) -> Asked:
    if sequences(sql):
        sql, values = expand(sql, values)
    return Asked(translated(sql), values)


def pooled(connection: psycopg.Connection[Any]) -> bool:
    """Whether a pooler stands between: it gives out process numbers of its own, and may hand each transaction to another
    server process, which knows nothing of what was prepared.
    """
    with connection.cursor(row_factory=scalar_row) as cursor:
        [number] = cursor.execute("SELECT pg_backend_pid()").fetchall()
    return number != connection.info.backend_pid
