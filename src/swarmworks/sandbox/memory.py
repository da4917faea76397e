"""How much memory a process tree uses: the sum of proportional set sizes, so that shared pages count once."""

from __future__ import annotations

import os
from pathlib import Path

_KIB = 1024


def tree_memory_bytes(pid: int) -> int:
    """Of `pid` and all its descendants; 0 when it does not exist. A process whose share cannot be read counts with its
    whole resident size: too much rather than too little.
    """
    return sum(_process_memory_bytes(each) for each in tree(pid))


def at_most_bytes(pid: int) -> int:
    """An upper bound of `tree_memory_bytes`, much cheaper: shared pages count for every process that has them."""
    return sum(_resident_bytes(each) for each in tree(pid))


def tree(pid: int) -> list[int]:
    """`pid` and all its descendants, as they were found one after another."""
    found: list[int] = []
    pending = [pid]
    while pending:
        current = pending.pop()
        found.append(current)
        pending += _children(current)
    return found


def _process_memory_bytes(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIB
    except PermissionError:
        return _resident_bytes(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text(encoding="ascii").split()]
    except (FileNotFoundError, ProcessLookupError):
        return found
    return found
