"""A landed change taken back: a task of its own, done by no agent and asked of no model, whose change passes the gates, the
reviews and the merge queue like any other. A swarm that has landed is over: there a new one does it, on the same branch's head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError, NotFoundError, RejectedError
from swarmworks.base.ids import SwarmId, TaskId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.plan import COMMAND, Acceptance, Plan, PlannedTask
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import SATISFIED, TASK_TABLE, Task, TaskState
from swarmworks.git.protocol import Conflicted, Hub
from swarmworks.git.reverting import reverting_commit
from swarmworks.policy.dependents import dependents_of
from swarmworks.policy.planning.texts import words_for
from swarmworks.policy.wording import plain
from swarmworks.service.inbox.going_on import go_on
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire.api import CreateSwarm
from swarmworks.wire.inbox import Decided, RevertTask
from swarmworks.wire.options import from_json

MOST_NAMED = 8
MOST_LANDED = 200
MOST_REASON = 600
NOTHING = "true"
"""What the task's session runs: its working copy begins with the change taken back, and that is all of it."""


@dataclass(frozen=True, slots=True)
class _Found:
    swarm: Swarm
    task: Task
    commit: str
    tasks: Sequence[Task]

    @property
    def builds_on_it(self) -> list[TaskId]:
        behind = dependents_of(self.task.id, [one.planned for one in self.tasks])
        return [one.id for one in self.tasks if one.id in behind and one.state in SATISFIED]


class Reverting:
    """`working`: whether this control plane has workers, so that what is asked for goes on."""

    def __init__(self, store: Store, hub: Hub, clock: Clock, *, working: bool) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._working = working

    async def revert(self, wanted: str, request: RevertTask, actor: str) -> Decided | CreateSwarm:
        """What was decided; or, where the swarm has landed, the swarm to be made that does it. ConflictError when there is
        nothing to take back, RejectedError when what landed since conflicts with that: it says what.
        """
        found = await self._store.read(lambda reader: _landed(reader, wanted))
        ref = found.swarm.integration_ref
        head = await asyncio.to_thread(self._hub.resolve, ref) or found.swarm.base
        changed = await asyncio.to_thread(self._check, found, head)
        reason = plain(request.reason, MOST_REASON)
        planned = _planned(found, changed, reason)
        if found.swarm.state is SwarmState.LANDED:
            return _a_swarm(found, planned, head, request.repository)

        def write(tx: Tx) -> Decided:
            again = _landed(tx, f"{found.swarm.id}:{found.task.id}")
            tx.insert_task(found.swarm.id, planned, max(task.rank for task in again.tasks) + 1)
            data: dict[str, object] = {"reverts": found.task.id, "commit": found.commit, "reason": reason}
            data |= {"builds_on_it": [*found.builds_on_it[:MOST_NAMED]]}
            tx.append(found.swarm.id, NewEvent("task.reverting", actor, data, planned.id))
            if self._working:
                go_on(tx, found.swarm.id, actor, f"{found.task.id} is taken back", self._clock.now())
            swarm = tx.swarm(found.swarm.id)
            return Decided(
                id=planned.id,
                swarm_id=swarm.id,
                task_id=planned.id,
                said=said(found.task.id, found.commit, planned.id, found.builds_on_it),
                swarm_state=str(swarm.state),
                goes_on=self._working and swarm.state is SwarmState.RUNNING,
            )

        return await self._store.transact(write)

    def _check(self, found: _Found, head: str) -> list[str]:
        """The paths that are changed. Blocks: merges in the repository."""
        hub, commit = self._hub, found.commit
        merged = hub.merge(head, reverting_commit(hub, commit))
        if isinstance(merged, Conflicted):
            since = _changed_since(hub, commit, head, merged.paths)
            raise RejectedError(
                f"what {found.task.id} changed was changed again since, in {', '.join(merged.paths[:MOST_NAMED])}",
                where=f"{found.swarm.id}:{found.task.id}",
                mend=f"first revert {since}" if since else "mend it by hand, or plan a task that does",
            )
        if merged.tree == hub.tree_of(head):
            raise ConflictError(f"nothing of {found.task.id} is left on the branch", where=found.swarm.id)
        return [one.path for one in hub.changes(head, merged.tree)]


def said(task: TaskId, commit: str, planned: TaskId, builds_on_it: Sequence[TaskId]) -> str:
    named = ", ".join(builds_on_it[:MOST_NAMED]) + (" and others" if len(builds_on_it) > MOST_NAMED else "")
    behind = f"; it was landed for these, which the gates may fail without it: {named}" if builds_on_it else ""
    return f"{planned} takes back what {task} landed as {commit[:10]}, by the gates and the merge queue{behind}"


def _changed_since(hub: Hub, commit: str, head: str, paths: Sequence[str]) -> str:
    """The tasks that landed in these files later, the latest first."""
    bodies = [row["body"] for path in paths for row in hub.log(commit, head, limit=MOST_LANDED, path=path)]
    lines = (line for body in bodies for line in body.splitlines() if line.startswith("Swarm-Task: "))
    return ", then ".join(list(dict.fromkeys(line.partition(": ")[2] for line in lines))[:MOST_NAMED])


def _landed(reader: Reader, wanted: str) -> _Found:
    """The newest swarm's task of that name, or `SWARM:TASK`, when it has landed and nobody takes it back already."""
    swarm_id, _, name = wanted.rpartition(":")
    swarms = [one for one in reader.swarms() if not swarm_id or one.id == swarm_id]
    for swarm in swarms:
        tasks = reader.tasks(swarm.id)
        task = next((one for one in tasks if one.id == name), None)
        if task is not None:
            commit = _commit(swarm.id, task, tasks)
            _refuse_second(reader, commit)
            return _Found(swarm, task, commit, tasks)
    raise NotFoundError(f"there is no task {wanted!r}", mend="see which there are with `swarm report`")


def _refuse_second(reader: Reader, commit: str) -> None:
    """What a swarm has landed, another one takes back."""
    for swarm in reader.swarms():
        if any(planned.reverted == commit for planned in swarm.plan.tasks):
            for one in reader.tasks(swarm.id):
                if one.planned.reverted == commit:
                    _refuse_if_taking_back(one, swarm.id)


def _refuse_if_taking_back(one: Task, swarm_id: SwarmId) -> None:
    if one.state not in TASK_TABLE.terminal or one.state is TaskState.LANDED:
        raise ConflictError(f"{one.id} takes it back, and is {one.state}", where=swarm_id)


def _commit(swarm_id: SwarmId, task: Task, tasks: Sequence[Task]) -> str:
    if task.state is TaskState.SUPERSEDED:
        by = next((one.id for one in tasks if one.planned.supersedes == task.id), None)
        mend = f"swarm revert {by}" if by else ""
        raise ConflictError(f"{task.id} was landed by another task", where=swarm_id, mend=mend)
    if task.state is not TaskState.LANDED or task.commit is None:
        raise ConflictError(f"{task.id} is {task.state}: it has landed nothing", where=swarm_id)
    for one in tasks:
        if one.planned.reverts == task.id:
            _refuse_if_taking_back(one, swarm_id)
    return task.commit


def _planned(found: _Found, changed: Sequence[str], reason: str) -> PlannedTask:
    original = found.task.planned
    taken = {one.id for one in found.tasks}
    name = f"revert-{original.id}"[:100]
    number = 1
    while (task_id := TaskId(name if number == 1 else f"{name}-{number}")) in taken:
        number += 1
    words = words_for("rework", "revert", original=original, commit=found.commit, reason=reason)
    gates = [gate for gate in original.gates if gate not in original.not_required]
    return PlannedTask(
        id=task_id,
        kind=COMMAND,
        title=words.title,
        role=original.role,
        instructions=words.instructions,
        output=words.output,
        owns=tuple(changed),
        acceptance=tuple(Acceptance(one.statement, gates[0]) for one in words.acceptance if gates),
        gates=original.gates,
        not_required=original.not_required,
        run=NOTHING,
        reverts=original.id,
        reverted=found.commit,
    )


def _a_swarm(found: _Found, planned: PlannedTask, head: str, repository: str) -> CreateSwarm:
    """No model is asked and no money is spent: its only task is mechanical."""
    old, options = found.swarm.plan, from_json(found.swarm.options)
    plan = Plan(planned.id, planned.title, planned.instructions, old.stack, old.source, (planned,), old.floors)
    return CreateSwarm(
        project=found.swarm.project,
        repository=repository,
        base=head,
        plan=plan,
        config=options.config,
        agents=1,
        model=options.model,
        runtime=options.runtime,
        approved="asked for by name",
    )
