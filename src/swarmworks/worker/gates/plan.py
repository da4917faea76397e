"""Gate `plan`: what a planning task wrote is a plan, and one that this repository can carry out.

The file is an agent's: it is read without following links, up to a size, and nothing in it is believed. Findings carry the
line and the mend, since the next attempt works from them.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any, cast

import yaml

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.plan import PLAN_FILE, PLAN_GATE
from swarmworks.policy.lint import errors, lint
from swarmworks.policy.planning.fit import Repository, misfits, unplanned_issues
from swarmworks.policy.shape import shape_of
from swarmworks.wire.plan_lines import PlanLines
from swarmworks.wire.planfile import parse_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swarmworks.domain.plan import Plan
    from swarmworks.policy.lint import Finding as LintFinding
    from swarmworks.worker.gates.request import GatesRequest

MAX_BYTES = 1 << 20
MAX_TASKS = 500
MAX_FINDINGS = 40


def check_plan(request: GatesRequest) -> GateResult:
    written = [change for change in request.changes if change.path == PLAN_FILE and change.status != "D"]
    if not written:
        return _failed(
            [Finding("the plan was not written", PLAN_FILE, 0, f"a file {PLAN_FILE} at the root", "nothing")]
        )
    data = _read(request.tree / PLAN_FILE)
    if data is None:
        expected = f"a regular file of at most {MAX_BYTES >> 10} KiB"
        return _failed([Finding("the plan cannot be read", PLAN_FILE, 0, expected)])
    try:
        plan = parse_plan(PLAN_FILE, data)
    except InvalidDocumentError as error:
        return _failed([Finding(one.what, PLAN_FILE, one.line, one.mend) for one in error.problems])
    if len(plan.tasks) > MAX_TASKS:
        return _failed([Finding(f"{len(plan.tasks)} tasks", PLAN_FILE, 0, f"at most {MAX_TASKS} tasks")])
    found = [*lint(plan), *misfits(plan, _repository(request)), *unplanned_issues(plan, issues_of(request))]
    wrong = errors(tuple(found))
    if wrong:
        return _failed(_with_lines(data, [*wrong, *(each for each in found if each not in wrong)]), len(wrong))
    return _passed(plan, len(found))


def issues_of(request: GatesRequest) -> tuple[int, ...]:
    """The numbers of the issues the plan is for, from the planning task's own specification."""
    if not request.specification:
        return ()
    facts: Any = yaml.safe_load(request.specification)
    listed: Any = cast("dict[str, Any]", facts).get("issues", ()) if isinstance(facts, dict) else ()
    return tuple(int(each) for each in listed)


def _repository(request: GatesRequest) -> Repository:
    gates = frozenset(definition.name for definition in request.definitions) - {PLAN_GATE}
    return Repository(_files(request.tree), gates, request.protected)


def _files(tree: Path) -> frozenset[str]:
    found: set[str] = set()
    for folder, _, names in os.walk(tree):
        prefix = os.path.relpath(folder, tree)
        found.update(name if prefix == "." else f"{prefix}/{name}" for name in names)
    return frozenset(found - {PLAN_FILE})


def _read(path: Path) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        data = file.read(MAX_BYTES + 1)
    return data if len(data) <= MAX_BYTES else None


def _with_lines(data: bytes, found: Sequence[LintFinding]) -> list[Finding]:
    lines = PlanLines(PLAN_FILE, data)
    return [
        Finding(
            message=f"{each.rule}: {f'task {each.task}: ' if each.task else ''}{each.what}",
            file=PLAN_FILE,
            line=lines.line(each.task, each.rule, each.what),
            expected=each.mend,
        )
        for each in found
    ]


def _failed(findings: list[Finding], wrong: int | None = None) -> GateResult:
    count = len(findings) if wrong is None else wrong
    summary = f"the plan has {count} error{'' if count == 1 else 's'}; first: {findings[0].message}"
    return GateResult(PLAN_GATE, GateOutcome.FAILED, summary[:300], findings=tuple(findings[:MAX_FINDINGS]))


def _passed(plan: Plan, warnings: int) -> GateResult:
    shape = shape_of(plan)
    metrics = {"tasks": float(shape.tasks), "width": float(shape.width), "warnings": float(warnings)}
    summary = f"{shape.tasks} tasks, {shape.width} side by side at the widest, {warnings} warnings"
    return GateResult(PLAN_GATE, GateOutcome.PASSED, summary, metrics=metrics)
