"""What becomes of a change whose tests fail: mended by its author, or parked because they found a fault in another's code.

A test is not weakened to make it pass. A test change that fails on code it does not own is kept as it is, and a `fix_bug`
task that owns both, the test and the code, mends the code and lands the two together. Pure; asked by `service`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from swarmworks.base.ids import TaskId
from swarmworks.domain.gate import GateOutcome
from swarmworks.domain.plan import (
    FIX_BUG,
    IMPLEMENT_DATABASE,
    IMPLEMENT_ENDPOINT,
    IMPLEMENT_FEATURE,
    REFACTOR,
    SCAFFOLD,
    WRITE_TESTS,
    Acceptance,
    PlannedTask,
)
from swarmworks.policy.admit import overlaps
from swarmworks.policy.planning.texts import words_for
from swarmworks.policy.testfiles import is_test_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from swarmworks.domain.gate import Finding, GateDefinition, GateResult

TEST_READERS = frozenset({"junit", "coverage"})
IMPLEMENTS = frozenset({SCAFFOLD, IMPLEMENT_DATABASE, IMPLEMENT_ENDPOINT, IMPLEMENT_FEATURE, REFACTOR, FIX_BUG})
"""Kinds of tasks that write code."""

OWN_FAULTS = frozenset(
    {
        "ImportError",
        "ModuleNotFoundError",
        "NameError",
        "UnboundLocalError",
        "SyntaxError",
        "IndentationError",
        "TabError",
        "FixtureLookupError",
        "collection",
    }
)
"""Errors that, raised in a test itself, say something about the test and nothing about the code."""

_AROUND = ("setup:", "teardown:")
_MOST_ID = 90
_MOST_BLAMED = 10


class Fate(StrEnum):
    PARK = "park"
    REWORK = "rework"


def gates_that_test(definitions: Iterable[GateDefinition]) -> frozenset[str]:
    """The gates that run tests or read how much they cover: those whose report names each test."""
    return frozenset(gate.name for gate in definitions if gate.reader in TEST_READERS)


def may_park(task: PlannedTask) -> bool:
    """Whether changes of this task are ever parked. One that owns the code it tests mends it itself."""
    if task.kind == FIX_BUG:
        return False
    return task.kind == WRITE_TESTS or any(not _owns(task.owns, path) for path in task.covers)


def fate(
    task: PlannedTask,
    changed: Sequence[str],
    failed: Sequence[GateResult],
    *,
    gates: frozenset[str],
    tasks: Sequence[PlannedTask],
) -> Fate:
    """`changed` are the paths of the change's own difference, `failed` the required gates that did not let it through,
    `gates` those of the project that run tests (`gates_that_test`), `tasks` all of the swarm.
    """
    if not may_park(task) or not changed or not all(result.gate in gates for result in failed):
        return Fate.REWORK
    if task.kind != WRITE_TESTS and not all(is_test_file(path) for path in changed):
        return Fate.REWORK
    found = [finding for result in failed for finding in result.findings if finding.test]
    if not found or any(_unnamed(result) for result in failed):
        return Fate.REWORK
    if any(not _owns(task.owns, finding.file) or _authors_own(finding) for finding in found):
        return Fate.REWORK
    return Fate.PARK if code_tested_by(task, tasks) else Fate.REWORK


def _unnamed(result: GateResult) -> bool:
    """Whether a gate failed for something else than tests that it names: a crash of the run, or too little coverage."""
    if result.outcome is GateOutcome.RAN_NOTHING:  # a coverage gate beside failed tests: their report is no evidence
        return False
    return not any(finding.test for finding in result.findings)


def _authors_own(finding: Finding) -> bool:
    """Whether the error is in the test itself. What was raised in the project's code is that code's, and an assertion is
    what tests are for, wherever it stands.
    """
    if finding.error == "collection":
        return True
    if finding.code:
        return False
    if finding.error.startswith(_AROUND):
        return finding.error.partition(":")[2] != "AssertionError"
    return finding.error.rpartition(".")[2] in OWN_FAULTS


def code_tested_by(task: PlannedTask, tasks: Sequence[PlannedTask]) -> tuple[str, ...]:
    """What the tests of `task` are about and it does not own: what it covers, else what the implementing tasks it directly
    depends on own, beside their own tests.
    """
    paths = task.covers
    if not paths:
        near = [other for other in tasks if other.id in task.depends_on and other.kind in IMPLEMENTS]
        paths = tuple(path for other in near for path in other.owns if not is_test_file(path))
    return tuple(dict.fromkeys(path for path in paths if not _owns(task.owns, path)))


def fix_for(parked: PlannedTask, failed: Sequence[GateResult], tasks: Sequence[PlannedTask]) -> PlannedTask:
    """The task that mends what the parked change of `parked` found, and lands both. It owns the tests, the code they are
    about, and the code the tracebacks name, as far as the plan gave that code to a task: what nobody may write stays so.
    """
    blamed = _blamed(failed, tasks)
    code = tuple(dict.fromkeys([*code_tested_by(parked, tasks), *blamed]))
    implementer = _implementer(parked, (*blamed, *code), tasks)
    sources = [parked] if implementer is None else [implementer, parked]
    words = words_for("rework", "fix_bug", parked=parked, code=code, implementer=implementer)
    owns = tuple(dict.fromkeys([*parked.owns, *(path for path in code if not _owns(parked.owns, path))]))
    gates = tuple(dict.fromkeys(gate for task in reversed(sources) for gate in task.gates))
    left_out = {gate: why for task in sources for gate, why in task.not_required.items() if gate not in gates}
    reads = dict.fromkeys(path for task in sources for path in task.reads if not _owns(owns, path))
    tests = next(result.gate for result in failed if any(finding.test for finding in result.findings))
    proved = tuple(Acceptance(one.statement, tests) for one in words.acceptance)
    return PlannedTask(
        id=_free_id(parked.id, tasks),
        kind=FIX_BUG,
        title=words.title,
        role=(implementer or parked).role,
        instructions=words.instructions,
        output=words.output,
        depends_on=parked.depends_on,
        owns=owns,
        reads=tuple(reads),
        specification="---\n".join(dict.fromkeys(_ended(task.specification) for task in sources if task.specification)),
        contracts=tuple(dict.fromkeys(contract for task in sources for contract in task.contracts)),
        acceptance=(*proved, *parked.acceptance),
        gates=gates,
        not_required=left_out,
        covers=parked.covers,
        convoy=parked.convoy,
        priority=max(task.priority for task in sources),
        estimate=(implementer or parked).estimate,
        supersedes=parked.id,
    )


def _blamed(failed: Sequence[GateResult], tasks: Sequence[PlannedTask]) -> tuple[str, ...]:
    """A traceback is printed by a process that runs the change's own code: it may point at what some task of the plan owns,
    and gives nobody a file that no task may write.
    """
    named = dict.fromkeys(finding.code.rpartition(":")[0] for result in failed for finding in result.findings)
    planned = [path for path in named if path and any(_owns(task.owns, path) for task in _implementing(tasks))]
    return tuple(planned[:_MOST_BLAMED])


def _implementing(tasks: Iterable[PlannedTask]) -> Iterator[PlannedTask]:
    return (task for task in tasks if task.kind in IMPLEMENTS and task.kind != FIX_BUG)


def _implementer(parked: PlannedTask, code: Sequence[str], tasks: Sequence[PlannedTask]) -> PlannedTask | None:
    """Who wrote the code, the file a traceback names before the others; among several the one the tests wait for."""
    for path in code:
        owners = [task for task in _implementing(tasks) if any(overlaps(path, mine) for mine in task.owns)]
        if owners:
            return max(owners, key=lambda task: task.id in parked.depends_on)
    return None


def _owns(owns: Iterable[str], path: str) -> bool:
    return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in owns)


def _ended(text: str) -> str:
    return text if text.endswith("\n") else f"{text}\n"


def _free_id(parked: TaskId, tasks: Sequence[PlannedTask]) -> TaskId:
    taken = {task.id for task in tasks}
    name = f"fix-{parked[:_MOST_ID].rstrip('.-')}"
    number = 1
    while (found := TaskId(name if number == 1 else f"{name}-{number}")) in taken:
        number += 1
    return found
