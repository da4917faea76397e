"""A rejection: why an attempt did not land, with enough for the next one to act on. Data, never prose to be parsed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

LOG_TAIL_BYTES = 4 << 10


class RejectionKind(StrEnum):
    CONFLICT = "conflict"  # it could not be merged with what landed meanwhile
    GATE_FAILED = "gate_failed"
    FLAKY = "flaky"  # the same tree passed and failed
    SCOPE = "scope"  # it touched what it does not own
    STALE = "stale"  # it was built on something that is gone
    INFRASTRUCTURE = "infrastructure"  # a gate could not run: no fault of the change's
    SESSION_FAILED = "session_failed"  # it ended without a change
    REVIEW = "review"  # a person or a model judged it not good enough
    WEAKENED = "weakened"  # a test it had to keep is gone or was changed


@dataclass(frozen=True, slots=True)
class RejectedFinding:
    """One concrete thing wrong and the gate that found it. `line` is 0 when it concerns the whole file. `code`: where in
    the project's own code (`path:line`) a failed test came through.
    """

    gate: str
    message: str
    file: str = ""
    line: int = 0
    expected: str = ""
    provided: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """`tree` is the git tree that was judged and `base` the integration commit it stood on, "" when there was none.
    `log_tail` is the end of the failing gate's log, at most LOG_TAIL_BYTES. `conflicts`: how often the task's work could not
    be merged so far. `resolves`: of a conflict, the change whose work and the branch's the next attempt has to make one of;
    `regenerates`: by the project's own commands, as nothing but files that are made of others is in conflict.
    """

    kind: RejectionKind
    summary: str
    findings: tuple[RejectedFinding, ...] = ()
    log_tail: str = ""
    tree: str = ""
    base: str = ""
    attempts_left: int = 0
    conflicts: int = 0
    resolves: str = ""
    regenerates: bool = False
