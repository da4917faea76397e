"""The one thread that writes: several transaction functions per commit, each in a savepoint of its own.

A function's future resolves only after the COMMIT it is part of. An exception rolls back its own savepoint and leaves its
neighbours alone; where the database throws away the whole transaction (disk full), the neighbours run again without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from swarmworks.base.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.base.ids import SwarmId
    from swarmworks.store.protocol import Tx

_MOST_PER_COMMIT = 256


class WriteConnection(Protocol):
    """What the writer asks of a database, beside what transactions ask."""

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def savepoint(self) -> None: ...
    def release(self) -> None: ...
    def rollback_to_savepoint(self) -> None: ...
    @property
    def in_transaction(self) -> bool: ...
    def transaction(self) -> tuple[Tx, set[SwarmId]]:
        """A fresh Tx, and the set in which it notes the swarms it touches."""
        ...

    def close(self) -> None: ...


@dataclass(eq=False, slots=True)
class _Job:
    step: Callable[[Tx], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """`committed` is called on the writer's thread after each commit, with the swarms it touched."""

    def __init__(self, connection: WriteConnection, committed: Callable[[frozenset[SwarmId]], None]) -> None:
        self._connection = connection
        self._committed = committed
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, step: Callable[[Tx], Any]) -> asyncio.Future[Any]:
        """From a running event loop. A caller that gives up before its step began is skipped; after that it is done."""
        loop = asyncio.get_running_loop()
        job = _Job(step, loop, loop.create_future())
        with self._wake:
            if self._closing:
                raise StoreUnavailableError("the store is closed")
            self._jobs.append(job)
            self._wake.notify()
        return job.future

    def close(self) -> None:
        """What was submitted is still done. Blocks until the thread has ended."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next_batch():
            while batch:
                batch = self._commit(batch)
        self._connection.close()

    def _next_batch(self) -> list[_Job]:
        with self._wake:
            while not self._jobs and not self._closing:
                self._wake.wait()
            count = min(len(self._jobs), _MOST_PER_COMMIT)
            return [self._jobs.popleft() for _ in range(count)]

    def _commit(self, batch: list[_Job]) -> list[_Job]:
        """Run the batch in one commit; the jobs that have to run again, because one broke the transaction for all."""
        wanted = [job for job in batch if not job.future.cancelled()]
        touched: set[SwarmId] = set()
        try:
            self._connection.begin()
            for job in wanted:
                touched |= self._step(job)
                if not self._connection.in_transaction:
                    _resolve([job])
                    return [each for each in wanted if each is not job]
            self._connection.commit()
        except StoreUnavailableError as error:
            self._connection.rollback()
            for job in wanted:
                job.error = job.error or error
        else:
            self._committed(frozenset(touched))
        _resolve(wanted)
        return []

    def _step(self, job: _Job) -> set[SwarmId]:
        job.result = job.error = None
        self._connection.savepoint()
        tx, touched = self._connection.transaction()
        try:
            job.result = job.step(tx)
        except Exception as error:  # noqa: BLE001 - the one boundary of this loop: the error is the caller's
            job.error = error
            if self._connection.in_transaction:
                self._connection.rollback_to_savepoint()
            touched.clear()
        if self._connection.in_transaction:
            self._connection.release()
        return touched


def _resolve(jobs: list[_Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, group in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_deliver, group)


def _deliver(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
