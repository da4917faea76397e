"""Archive files: pieces of chains of events as gzip JSON lines, read as if they still were in the database.

A file is written whole and read back before its rows go, and never changed after. What is archived is thereby still in
every report and log; when a file is not there, that is said with its name.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from itertools import islice
from typing import TYPE_CHECKING

from swarmworks.base.errors import StoreUnavailableError
from swarmworks.domain.event import ArchivedEvents, first_break
from swarmworks.wire.eventlog import event_line, parse_event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swarmworks.domain.event import Event

MOST_EVENTS = 5_000
MOST_BYTES = 512 << 20
"""Of the lines of one file: no event takes more than a hundred kilobytes."""


class Archives:
    """The files below `folder`. With None there are none, and what should be in one cannot be read."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def write(self, events: Sequence[Event]) -> ArchivedEvents:
        """Durable and verified when it returns. Writing the same events again leaves the same file. ValueError when they
        are no chain, or others lie under that name: both stay where they are, as evidence.
        """
        first, last = events[0], events[-1]
        broken = first_break(events, seq=first.seq - 1, previous=first.previous_hash)
        if broken is not None or len(events) > MOST_EVENTS:
            raise ValueError(f"the chain of swarm {first.swarm_id} is broken at event {broken}")
        lines = "".join(f"{event_line(event)}\n" for event in events).encode()
        name = f"{first.swarm_id}/{first.seq:012}-{last.seq:012}.jsonl.gz"
        archived = ArchivedEvents(
            first.swarm_id, first.seq, last.seq, last.hash, name, hashlib.sha256(lines).hexdigest()
        )
        try:
            if not self._path(name).exists():
                self._write(name, gzip.compress(lines, mtime=0))
            elif (wrong := self.fault(archived)) is not None:
                raise ValueError(f"another file has the name of the one to be written: {wrong}")
        except OSError as error:
            raise StoreUnavailableError(
                f"the archive cannot be written: {error.strerror}",
                where=str(self._path(name)),
                mend="make the folder writable, free space on its disk; the events are still in the database",
            ) from error
        if self.read(archived, limit=MOST_EVENTS) != list(events):
            raise StoreUnavailableError(
                "what was written to the archive is not what is read from it",
                where=str(self._path(name)),
                mend="look at the disk (dmesg); the events are still in the database",
            )
        return archived

    def read(
        self, archived: ArchivedEvents, *, after: int = 0, limit: int = 1000, session_id: str | None = None
    ) -> list[Event]:
        """StoreUnavailableError when the file is missing or is not the one that was written."""
        lines = self._lines(archived).splitlines()
        rest = islice(lines, max(0, after - archived.first_seq + 1), None)
        if session_id is None:
            return [parse_event(line) for line in islice(rest, limit)]
        perhaps = (parse_event(line) for line in rest if session_id.encode() in line)
        return list(islice((event for event in perhaps if event.session_id == session_id), limit))

    def fault(self, archived: ArchivedEvents) -> str | None:
        """What is wrong with the file, None when nothing is."""
        try:
            self._lines(archived)
        except StoreUnavailableError as error:
            return f"{error.what} ({error.where})"
        return None

    def _lines(self, archived: ArchivedEvents) -> bytes:
        path = self._path(archived.file)
        mend = "put the file back from a backup: its lines have the SHA-256 " + archived.sha256
        try:
            with gzip.open(path) as stream:
                lines = stream.read(MOST_BYTES)
        except (OSError, EOFError, zlib.error) as error:
            words = getattr(error, "strerror", None) or "it is damaged"
            raise StoreUnavailableError(
                f"archived events cannot be read: {words}", where=str(path), mend=mend
            ) from error
        if hashlib.sha256(lines).hexdigest() != archived.sha256:
            raise StoreUnavailableError(
                "archived events are not the ones that were written", where=str(path), mend=mend
            )
        return lines

    def _write(self, name: str, data: bytes) -> None:
        path = self._path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        with new.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
        for folder in (path.parent, path.parent.parent):
            _sync(folder)

    def _path(self, name: str) -> Path:
        if self._folder is None:
            raise StoreUnavailableError(
                "archived events cannot be read from here", where=name, mend="ask in the project's own folder"
            )
        return self._folder / name


NOWHERE = Archives(None)


def _sync(folder: Path) -> None:
    """So that the name, too, outlives a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
