"""Which task first: the one that holds up most. Pure; the ranks are computed once, when a swarm is made."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from swarmworks.base.errors import RejectedError

if TYPE_CHECKING:
    from swarmworks.base.ids import TaskId
    from swarmworks.domain.plan import Plan, PlannedTask

_MOST_PATHS = 2**62
"""Paths through a graph double with every diamond; beyond this they are all simply many."""


def rank(plan: Plan) -> dict[TaskId, int]:
    """A rank for each task, higher first, dense from 1: the longest estimated chain behind it (critical path), then the
    number of paths behind it, then its priority, then its place in the plan. O(n + m) and one sort.

    RejectedError when a task depends on one that is not there, or on itself by a cycle.
    """
    dependents = _dependents(plan)
    chain_s: dict[TaskId, int] = {}
    paths: dict[TaskId, int] = {}
    for task in reversed(_dependencies_first(plan, dependents)):
        behind = dependents[task.id]
        chain_s[task.id] = round(task.estimate.minutes * 60) + max((chain_s[each] for each in behind), default=0)
        paths[task.id] = min(_MOST_PATHS, sum(1 + paths[each] for each in behind))
    place = {task.id: number for number, task in enumerate(plan.tasks)}
    last_first = sorted(plan.tasks, key=lambda t: (chain_s[t.id], paths[t.id], t.priority, -place[t.id]))
    return {task.id: number for number, task in enumerate(last_first, start=1)}


def _dependents(plan: Plan) -> dict[TaskId, list[TaskId]]:
    dependents: dict[TaskId, list[TaskId]] = {task.id: [] for task in plan.tasks}
    for task in plan.tasks:
        for needed in dict.fromkeys(task.depends_on):
            if needed not in dependents:
                raise RejectedError(
                    f"it depends on {needed}, which the plan does not have",
                    where=f"task {task.id}",
                    mend="name a task of this plan",
                )
            dependents[needed].append(task.id)
    return dependents


def _dependencies_first(plan: Plan, dependents: dict[TaskId, list[TaskId]]) -> list[PlannedTask]:
    tasks = {task.id: task for task in plan.tasks}
    missing = {task.id: len(set(task.depends_on)) for task in plan.tasks}
    pending = deque(task.id for task in plan.tasks if not missing[task.id])
    done: list[PlannedTask] = []
    while pending:
        task_id = pending.popleft()
        done.append(tasks[task_id])
        for dependent in dependents[task_id]:
            missing[dependent] -= 1
            if not missing[dependent]:
                pending.append(dependent)
    if len(done) < len(tasks):
        stuck = ", ".join(sorted(task_id for task_id, count in missing.items() if count)[:5])
        raise RejectedError(f"tasks wait for each other: {stuck}", where="plan", mend="remove one of the dependencies")
    return done
