"""Tests that fail for changes of several tasks: one task is filed that looks after them, and the changes wait for it instead of
being charged. Within a transaction; asked by the merge queue.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from swarmworks.base.ids import ChangeId, SwarmId, TaskId
from swarmworks.domain.change import Change
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import Finding, GateResult
from swarmworks.domain.task import HOLDS_FILES, TASK_TABLE, TaskState
from swarmworks.policy.health import SEVERAL, foreign, task_for
from swarmworks.policy.rejections import from_gates
from swarmworks.store.protocol import Reader, Tx
from swarmworks.wire import rejection as rejection_wire

OVER = TASK_TABLE.terminal | {TaskState.BLOCKED}
"""States of such a task in which nobody waits for it any more: what it was to mend is mended, or is charged as usual."""


def looked_after(tx: Tx, change: Change, failed: Sequence[GateResult], *, tree: str, base: str) -> TaskId | None:
    """The task that looks after all the tests that `change` failed, filed now when they have failed for enough; None when the
    change is to be charged.
    """
    task = tx.task(change.swarm_id, change.task_id).planned
    tests = foreign(task, failed)
    if not tests:
        return None
    names = [finding.test for finding in tests]
    tx.record_failures(change.swarm_id, change.task_id, change.id, names)
    known = tx.health_tasks(change.swarm_id)
    often = [one for one in tests if one.test not in known and _several(tx, change.swarm_id, one.test)]
    if often:
        _file(tx, change, often, failed, tree=tree, base=base)
    return _waits_for(tx, change.swarm_id, change.task_id, names)


def held(reader: Reader, swarm_id: SwarmId, waiting: Collection[ChangeId]) -> dict[ChangeId, TaskId]:
    """Of the changes that wait, those that wait for such a task."""
    if not reader.health_tasks(swarm_id):
        return {}
    found = reader.tests_failed(swarm_id, waiting)
    waits = {
        change: _waits_for(reader, swarm_id, reader.change(change).task_id, tests) for change, tests in found.items()
    }
    return {change: task for change, task in waits.items() if task is not None}


def _several(reader: Reader, swarm_id: SwarmId, test: str) -> bool:
    return len(reader.tasks_failing(swarm_id, test)) >= SEVERAL


def _waits_for(reader: Reader, swarm_id: SwarmId, own: TaskId, tests: Sequence[str]) -> TaskId | None:
    """Of what the task `own` has handed in. A health task waits for those only that were filed before it, or two of them could
    wait for each other.
    """
    known = reader.health_tasks(swarm_id)
    tasks = {known.get(test) for test in tests}
    open_ones = [one for one in tasks if one is not None and reader.task(swarm_id, one).state not in OVER]
    if own in known.values():
        filed = reader.task(swarm_id, own).rank
        open_ones = [one for one in open_ones if reader.task(swarm_id, one).rank < filed]
    return min(open_ones) if open_ones and len(open_ones) == len(tasks) else None


def _file(
    tx: Tx, change: Change, tests: Sequence[Finding], failed: Sequence[GateResult], *, tree: str, base: str
) -> None:
    tasks = tx.tasks(change.swarm_id)
    met = next(task for task in tasks if task.id == change.task_id)
    busy = frozenset(task.id for task in tasks if task.state in HOLDS_FILES)
    gate = next(result.gate for result in failed if any(finding.test for finding in result.findings))
    filed = task_for(tests, gate, met.planned, [task.planned for task in tasks], busy)
    rejection = from_gates(failed, tree=tree, base=base)
    tx.insert_task(
        change.swarm_id, filed, max(task.rank for task in tasks) + 1, rejection=rejection_wire.dump(rejection)
    )
    tx.insert_health(change.swarm_id, [one.test for one in tests], filed.id)
    named = sorted({name for one in tests for name in tx.tasks_failing(change.swarm_id, one.test)})
    data: dict[str, object] = {"task": filed.id, "kind": filed.kind, "tests": [one.test for one in tests]}
    data |= {"tasks": named, "reason": f"{tests[0].test} failed for {', '.join(named)}"}
    tx.append(change.swarm_id, NewEvent("task.filed", "platform", data, filed.id))
