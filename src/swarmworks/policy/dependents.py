"""Which tasks cannot start before another has landed, however far behind it they are."""

from __future__ import annotations

from collections.abc import Sequence

from swarmworks.base.ids import TaskId
from swarmworks.domain.plan import PlannedTask


def dependents_of(task_id: TaskId, tasks: Sequence[PlannedTask]) -> tuple[TaskId, ...]:
    """In plan order, directly or through others. A task that supersedes the other counts as well: it carries its work."""
    found = {task_id}
    grown = True
    while grown:
        more = {
            task.id
            for task in tasks
            if task.id not in found and (found.intersection(task.depends_on) or task.supersedes in found)
        }
        found |= more
        grown = bool(more)
    return tuple(task.id for task in tasks if task.id in found and task.id != task_id)
