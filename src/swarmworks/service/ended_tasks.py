"""Which tasks have come to their end, for workers that keep something for them."""

from __future__ import annotations

from collections.abc import Iterable

from swarmworks.base.errors import NotFoundError
from swarmworks.base.ids import SwarmId, TaskId
from swarmworks.domain.task import SATISFIED, TaskState
from swarmworks.store.protocol import Reader
from swarmworks.wire.api import TaskName

OVER = SATISFIED | {TaskState.CANCELLED}


def over(reader: Reader, tasks: Iterable[TaskName]) -> list[TaskName]:
    """One that is not known any more is over, too."""
    return [task for task in tasks if _is_over(reader, task)]


def _is_over(reader: Reader, task: TaskName) -> bool:
    try:
        return reader.task(SwarmId(task.swarm_id), TaskId(task.task_id)).state in OVER
    except NotFoundError:
        return True
