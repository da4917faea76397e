"""The time all sessions of a task take together, against the limit `task_wall_s`: a session gets no more than what is left,
and a task with nothing left is tried no more.
"""

from __future__ import annotations

from dataclasses import replace

from swarmworks.base.ids import SwarmId, TaskId
from swarmworks.domain.session import Session, SessionLimits, SessionState
from swarmworks.store.protocol import Reader
from swarmworks.wire.config import SwarmConfig

LEAST_S = 10.0
"""With less than this no session is worth starting."""


def limits_of(reader: Reader, session: Session, config: SwarmConfig) -> SessionLimits:
    limits = config.session_limits()
    left_s = left(reader, session.swarm_id, session.task_id, config)
    return limits if left_s is None else replace(limits, wall_s=min(limits.wall_s, max(LEAST_S, left_s)))


def used_up(reader: Reader, swarm_id: SwarmId, task_id: TaskId, config: SwarmConfig) -> str | None:
    """In words, when the task has no time left for another session."""
    left_s = left(reader, swarm_id, task_id, config)
    if left_s is None or left_s >= LEAST_S:
        return None
    return f"its sessions took all of the {config.limits.task_wall_s:g} s a task may take (limits.task_wall_s)"


def left(reader: Reader, swarm_id: SwarmId, task_id: TaskId, config: SwarmConfig) -> float | None:
    """Seconds; None without a limit."""
    if config.limits.task_wall_s is None:
        return None
    ended = reader.sessions(swarm_id, task_id=task_id, states=(SessionState.ENDED,))
    return config.limits.task_wall_s - sum(_took_s(one) for one in ended)


def _took_s(session: Session) -> float:
    if session.started_at is None or session.ended_at is None:
        return 0.0
    return max(0.0, (session.ended_at - session.started_at).total_seconds())
