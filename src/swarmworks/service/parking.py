"""Parked tests, and the `fix_bug` tasks that mend what they found and land both. Within a transaction, for those who judge
changes and those who take a person's word; what has to be read from the repository is read before (`look`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmworks.base.errors import ConflictError, LimitReachedError
from swarmworks.base.ids import SwarmId, TaskId
from swarmworks.domain.change import Change, ChangeEvent, ChangeState
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateResult
from swarmworks.domain.plan import PlannedTask
from swarmworks.domain.rejection import RejectedFinding, Rejection, RejectionKind
from swarmworks.domain.task import TASK_TABLE, TaskEvent, TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.keeping import not_passed, weakened
from swarmworks.policy.parking import Fate, fate, fix_for, gates_that_test, may_park
from swarmworks.policy.rejections import from_gates
from swarmworks.store.protocol import Reader, Tx
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.config_merge import MergeSection
from swarmworks.wire.options import from_json

KEPT_TESTS = "kept tests"
"""The name under which a weakened test is told, beside the gates' own."""

MOST_FILE_BYTES = 16 << 20
MOST_OF_A_FILE = 10
MOST_NAMES = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """What the repository shows of a change: the paths of its own difference, and where it weakens tests it has to keep."""

    changed: tuple[str, ...] = ()
    weakened: tuple[RejectedFinding, ...] = ()


def parked_change(reader: Reader, swarm_id: SwarmId, task: PlannedTask) -> Change | None:
    """The parked change that `task` lands with its own, None when it lands none."""
    if task.supersedes is None:
        return None
    found = reader.changes(swarm_id, task_id=task.supersedes, states=(ChangeState.PARKED,))
    return found[-1] if found else None


def look(hub: Hub, task: PlannedTask, change: Change, parked: Change | None, tree: str, rules: MergeSection) -> Seen:
    """`tree` (or commit) is what would land. Blocks: call it outside the transaction."""
    changed: tuple[str, ...] = ()
    if may_park(task):
        changed = tuple(one.path for one in hub.changes(change.base, change.head))
    weak = () if parked is None else _weakened(hub, parked, tree)
    return Seen(changed, tuple(one for one in weak if not rules.is_generated(one.file)))


def tests_to_keep(reader: Reader, parked: Change | None) -> tuple[str, ...]:
    """The names of the tests that ran for a parked change: those that failed, and those of its own that passed."""
    if parked is None:
        return ()
    for run in reversed(reader.gate_runs(parked.id)):
        failed = [finding.test for result in run.results for finding in result.findings if finding.test]
        if failed:
            passed = [name for result in run.results for name in result.tests_passed]
            return tuple(dict.fromkeys([*failed, *passed]))[:MOST_NAMES]
    return ()


def rejection_of_weakened(findings: Sequence[RejectedFinding], *, tree: str, base: str) -> Rejection:
    files = ", ".join(dict.fromkeys(finding.file for finding in findings if finding.file))
    summary = f"tests that have to be kept were weakened in {files[:300] or 'the change'}: mend the code, not the test"
    return Rejection(RejectionKind.WEAKENED, summary, findings=tuple(findings), tree=tree, base=base)


def not_run(reader: Reader, parked: Change | None, results: Sequence[GateResult]) -> tuple[RejectedFinding, ...]:
    """Tests of the parked change that did not run and pass this time: skipped, expected to fail, hidden or gone."""
    passed = [name for result in results for name in result.tests_passed]
    missing = not_passed(tests_to_keep(reader, parked), passed)
    if parked is None or not missing:
        return ()
    places = {
        finding.test.partition("[")[0]: (finding.file, finding.line)
        for run in reader.gate_runs(parked.id)
        for result in run.results
        for finding in result.findings
    }
    return tuple(
        RejectedFinding(
            gate=KEPT_TESTS,
            message=f"{name} did not run and pass",
            file=places.get(name, ("", 0))[0],
            line=places.get(name, ("", 0))[1],
            expected="run and passed",
            provided="skipped, expected to fail, hidden or gone",
        )
        for name in missing
    )


def parks(reader: Reader, change: Change, seen: Seen, failed: Sequence[GateResult]) -> bool:
    """Whether the failure of `change` says something about code that its task does not own."""
    task = reader.task(change.swarm_id, change.task_id).planned
    if not seen.changed or not may_park(task):
        return False
    gates = gates_that_test(from_json(reader.swarm(change.swarm_id).options).config.gate_definitions())
    tasks = [one.planned for one in reader.tasks(change.swarm_id)]
    return fate(task, seen.changed, failed, gates=gates, tasks=tasks) is Fate.PARK


def park(tx: Tx, change: Change, failed: Sequence[GateResult], *, tree: str, base: str) -> None:
    """Keep the change as it is, and file the task that mends what it found, before everything else that is ready."""
    tasks = tx.tasks(change.swarm_id)
    original = next(task for task in tasks if task.id == change.task_id)
    fix = fix_for(original.planned, failed, [task.planned for task in tasks])
    most = from_json(tx.swarm(change.swarm_id).options).config.limits.attempts
    rejection = from_gates(failed, tree=tree, base=base, attempts_left=most)
    told = rejection_wire.dump(rejection)
    note = f"its tests found a fault in code it does not own, which {fix.id} mends: {rejection.summary}"
    tx.move_change(change.id, ChangeEvent.PARK)
    tx.move_task(change.swarm_id, change.task_id, TaskEvent.PARK, rejection=told, note=note)
    tx.insert_task(change.swarm_id, fix, max(task.rank for task in tasks) + 1, rejection=told)
    parked = {"change": change.id, "fix": fix.id, "head": change.head, "summary": rejection.summary}
    filed = {"task": fix.id, "kind": fix.kind, "supersedes": original.id, "reason": rejection.summary}
    tx.append(
        change.swarm_id,
        NewEvent("task.parked", "platform", parked, change.task_id, change.session_id),
        NewEvent("task.filed", "platform", filed, fix.id),
    )


def supersede(tx: Tx, landed: Change, commit: str) -> None:
    """The change of a `fix_bug` task landed: the parked one landed with it. One whose task a person took back stays so."""
    supersedes = tx.task(landed.swarm_id, landed.task_id).planned.supersedes
    if supersedes is None or tx.task(landed.swarm_id, supersedes).state is not TaskState.PARKED:
        return
    for parked in tx.changes(landed.swarm_id, task_id=supersedes, states=(ChangeState.PARKED,)):
        tx.move_change(parked.id, ChangeEvent.SUPERSEDE, landed=commit)
    tx.move_task(landed.swarm_id, supersedes, TaskEvent.SUPERSEDE, commit=commit)
    data = {"by": landed.task_id, "commit": commit}
    tx.append(landed.swarm_id, NewEvent("task.superseded", "platform", data, supersedes))


def take_back(tx: Tx, swarm_id: SwarmId, task_id: TaskId, actor: str, reason: str) -> list[TaskId]:
    """Before a person's RETRY or CANCEL of a PARKED task: its parked change is rejected, the task that was to land it is
    cancelled, and named in the answer. ConflictError when that one is under way. Nothing happens to a task that is not
    parked.
    """
    if tx.task(swarm_id, task_id).state is not TaskState.PARKED:
        return []
    cancelled: list[TaskId] = []
    fixes = [task for task in tx.tasks(swarm_id) if task.planned.supersedes == task_id]
    for fix in fixes:
        if fix.state in TASK_TABLE.terminal:
            continue
        if (fix.state, TaskEvent.CANCEL) not in TASK_TABLE.moves:
            raise ConflictError(
                f"task {task_id} is parked, and {fix.id} is {fix.state}: it is about to land both",
                mend=f"wait for {fix.id}; when it is blocked, `swarm retry {task_id}` starts over",
            )
        tx.move_task(swarm_id, fix.id, TaskEvent.CANCEL, note=reason)
        tx.append(swarm_id, NewEvent("task.cancelled", actor, {"reason": reason, "with": task_id}, fix.id))
        cancelled.append(fix.id)
    for parked in tx.changes(swarm_id, task_id=task_id, states=(ChangeState.PARKED,)):
        tx.move_change(parked.id, ChangeEvent.REJECT)
        data = {"change": parked.id, "kind": str(RejectionKind.STALE), "summary": reason}
        tx.append(swarm_id, NewEvent("change.rejected", actor, data, task_id, parked.session_id))
    return cancelled


def trailers(reader: Reader, swarm_id: SwarmId, task: PlannedTask) -> dict[str, str]:
    """What the landed commit of a `fix_bug` task says of the change it carries."""
    parked = parked_change(reader, swarm_id, task)
    if parked is None:
        return {}
    return {"Swarm-Supersedes": parked.task_id, "Swarm-Parked": parked.head}


def _weakened(hub: Hub, parked: Change, tree: str) -> tuple[RejectedFinding, ...]:
    found: list[RejectedFinding] = []
    for one in hub.changes(parked.base, parked.head):
        try:
            before, written, after = (_text(hub, commit, one.path) for commit in (parked.base, parked.head, tree))
        except LimitReachedError:  # too large to look into: what is lost of it is found below all the same
            continue
        if one.status == "D" or written is None:
            continue
        rows = weakened(one.path, before, written, after)
        found += [
            RejectedFinding(KEPT_TESTS, row.message, one.path, row.line, expected=row.expected)
            for row in rows[:MOST_OF_A_FILE]
        ]
    named = {finding.file for finding in found}
    lost = (path for path in hub.kept_lines(parked.base, parked.head, tree) if path not in named)
    return (*found, *(RejectedFinding(KEPT_TESTS, "what the parked change wrote is gone", path) for path in lost))


def _text(hub: Hub, commit: str, path: str) -> str | None:
    data = hub.read_file(commit, path, limit_bytes=MOST_FILE_BYTES)
    return None if data is None else data.decode("utf-8", "replace")
