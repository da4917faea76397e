"""The one thread that writes: several transaction functions per commit.

A function's future resolves only after the COMMIT it is part of. Functions run one after the other, in one go; when one
raises, all are rolled back and run again, each in a savepoint of its own, so that an exception leaves the neighbours alone.
Where the database throws away the whole transaction (disk full), the neighbours run again without the one that failed.
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
_CAREFUL_COMMITS = 8
"""After a function failed, so many commits use savepoints from the start: failures come in groups."""
_MOST_RUNS = 50
"""How often a step is run before its caller is told that the database is too busy: each time it met somebody's lock."""


class RunAgainError(Exception):
    """Inside this package only: the step met another process's lock, or the connection was lost. Nothing of it is written;
    it is run in a later commit, beside the others that wait for the same `subject`.
    """

    def __init__(self, what: str, subject: str = "") -> None:
        super().__init__(what)
        self.subject = subject


class WriteConnection(Protocol):
    """What the writer asks of a database, beside what transactions ask."""

    def begin(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def next_step(self) -> None:
        """Another function begins, without a savepoint."""
        ...

    def flush(self) -> None:
        """Whatever was written and not sent yet is sent: it fails now, while it is still known whose it is."""
        ...

    def savepoint(self) -> None: ...
    def release(self) -> None: ...
    def rollback_to_savepoint(self) -> None: ...
    @property
    def in_transaction(self) -> bool: ...
    def transaction(self) -> tuple[Tx, set[SwarmId]]:
        """A fresh Tx, and the set in which it notes the swarms it touches."""
        ...

    def wait_for(self, subject: str) -> None:
        """Outside a transaction: until another process's lock on the subject is gone, or for a moment at most."""
        ...

    def close(self) -> None: ...


@dataclass(eq=False, slots=True)
class _Job:
    step: Callable[[Tx], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    runs: int = 0
    result: Any = None
    error: BaseException | None = None


class Writer:
    """`committed` is called on the writer's thread after each commit that touched swarms, with these."""

    def __init__(self, connection: WriteConnection, committed: Callable[[frozenset[SwarmId]], None]) -> None:
        self._connection = connection
        self._committed = committed
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._careful = 0
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
        again: list[_Job] = []
        while batch := self._next_batch(again):
            again = self._commit(batch)
            if again and (subject := _subject(again[-1])):
                self._connection.wait_for(subject)
        self._connection.close()

    def _next_batch(self, again: list[_Job]) -> list[_Job]:
        """Those that have to run again, and who came meanwhile: nobody waits until another's lock is had."""
        with self._wake:
            while not again and not self._jobs and not self._closing:
                self._wake.wait()
            count = min(len(self._jobs), max(1, _MOST_PER_COMMIT - len(again)))
            return [*again, *(self._jobs.popleft() for _ in range(count))]

    def _commit(self, batch: list[_Job]) -> list[_Job]:
        """Run the batch in one commit; the jobs that have to run again, because one broke the transaction for all."""
        wanted = [job for job in batch if not job.future.cancelled()]
        for job in wanted:
            job.result = job.error = None
        if self._careful == 0 and self._in_one_go(wanted):
            return _told(wanted)
        self._careful = max(0, self._careful - 1)
        return self._apart(wanted)

    def _in_one_go(self, wanted: list[_Job]) -> bool:
        """False when a step failed beside others: nothing is written, and they have to run apart."""
        touched: set[SwarmId] = set()
        failing: _Job | None = None
        try:
            self._connection.begin()
            for job in wanted:
                failing = job
                self._connection.next_step()
                tx, its_own = self._connection.transaction()
                job.result = job.step(tx)
                touched |= its_own
            self._connection.flush()
            failing = None
            self._connection.commit()
        except Exception as error:  # noqa: BLE001 - this thread outlives whatever a database says; the callers are told
            self._connection.rollback()
            if failing is not None and len(wanted) > 1:
                self._careful = _CAREFUL_COMMITS
                return False
            for job in wanted:
                job.error = error
        else:
            self._tell(touched)
        return True

    def _apart(self, wanted: list[_Job]) -> list[_Job]:
        touched: set[SwarmId] = set()
        try:
            self._connection.begin()
            for job in wanted:
                touched |= self._step(job)
                if not self._connection.in_transaction:
                    _resolve([job])
                    return [each for each in wanted if each is not job]
            self._connection.commit()
        except Exception as error:  # noqa: BLE001 - as above
            self._connection.rollback()
            for job in wanted:
                job.error = job.error or error
        else:
            self._tell(touched)
        return _told(wanted)

    def _tell(self, touched: set[SwarmId]) -> None:
        if touched:  # a beat is no news for anybody
            self._committed(frozenset(touched))

    def _step(self, job: _Job) -> set[SwarmId]:
        job.result = job.error = None
        self._connection.savepoint()
        tx, touched = self._connection.transaction()
        try:
            job.result = job.step(tx)
            self._connection.flush()
        except Exception as error:  # noqa: BLE001 - the one boundary of this loop: the error is the caller's
            job.error = error
            if self._connection.in_transaction:
                self._connection.rollback_to_savepoint()
            touched.clear()
        if self._connection.in_transaction:
            self._connection.release()
        elif isinstance(job.error, RunAgainError):  # the connection was lost, and the neighbours' steps with it
            raise job.error
        return touched


def _told(wanted: list[_Job]) -> list[_Job]:
    """Who is done hears of it; the others have to run again."""
    again = [job for job in wanted if isinstance(job.error, RunAgainError)]
    for job in again:
        job.runs += 1
        if job.runs >= _MOST_RUNS:
            job.error = StoreUnavailableError(
                f"the database does not get to it: {job.error}",
                mend="see that the server is up and not overloaded, then try again",
            )
    again = [job for job in again if job.runs < _MOST_RUNS]
    _resolve([job for job in wanted if job not in again])
    return sorted(again, key=_subject)


def _subject(job: _Job) -> str:
    return job.error.subject if isinstance(job.error, RunAgainError) else ""


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
        if isinstance(job.error, StopIteration):  # which no future takes: the others would never be told
            job.future.set_exception(RuntimeError(f"a step of the store ended with {job.error!r}"))
        elif job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
