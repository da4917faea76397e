"""Advisory file locks that hold between threads and between processes, and vanish with their holder."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

POLL_S = 0.002


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def taken(path: Path) -> int:
    """Hold the lock file `path` of which nobody else knows yet, until the descriptor that is returned is closed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextmanager
def held(path: Path, *, timeout_s: float = 60.0) -> Generator[None]:
    """Hold the lock file `path` exclusively. Each call opens the file anew, so threads exclude each other as well."""
    deadline = time.monotonic() + timeout_s
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _try_lock(descriptor):
            if time.monotonic() > deadline:
                raise GitError(
                    f"another process has held this lock for more than {timeout_s:g} s",
                    where=str(path),
                    mend="see who holds it: `fuser -v` on that file",
                )
            time.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def held_if_free(path: Path) -> Generator[bool]:
    """As `held`, without waiting: yields whether the lock was got."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)
