"""What no limit of the kernel's can be set for here: the memory of a whole process tree, and the disk its writable mounts take.

It looks several times a second and ends the tree that is over; what was written stays where it is, for the session's commit.
Between two looks a program can get ahead: by what the disk takes in that time, and by what it can allocate. Where the kernel holds
the memory too, it may come first and end one process, of which the program need not say anything: then the rest is ended here.
"""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from swarmworks.sandbox.disk import MOST_FILES, disk_usage, free_bytes
from swarmworks.sandbox.memory import exceeds, machine_shared_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swarmworks.sandbox.cgroups import Cgroup
    from swarmworks.sandbox.protocol import ProcessLimits

LOOK_S: Final = 0.25
_LONGEST_UNSEEN_S: Final = 5.0
_SHARE: Final = 10
"""Counting a tree may take a tenth of the time: the larger it is, the rarer it is counted."""
_MOST_MISSED: Final = 20
"""Looks in a row that may fail, as when there are no more descriptors for a moment, before what cannot be watched is ended."""
_NOTICED_BYTES: Final = 32 << 20
_MIB: Final = 1 << 20


_looks: Final = ThreadPoolExecutor(8, "watchdog")
"""Its own threads: a look must not wait behind what takes minutes, such as copies of whole trees."""


@dataclass(frozen=True, slots=True)
class Breach:
    """Why a sandbox has to be ended. `of_machine`: by no fault of its program's."""

    reason: str
    of_machine: bool = False


@dataclass(slots=True)
class Watchdog:
    """`places` are the host's paths of the writable mounts, `pid` the outermost process of the tree."""

    pid: int
    limits: ProcessLimits
    places: Sequence[Path]
    group: Cgroup | None = None
    _shared_at_start: int = field(init=False)
    _free_at_start: int = field(init=False)
    _free_when_counted: int = field(init=False)
    _count_after: float = 0.0
    _counted: float = field(init=False)

    def __post_init__(self) -> None:
        self._shared_at_start = machine_shared_bytes()
        self._free_at_start = self._free_when_counted = free_bytes(self.places)
        self._counted = time.monotonic()

    async def breach(self) -> Breach:
        """Returns once there is one. Runs until it is cancelled otherwise."""
        missed = 0
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                found = await asyncio.get_running_loop().run_in_executor(_looks, self._look)
            except (OSError, RuntimeError) as error:  # no descriptor, no thread
                missed += 1
                if missed > _MOST_MISSED:
                    return Breach(f"it could not be watched: {error}", of_machine=True)
                continue
            if found is not None:
                return found
            missed = 0

    def _look(self) -> Breach | None:
        if reason := self._memory():
            return Breach(reason)
        if breach := self.killed():
            return breach
        reason = self._disk()
        return Breach(reason) if reason else None

    def _memory(self) -> str:
        most = self.limits.tree_memory_bytes
        return _over_memory(most) if exceeds(self.pid, most, self._shared_at_start) else ""

    def killed(self) -> Breach | None:
        """Whether the kernel has ended one of its processes, for want of which memory. Also after the tree has ended."""
        kill = None if self.group is None else self.group.memory_kill()
        if kill is None:
            return None
        most = self.limits.tree_memory_bytes
        if 0 < kill.peak_bytes < most:
            return Breach("the machine had no more memory, and the kernel ended one of its processes", of_machine=True)
        return Breach(_over_memory(most))

    def _disk(self) -> str:
        """Nothing is counted while the file system hardly fills, whoever fills it."""
        now, free = time.monotonic(), free_bytes(self.places)
        noticed = self._free_when_counted - free >= min(_NOTICED_BYTES, self.limits.disk_bytes // 8)
        if not self.places or now < self._count_after or not (noticed or now - self._counted > _LONGEST_UNSEEN_S):
            return ""
        usage = disk_usage(self.places, self.pid)
        self._counted, self._free_when_counted = time.monotonic(), free
        self._count_after = self._counted + _SHARE * (self._counted - now)
        most = self.limits.disk_bytes
        if usage.disk_bytes > most:
            return f"disk limit of {most // _MIB} MB exceeded"
        if usage.files >= MOST_FILES:
            return f"disk limit of {MOST_FILES} files exceeded"
        if usage.unseen and self._free_at_start - free > most:
            return f"disk limit of {most // _MIB} MB exceeded, in what cannot be counted ({usage.unseen})"
        return ""


def _over_memory(most: int) -> str:
    return f"memory limit of {most // _MIB} MB exceeded"
