"""Mail between the agents of a swarm: from a session to an agent, whatever it works on when it reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from swarmworks.base.ids import AgentId, MessageId, SessionId, SwarmId, TaskId

EVERYBODY = "all"
"""In place of a recipient: every agent that the sender may write to. Never the name of a role or agent."""


@dataclass(frozen=True, slots=True)
class Mail:
    """`sender` and `task_id` are the session's agent and task."""

    id: MessageId
    swarm_id: SwarmId
    session_id: SessionId
    task_id: TaskId
    sender: AgentId
    recipient: AgentId
    text: str
    sent_at: datetime
    read_at: datetime | None = None
