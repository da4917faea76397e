"""The names of the hub's references that more than one part of the house uses."""

from __future__ import annotations

from swarmworks.base.ids import ChangeId, SwarmId, TaskId

WORK = "refs/swarm/work/"


def work_ref(swarm_id: SwarmId, task_id: TaskId, fence: int) -> str:
    """Where a session's work is kept: its own, by the fence it was started with."""
    return f"{WORK}{swarm_id}/{task_id}/{fence}"


def pin_ref(change_id: ChangeId) -> str:
    """What was handed in, whatever becomes of the session's own reference, until long after its swarm has landed."""
    return f"refs/swarm/pin/{change_id}"
