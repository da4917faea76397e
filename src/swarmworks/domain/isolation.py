"""What can hold around a program in a sandbox, and the names of what machines can give: a floor can be said in one word.

`docs/sandbox.md` has the tables; which attacks each name stops is tested, and the tables are compared.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Property(StrEnum):
    """See docs/sandbox.md for what each one stops."""

    FILES = "files"  # only what is mounted can be read, only the writable mounts written
    PROTECTED = "protected"  # protected paths are read-only by mount (the diff check on the host comes on top)
    NETWORK = "network"  # nothing but our own listener
    EXEC = "exec"  # no program of the system but those on the allowlist
    NOEXEC = "noexec"  # nothing the program wrote can be run, or loaded as a library
    SYSCALLS = "syscalls"
    PROCESSES = "processes"  # nothing survives, nothing outside is visible
    LIMITS = "limits"
    QUOTA = "quota"  # of the disk, below all writable mounts together
    ENVIRONMENT = "environment"  # only the variables that were given
    UNPRIVILEGED = "unprivileged"  # not uid 0 on the host


STRICT: Final = frozenset(Property)
FULL: Final = STRICT - {Property.NOEXEC}
NAMESPACES: Final = FULL - {Property.EXEC}
CONTAINED: Final = FULL - {Property.PROTECTED, Property.NETWORK}
NONE: Final = frozenset({Property.ENVIRONMENT})

LEVELS: Final[Mapping[str, frozenset[Property]]] = {
    "strict": STRICT,
    "full": FULL,
    "namespaces": NAMESPACES,
    "contained": CONTAINED,
    "none": NONE,
}
"""From the strongest to the weakest."""


def properties(names: Iterable[str]) -> frozenset[Property]:
    """Of the record of a session; a name of another version's is passed over."""
    known = {each.value for each in Property}
    return frozenset(Property(name) for name in names if name in known)


def level_of(held: frozenset[Property]) -> str:
    """The strongest name all of whose properties are in `held`; empty when not even the weakest is."""
    return next((name for name, needed in LEVELS.items() if needed <= held), "")
