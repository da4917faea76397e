"""One control plane per database file: an advisory lock on a file beside it, released by the system when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from swarmworks.base.errors import StoreUnavailableError

if TYPE_CHECKING:
    from pathlib import Path


class FileLock:
    """Held from construction to `release`. StoreUnavailableError when another process, or this one, holds it."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(f"{database.name}.lock")
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise StoreUnavailableError(
                f"another control plane (pid {holder}) has this database open",
                where=str(database),
                mend=f"use that one, or stop it first: kill {holder}; or name another state folder",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """The file stays: removing it would let two processes lock two different files of the same name."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
