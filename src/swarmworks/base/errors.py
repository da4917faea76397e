"""Every error the product raises on purpose, in one tree.

    SwarmworksError
    ├── RejectedError               the caller: says what was wrong, where, and the mend
    │   ├── UsageError              a command, option or argument that makes no sense
    │   │   └── NotARepositoryError a path that should be a git repository with a commit and is not
    │   ├── InvalidDocumentError    a specification, plan or configuration with problems, each with its line
    │   ├── NotFoundError           no such swarm, task, session, ...
    │   ├── ConflictError           somebody else got there first, or the state does not allow it
    │   │   └── FenceLostError      a late writer: its lease went to somebody else
    │   ├── UnauthenticatedError    no token, or one that is not valid
    │   ├── ForbiddenError          a valid token without the permission
    │   └── LimitReachedError       a budget, quota or size limit
    │       ├── BudgetExceededError the worst case does not fit the account
    │       └── UnpricedError       a model without a price under a money budget
    ├── UnavailableError            the operator: something the platform needs is not there
    │   ├── StoreUnavailableError   database locked, full disk, unwritable directory
    │   ├── SandboxUnavailableError a sandbox property the floor asks for cannot be had
    │   ├── ProviderUnavailableError a model cannot be reached
    │   ├── GitError                git is missing or failed
    │   └── ControlPlaneUnavailableError nobody answers at the address
    └── ToolError                   the model: a tool call that failed, in words it can act on

Each class has a `code` (stable, on the wire), an HTTP status and a process exit code. The client turns a status and code
back into the same class. Nothing is retryable unless its class says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

EXIT_LANDED = 0
EXIT_BLOCKED = 1
EXIT_USAGE = 2
EXIT_LIMIT = 3
EXIT_INFRASTRUCTURE = 4


class SwarmworksError(Exception):
    """Base of the tree. `what` happened, `where` (a file:line, an option, an id), and the `mend` a person can apply."""

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = EXIT_INFRASTRUCTURE
    retryable: ClassVar[bool] = False

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        mend = f"\n  mend: {self.mend}" if self.mend else ""
        return f"{place}{self.what}{mend}"


class RejectedError(SwarmworksError):
    code = "rejected"
    http_status = 400
    exit_code = EXIT_USAGE


class UsageError(RejectedError):
    code = "usage"


class NotARepositoryError(UsageError):
    code = "not_a_repository"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document: `line` is 1-based, 0 when no line can be named."""

    line: int
    what: str
    mend: str = ""


class InvalidDocumentError(RejectedError):
    """A document with one or more problems; all of them are reported at once, in line order."""

    code = "invalid_document"
    http_status = 422

    def __init__(self, document: str, problems: list[Problem]) -> None:
        self.document = document
        self.problems = sorted(problems, key=lambda p: p.line)
        count = len(problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''}", where=document)

    def __str__(self) -> str:
        rows: list[str] = []
        for problem in self.problems:
            place = f"{self.document}:{problem.line}" if problem.line else self.document
            rows.append(f"{place}: {problem.what}")
            if problem.mend:
                rows.append(f"  mend: {problem.mend}")
        return "\n".join(rows)


class NotFoundError(RejectedError):
    code = "not_found"
    http_status = 404


class ConflictError(RejectedError):
    code = "conflict"
    http_status = 409


class FenceLostError(ConflictError):
    code = "fence_lost"


class UnauthenticatedError(RejectedError):
    code = "unauthenticated"
    http_status = 401


class ForbiddenError(RejectedError):
    code = "forbidden"
    http_status = 403


class LimitReachedError(RejectedError):
    code = "limit_reached"
    http_status = 409
    exit_code = EXIT_LIMIT


class BudgetExceededError(LimitReachedError):
    code = "budget_exceeded"


class UnpricedError(LimitReachedError):
    code = "unpriced"


class UnavailableError(SwarmworksError):
    code = "unavailable"
    http_status = 503


class StoreUnavailableError(UnavailableError):
    code = "store_unavailable"


class SandboxUnavailableError(UnavailableError):
    code = "sandbox_unavailable"


class ProviderUnavailableError(UnavailableError):
    code = "provider_unavailable"
    retryable = True


class GitError(UnavailableError):
    code = "git_failed"


class ControlPlaneUnavailableError(UnavailableError):
    code = "control_plane_unavailable"
    retryable = True


class ToolError(SwarmworksError):
    code = "tool_failed"
    http_status = 422


def by_code() -> dict[str, type[SwarmworksError]]:
    """Every class of the tree by its wire code, for the client that turns an answer back into an error."""
    found: dict[str, type[SwarmworksError]] = {}
    pending: list[type[SwarmworksError]] = [SwarmworksError]
    while pending:
        cls = pending.pop()
        found[cls.code] = cls
        pending.extend(cls.__subclasses__())
    return found
