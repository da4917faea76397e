"""The store on one SQLite file: one control plane, one writer thread with group commit, readers beside it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from swarmworks.base.errors import StoreUnavailableError
from swarmworks.store.archive import Archives
from swarmworks.store.commits import Commits
from swarmworks.store.fresh import filled
from swarmworks.store.lock import FileLock
from swarmworks.store.newest import at_newest
from swarmworks.store.sqlite_connection import SqliteConnection
from swarmworks.store.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource, SwarmId
    from swarmworks.store.protocol import Committed, Reader, Store, Tx

T = TypeVar("T")
_READERS = 4


ARCHIVE_NAME = "archive"


async def open_store(path: Path, clock: Clock, ids: IdSource) -> Store:
    """The store in the file `path`, made or brought to this version's schema; archived events are read from the folder
    `archive` beside it. StoreUnavailableError when another process
    has it open, it cannot be written, is damaged, or was written by a newer version. `close` it.
    """
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(SqliteStore, path, clock, ids, loop)


class SqliteStore:
    def __init__(self, path: Path, clock: Clock, ids: IdSource, loop: asyncio.AbstractEventLoop) -> None:
        lock = locked(path)
        opened: list[SqliteConnection] = []
        archives = Archives(path.with_name(ARCHIVE_NAME))
        try:
            _bring_to_newest(path)
            opened.append(SqliteConnection(path, clock, ids, archives, writes=True))
            opened += [SqliteConnection(path, clock, ids, archives, writes=False) for _ in range(_READERS)]
        except BaseException:
            for connection in opened:
                connection.close()
            lock.release()
            raise
        self._lock, self._loop = lock, loop
        self._commits = Commits()
        self._free: queue.SimpleQueue[SqliteConnection] = queue.SimpleQueue()
        for connection in opened[1:]:
            self._free.put(connection)
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")
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
        await asyncio.to_thread(self._shut)
        self._commits.close()

    def _shut(self) -> None:
        self._readers.shutdown(wait=True)
        for _ in range(_READERS):
            self._free.get_nowait().close()
        self._writer.close()
        self._lock.release()

    def _look(self, look: Callable[[Reader], T]) -> T:
        connection = self._free.get()
        try:
            connection.snapshot()
            try:
                return look(connection.reader())
            except StopIteration as error:  # which no future takes: the caller would wait for ever
                raise RuntimeError(f"a look at the store ended with {error!r}") from error
            finally:
                connection.rollback()
        finally:
            self._free.put(connection)

    def _committed(self, swarms: frozenset[SwarmId]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._commits.publish, swarms)


def locked(path: Path) -> FileLock:
    """The lock of the database `path`, in a folder that exists afterwards. StoreUnavailableError when somebody has it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)
    except OSError as error:
        raise StoreUnavailableError(
            f"the folder of the database cannot be written: {error.strerror}",
            where=str(path),
            mend="make it writable for this user, or name another state folder",
        ) from error


def _bring_to_newest(path: Path) -> None:
    """What changes a schema is loaded only where there is something to change: it takes 30 MB and half a second."""
    if not at_newest(path) and not filled(path):
        from swarmworks.store import schema, sqlite_schema  # noqa: PLC0415

        with sqlite_schema.migrating(path) as raw:
            schema.upgrade(raw, str(path))
