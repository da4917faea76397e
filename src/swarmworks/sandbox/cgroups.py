"""A control group for each sandbox, where the worker may make one: the kernel then holds the sum of memory and processes, at once.

Where it may not, which is usual for an ordinary user, the watchdog alone does. Both versions of the interface are known: in the
second, a group beside the worker's own, since a group that has processes cannot have groups with limits.
"""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from swarmworks.sandbox.protocol import ProcessLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")
_CONTROLLERS: Final = ("memory", "pids")
_MEMORY_LIMITS: Final = ("memory.max", "memory.limit_in_bytes")
_KILLS: Final = ("memory.events", "memory.oom_control")
_PEAKS: Final = ("memory.peak", "memory.max_usage_in_bytes")
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class MemoryKill:
    peak_bytes: int
    """The most the group ever used; below its limit, it was the machine that had no more memory. 0 where the kernel does not say."""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """`folders` of one sandbox: one where all controllers are in one tree, else one for each."""

    folders: tuple[Path, ...]

    def take(self, pid: int) -> None:
        """With all it will start. Blocks for some milliseconds: the kernel waits for its readers. Where a group may be made and not
        be joined, it stays empty: the watchdog holds the same limits, only later.
        """
        for folder in self.folders:
            with suppress(OSError):
                (folder / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def memory_kill(self) -> MemoryKill | None:
        """What is known of it when the kernel has ended a process of the group for want of memory."""
        if not any(_counted(folder, _KILLS, "oom_kill") for folder in self.folders):
            return None
        return MemoryKill(max(_counted(folder, _PEAKS) for folder in self.folders))

    def remove(self) -> None:
        """Once it is empty; what the kernel has not let go of yet is left to `sweep`."""
        for folder in self.folders:
            with suppress(OSError):
                folder.rmdir()


def make(limits: ProcessLimits, *, root: Path = _ROOT, own: Path = _OWN) -> Cgroup | None:
    """None where no group can be made with the limits in it."""
    made: list[Path] = []
    name = f"swarmworks-{os.getpid()}-{next(_numbers)}"
    try:
        for parent in _parents(root, own):
            folder = parent / name
            folder.mkdir()
            made.append(folder)
            _limit(folder, limits)
    except OSError:
        Cgroup(tuple(made)).remove()
        return None
    return Cgroup(tuple(made)) if made else None


def available() -> bool:
    """Whether one can be made here; makes one to see."""
    group = make(ProcessLimits())
    if group is not None:
        group.remove()
    return group is not None


def sweep(*, root: Path = _ROOT, own: Path = _OWN) -> None:
    """Removes what workers left that are gone."""
    for parent in _parents(root, own):
        for folder in parent.glob("swarmworks-*-*"):
            maker = folder.name.split("-")[1]
            if not Path(f"/proc/{maker}").exists():
                Cgroup((folder,)).remove()


def _parents(root: Path, own: Path) -> Iterator[Path]:
    """Where groups can be made: in the second version one place for all, in the first one for each controller."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except OSError:
        return
    paths = {names: path.lstrip("/") for _, names, path in (line.split(":", 2) for line in lines)}
    if "" in paths and (beside := _beside(root, paths[""])) is not None:
        yield beside
        return
    for names, path in paths.items():
        for controller in set(names.split(",")) & set(_CONTROLLERS):
            if (folder := root / controller / path).is_dir():
                yield folder


def _beside(root: Path, path: str) -> Path | None:
    here = root / path
    for place in (here.parent, here) if path else (here,):
        try:
            given = (place / "cgroup.subtree_control").read_text(encoding="ascii").split()
        except OSError:
            continue
        if set(_CONTROLLERS) <= set(given):
            return place
    return None


def _counted(folder: Path, names: tuple[str, str], key: str = "") -> int:
    """The number in the first of these files there is, or in its line that begins with `key`; 0 where none says it."""
    for name in names:
        with suppress(OSError):
            for line in (folder / name).read_text(encoding="ascii").splitlines():
                said, _, number = line.rpartition(" ")
                if said == key:
                    return int(number)
    return 0


def _limit(folder: Path, limits: ProcessLimits) -> None:
    """The kernel's limit of memory is a quarter higher: the worker, which ends the whole tree and says why, mostly comes first."""
    for name in _MEMORY_LIMITS:
        if (folder / name).exists():
            (folder / name).write_text(str(limits.tree_memory_bytes * 5 // 4), encoding="ascii")
    for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
        if (folder / name).exists():
            (folder / name).write_text(value, encoding="ascii")
    if (folder / "pids.max").exists():
        (folder / "pids.max").write_text(str(limits.processes + _SET_UP), encoding="ascii")


_SET_UP: Final = 16
"""Processes of a sandbox that are not the program's: launcher, bubblewrap, anchor."""
