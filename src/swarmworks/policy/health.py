"""One test that fails for changes of several tasks: the test, or what it tests, is what ails, and a task of its own looks after
it. Pure; asked by the merge queue before it charges a change.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarmworks.base.ids import TaskId
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.plan import FIX_BUG, Acceptance, PlannedTask
from swarmworks.policy.admit import overlaps
from swarmworks.policy.planning.texts import words_for

SEVERAL = 3
"""Tasks whose changes failed the same test, none of them its owner."""

MOST_TESTS = 20
_MOST_NAME = 60


def foreign(task: PlannedTask, failed: Sequence[GateResult]) -> tuple[Finding, ...]:
    """The failed tests, when all that failed are tests in files that the task does not own; otherwise nothing."""
    told = [result for result in failed if result.outcome is not GateOutcome.RAN_NOTHING]
    named = [[finding for finding in result.findings if finding.test] for result in told]
    found = [finding for findings in named for finding in findings]
    if not found or not all(named) or any(_owns(task, finding.file) for finding in found):
        return ()
    return tuple({finding.test: finding for finding in found}.values())[:MOST_TESTS]


def task_for(
    tests: Sequence[Finding], gate: str, met: PlannedTask, tasks: Sequence[PlannedTask], busy: frozenset[TaskId]
) -> PlannedTask:
    """What looks after `tests`, which `gate` ran and a change of the task `met` failed last. It owns their files, and what the
    tracebacks name, as far as no task that is under way (`busy`) holds that: it would wait for what waits for it.
    """
    files = tuple(dict.fromkeys(finding.file for finding in tests if finding.file))
    code = dict.fromkeys(finding.code.rpartition(":")[0] for finding in tests)
    held = [path for task in tasks if task.id in busy for path in task.owns]
    planned = [path for path in code if path and any(_owns(task, path) for task in tasks)]
    free = [path for path in planned if not any(overlaps(path, other) for other in held)]
    author = next((task for task in tasks if any(_owns(task, file) for file in files)), met)
    names = tuple(finding.test for finding in tests)
    words = words_for("rework", "health", tests=names, files=files, code=tuple(free), several=SEVERAL)
    owns = tuple(dict.fromkeys([*files, *free]))
    return PlannedTask(
        id=_free_id(names[0], tasks),
        kind=FIX_BUG,
        title=words.title,
        role=author.role,
        instructions=words.instructions,
        output=words.output,
        owns=owns,
        reads=tuple(path for path in planned if path not in owns),
        specification=author.specification,
        acceptance=tuple(Acceptance(one.statement, gate) for one in words.acceptance),
        gates=met.gates,
        not_required=met.not_required,
        estimate=author.estimate,
    )


def _owns(task: PlannedTask, path: str) -> bool:
    return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in task.owns)


def _free_id(test: str, tasks: Sequence[PlannedTask]) -> TaskId:
    """A task's id of the test's own name, without the file it is in."""
    last = test.replace("::", ".").rpartition(".")[2].partition("[")[0]
    plain = "".join(one if one.isascii() and (one.isalnum() or one in "_-") else "-" for one in last)
    name, taken = f"health-{plain[:_MOST_NAME].strip('-_') or 'test'}", {task.id for task in tasks}
    number = 1
    while (found := TaskId(name if number == 1 else f"{name}-{number}")) in taken:
        number += 1
    return found
