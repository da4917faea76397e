"""How much memory a process tree uses: the sum of proportional set sizes, so that shared pages count once, and what lies in files of
memory that it holds open.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_KIB = 1024
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Share:
    all_bytes: int
    shared_memory_bytes: int  # of files of memory that are mapped


def tree_memory_bytes(pid: int) -> int:
    """Of `pid` and all its descendants; 0 when it does not exist. A process whose share cannot be read counts with its
    whole resident size: too much rather than too little. A file of memory may be mapped, open, or both: the larger sum of the two
    counts, at least half of what there is and never the same page twice.
    """
    processes = tree(pid)
    return _together(processes, _opened(processes)[0])


def exceeds(pid: int, most_bytes: int, shared_before: int) -> bool:
    """Whether `tree_memory_bytes` is more. Upper bounds that are much cheaper mostly answer it: shared pages count for every process
    that has them, and files of memory take no more than all of the machine do.

    A process may keep others from seeing what it has open. Then all that the machine's shared memory has grown by since it was
    `shared_before` counts as the tree's.
    """
    processes = tree(pid)
    resident = sum(_resident_bytes(each) for each in processes)
    shared = machine_shared_bytes()
    if resident + shared <= most_bytes:
        return False
    opened, hidden = _opened(processes)
    if hidden:
        opened = max(opened, shared - shared_before)
    return resident + opened > most_bytes and _together(processes, opened) > most_bytes


def machine_shared_bytes() -> int:
    """Files of memory and temporary file systems of all the machine; and what is swapped out, which may be theirs."""
    sizes = _sizes(Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return sizes["Shmem"] + sizes["SwapTotal"] - sizes["SwapFree"]


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants, as they were found one after another. A process whose first thread has ended shows nothing
    under its own number any more: another of its threads stands for it.
    """
    found: list[int] = []
    pending = [pid]
    while pending:
        current = pending.pop()
        threads = _threads(current)
        found.append(current if len(threads) <= 1 else next(filter(_resident_bytes, (current, *threads)), current))
        for thread in threads:
            pending += _children(current, thread)
    return found


def open_files(pid: int) -> list[os.stat_result]:
    """Of what `pid` holds open. Raises PermissionError for a process that cannot be looked into."""
    found: list[os.stat_result] = []
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                found.append(os.stat(entry.path))  # noqa: PTH116 -- some thousands at each look
            except OSError:
                continue
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found


def _together(processes: list[int], opened: int) -> int:
    shares = [_share(each) for each in processes]
    mapped = sum(share.shared_memory_bytes for share in shares)
    return sum(share.all_bytes for share in shares) - mapped + max(mapped, opened)


def _opened(processes: list[int]) -> tuple[int, bool]:
    """In files of memory (memfd_create), each once; and whether some process cannot be looked into."""
    found: dict[int, int] = {}
    hidden = False
    for each in processes:
        try:
            opened = open_files(each)
        except PermissionError:
            hidden = True
            continue
        found |= {file.st_ino: file.st_blocks * _BLOCK_BYTES for file in opened if _is_of_memory(file)}
    return sum(found.values()), hidden


def _is_of_memory(file: os.stat_result) -> bool:
    return file.st_dev == _memory_device() and stat.S_ISREG(file.st_mode)


@cache
def _memory_device() -> int:
    """What the kernel keeps all files of memory on."""
    fd = os.memfd_create("device", os.MFD_CLOEXEC)
    try:
        return os.fstat(fd).st_dev
    finally:
        os.close(fd)


def _share(pid: int) -> _Share:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except PermissionError:
        return _hidden_share(pid)
    except (FileNotFoundError, ProcessLookupError):
        return _Share(0, 0)
    sizes = _sizes(lines[1:])
    return _Share(sizes.get("Pss", 0), sizes.get("Pss_Shmem", 0))


def _hidden_share(pid: int) -> _Share:
    try:
        sizes = _sizes(Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines())
    except (FileNotFoundError, ProcessLookupError):
        return _Share(0, 0)
    return _Share(sizes.get("VmRSS", 0), sizes.get("RssShmem", 0))


def _sizes(lines: list[str]) -> dict[str, int]:
    """Of lines such as `Pss:  337 kB`, in bytes."""
    parts = (line.partition(":") for line in lines)
    return {name: int(value.removesuffix("kB")) * _KIB for name, _, value in parts if value.endswith(" kB")}


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]  # noqa: PTH208 -- some thousands at each look
    except (FileNotFoundError, ProcessLookupError):
        return []


def _children(pid: int, thread: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{thread}/children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
