"""The kernel's limits of one process, and how many tasks its user has already."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swarmworks.sandbox.protocol import ProcessLimits


def resource_limits(limits: ProcessLimits, *, beside: int = 0) -> list[tuple[int, int]]:
    """The kernel counts all tasks of a user together, in each namespace of users by itself: without one of its own, a sandbox may have
    `limits.processes` more than the `beside` there are.
    """
    return [
        (resource.RLIMIT_DATA, limits.memory_bytes),
        (resource.RLIMIT_NPROC, limits.processes + beside),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_CORE, 0),
    ]


def tasks_of_user() -> int:
    """Processes and threads of the user this process belongs to, as far as they are seen; 0 for root, who has no limit of them."""
    user = os.geteuid()
    if user == 0:
        return 0
    count = 0
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal() and entry.stat().st_uid == user:
                count += sum(1 for _ in (entry / "task").iterdir())
    return count
