"""The store in a PostgreSQL database: several control planes may have it open at once.

One connection writes (several steps a commit, see `writer.py`), a few read, one tells the other processes that something
was committed and one hears it from them. That is the whole connection budget of a control plane: CONNECTIONS.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import queue
import select
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import psycopg
from psycopg.conninfo import make_conninfo

from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import SwarmId
from swarmworks.store.archive import NOWHERE, Archives
from swarmworks.store.commits import Commits
from swarmworks.store.newest import VERSION, newest
from swarmworks.store.postgres_connection import LINE, PostgresConnection, pooled
from swarmworks.store.postgres_errors import refuse_old
from swarmworks.store.writer import RunAgainError, Writer
from swarmworks.wire.database_address import without_password

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource
    from swarmworks.store.protocol import Committed, Reader, Store, Tx

T = TypeVar("T")
READERS = 3
CONNECTIONS = READERS + 3
"""What one control plane holds: a writer, the readers, one that notifies and one that listens."""
CHANNEL = "swarm_commits"
MOST_NOTICE_BYTES = 7_000
LISTEN_AGAIN_S = 1.0
MOST_LOOKS = 10


async def open_postgres(
    address: str, clock: Clock, ids: IdSource, *, listen_address: str | None = None, archive: Path | None = None
) -> Store:
    """The store at `address` (`postgresql://user@host/database`), brought to this version's schema. `listen_address` is
    the server's own where `address` is that of a pooler, which cannot pass on notifications; `archive` the folder that
    archived events are read from. StoreUnavailableError when
    it cannot be reached, lacks permission, or was written by a newer version. `close` it.
    """
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(
        PostgresStore, address, listen_address or address, clock, ids, loop, Archives(archive)
    )


class PostgresStore:
    def __init__(
        self,
        address: str,
        listen_address: str,
        clock: Clock,
        ids: IdSource,
        loop: asyncio.AbstractEventLoop,
        archives: Archives = NOWHERE,
    ) -> None:
        self._where = where = without_password(address)
        _bring_to_newest(listen_address, where)
        self._closing = threading.Event()
        opened: list[PostgresConnection] = []
        try:
            opened.extend(
                PostgresConnection(address, where, clock, ids, self._closing, archives, writes=writes)
                for writes in (True, *(False,) * READERS)
            )
        except BaseException:
            for connection in opened:
                connection.close()
            raise
        self._loop = loop
        self._commits = Commits()
        self._free: queue.SimpleQueue[PostgresConnection] = queue.SimpleQueue()
        for connection in opened[1:]:
            self._free.put(connection)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")
        self._bell = Bell(address, listen_address, self._heard)
        self._writer = Writer(opened[0], self._committed)
        self._closed = False

    async def transact(self, step: Callable[[Tx], T]) -> T:
        return await self._writer.submit(step)

    async def read(self, look: Callable[[Reader], T]) -> T:
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._look, look)

    def commits(self) -> AsyncIterator[Committed]:
        return self._commits.listen()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._closing.set()
        await asyncio.to_thread(self._shut)
        self._commits.close()

    def _shut(self) -> None:
        self._readers.shutdown(wait=True)
        for _ in range(READERS):
            self._free.get_nowait().close()
        self._writer.close()
        self._bell.close()

    def _look(self, look: Callable[[Reader], T]) -> T:
        connection = self._free.get()
        try:
            for _ in range(MOST_LOOKS):
                with contextlib.suppress(RunAgainError):  # the connection was lost
                    return _looked(connection, look)
            raise StoreUnavailableError("the connection to the database was lost again and again", where=self._where)
        finally:
            self._free.put(connection)

    def _committed(self, swarms: frozenset[SwarmId]) -> None:
        self._publish(swarms)
        self._bell.ring(swarms)

    def _heard(self, swarms: frozenset[SwarmId]) -> None:
        self._publish(swarms, unsure=not swarms)

    def _publish(self, swarms: frozenset[SwarmId], *, unsure: bool = False) -> None:
        publish = functools.partial(self._commits.publish, swarms, unsure=unsure)
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody listens any more
            self._loop.call_soon_threadsafe(publish)


def _looked(connection: PostgresConnection, look: Callable[[Reader], T]) -> T:
    connection.snapshot()
    try:
        return look(connection.reader())
    except StopIteration as error:  # which no future takes: the caller would wait for ever
        raise RuntimeError(f"a look at the store ended with {error!r}") from error
    finally:
        connection.rollback()


class Bell:
    """Tells other processes of commits, and hears of theirs. Outside the transactions: a NOTIFY takes a lock of the whole
    database at its commit. `heard` gets the swarms that others touched, or none: what was committed while it was deaf, or
    too much to name, may be anywhere. A hint only: whoever waits has a timer too.
    """

    def __init__(self, address: str, listen_address: str, heard: Callable[[frozenset[SwarmId]], None]) -> None:
        self._address, self._listen_address, self._heard = address, listen_address, heard
        self._name = uuid4().hex
        self._waiting: set[SwarmId] = set()
        self._wake = threading.Condition()
        self._closing = threading.Event()
        self._end, self._ended = os.pipe()  # written to at the end, so that nobody waits for a silent line
        self._threads = [
            threading.Thread(target=run, name=name, daemon=True)
            for run, name in ((self._tell, "store-notify"), (self._listen, "store-listen"))
        ]
        for thread in self._threads:
            thread.start()

    def ring(self, swarms: frozenset[SwarmId]) -> None:
        if swarms:
            with self._wake:
                self._waiting |= swarms
                self._wake.notify()

    def close(self) -> None:
        self._closing.set()
        os.write(self._ended, b".")
        with self._wake:
            self._wake.notify()
        for thread in self._threads:
            thread.join()
        os.close(self._end)
        os.close(self._ended)

    def _tell(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while True:
            with self._wake:
                while not self._waiting and not self._closing.is_set():
                    self._wake.wait()
                if not self._waiting:
                    break
                swarms, self._waiting = sorted(self._waiting), set()
            try:
                if connection is None or connection.closed:
                    connection = psycopg.connect(
                        make_conninfo(self._address, **LINE), autocommit=True, prepare_threshold=None
                    )
                    if not pooled(connection):  # a hint that a crash may lose need not wait for the disk
                        connection.execute("SET synchronous_commit = off")
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, _notice(self._name, swarms)))
            except psycopg.Error:
                connection = None  # a hint was lost; the next commit rings again
        if connection is not None:
            connection.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            try:
                with psycopg.connect(make_conninfo(self._listen_address, **LINE), autocommit=True) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._heard(frozenset())  # what happened while nobody listened
                    while not self._closing.is_set():
                        for payload in _notices(connection, self._end):
                            teller, swarms = _told(payload)
                            if teller != self._name:
                                self._heard(swarms)
            except psycopg.Error:
                self._closing.wait(LISTEN_AGAIN_S)


def _notices(connection: psycopg.Connection[Any], end: int) -> list[str]:
    """What comes within LISTEN_AGAIN_S, or before `end` can be read from. The kernel wakes this thread: psycopg's own
    `notifies` looks ten times a second.
    """
    line = select.poll()
    line.register(connection.fileno(), select.POLLIN)
    line.register(end, select.POLLIN)
    if not line.poll(LISTEN_AGAIN_S * 1000):
        return []
    connection.pgconn.consume_input()
    return [notice.extra.decode() for notice in iter(connection.pgconn.notifies, None)]


def _notice(teller: str, swarms: list[SwarmId]) -> str:
    """Who tells it, then the swarms; none of them when there are too many to name."""
    payload = json.dumps([teller, *swarms])
    return payload if len(payload) <= MOST_NOTICE_BYTES else json.dumps([teller])


def _told(payload: str) -> tuple[str, frozenset[SwarmId]]:
    try:
        teller, *swarms = json.loads(payload)
    except (ValueError, TypeError):
        return "", frozenset()
    return str(teller), frozenset(SwarmId(str(each)) for each in swarms)


def _bring_to_newest(address: str, where: str) -> None:
    """What changes a schema is loaded only where there is something to change: it takes 30 MB and half a second."""
    if not _at_newest(address, where):
        from swarmworks.store import postgres_schema  # noqa: PLC0415

        with postgres_schema.migrating(address) as raw:
            postgres_schema.upgraded(raw, where)


def _at_newest(address: str, where: str) -> bool:
    """False for a database that cannot be read: whoever then tries to change it finds out why."""
    try:
        with psycopg.connect(address, autocommit=True) as connection:
            refuse_old(connection.info.server_version, where)
            return connection.execute(VERSION).fetchall() == [(newest(),)]
    except psycopg.Error:
        return False
