"""Gates: automated checks of a change. They fail closed: only `passed` lets a change through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

COVERAGE_PERCENT = "coverage_percent"
"""The metric of a result that says how much the tests cover."""


class GateOutcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    COULD_NOT_RUN = "could_not_run"  # the tool, the environment or the sandbox: no fault of the change's
    RAN_NOTHING = "ran_nothing"  # it ran and checked nothing: no evidence, so no pass
    NOT_REQUIRED = "not_required"  # set by the plan per task kind, never by a result


class GateStage(StrEnum):
    CHANGE = "change"  # on the session's own tree, cheap, before the queue
    CANDIDATE = "candidate"  # on the exact merged tree that would land


@dataclass(frozen=True, slots=True)
class GateDefinition:
    """How one gate is run. Built-in gates (`scope`, `secrets`) have no command and run on the diff outside the sandbox;
    those with a `source` only read that gate's report; all others run `command` by `sh -c` in the sandbox, in a copy of the tree, without network.

    `reader` names how the outcome and the findings are read: `exit` (0 passed), `junit` and `coverage` (a report file
    under `$SWARM_REPORTS`), `ruff`, `mypy` (their JSON output) or `lines` (`file:line: message` on stdout).
    `on_change` is a shorter command for the stage `change` (`at`); it need not find anything to check there, since the candidate
    is judged whole. `cache`: the folder `$SWARM_CACHE` survives from one run of the gate to the next. `source` names the gate whose report
    is read where there is no command; `floor` is the least value in percent.
    """

    name: str
    command: str | None
    reader: str = "exit"
    stages: frozenset[GateStage] = frozenset({GateStage.CANDIDATE})
    timeout_s: float = 300.0
    nothing_exit_codes: tuple[int, ...] = ()
    floor: float | None = None
    cache: bool = False
    source: str | None = None
    on_change: str | None = None
    may_find_nothing: bool = False

    def at(self, stage: GateStage) -> GateDefinition:
        """As it is run at `stage`."""
        if stage is not GateStage.CHANGE or self.on_change is None:
            return self
        return replace(self, command=self.on_change, may_find_nothing=True)


@dataclass(frozen=True, slots=True)
class Finding:
    """One concrete thing wrong, with enough to act on. `line` is 0 when it concerns the whole file.

    Of a failed test: `test` is its name in the report, `file` and `line` are in the test, `error` is the exception's type
    (with `collection`, or `setup:` or `teardown:` before the type, where it was not the test's own body), and `code`
    (`path:line`) the first line of the project's own code beside the tests that the traceback shows, "" when it shows none.
    """

    message: str
    file: str = ""
    line: int = 0
    expected: str = ""
    provided: str = ""
    test: str = ""
    error: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """`metrics` are numbers for the report (`tests`, `failed`, `coverage_percent`, ...); `log_tail` at most 4 KiB. `tests_passed`
    names the tests that ran and passed, of those the task answers for: in files it owns, or asked for by name.
    """

    gate: str
    outcome: GateOutcome
    summary: str
    duration_s: float = 0.0
    findings: tuple[Finding, ...] = ()
    log_tail: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    cached: bool = False
    tests_passed: tuple[str, ...] = ()


def lets_through(results: tuple[GateResult, ...], required: frozenset[str]) -> bool:
    """True when every required gate has a result and each of them passed."""
    passed = {result.gate for result in results if result.outcome is GateOutcome.PASSED}
    return bool(required) and required <= passed
