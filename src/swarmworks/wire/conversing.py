"""Looking into a session and speaking to it: the API's requests and answers."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from swarmworks.base.ids import MessageId, SessionId, TaskId

MOST_SAID_CHARS = 4_000
MOST_STOP_REASON = 600
MOST_SESSION_NAME = 200


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SessionRow(Model):
    """One session: `agent` is the agent's name, `runtime` its program. `outcome` is None while it runs."""

    id: SessionId
    task_id: TaskId
    title: str
    agent: str
    model: str
    runtime: str
    attempt: int
    state: str
    outcome: str | None
    reason: str | None
    started_at: datetime | None
    ended_at: datetime | None


class Say(Model):
    """`to` names a session, or a task or agent with a session that runs."""

    to: str = Field(min_length=1, max_length=MOST_SESSION_NAME)
    text: str = Field(min_length=1, max_length=MOST_SAID_CHARS)


class Said(Model):
    message_id: MessageId
    session: SessionRow


class StopSession(Model):
    """`of` names a session, or a task or agent with a session that runs."""

    of: str = Field(min_length=1, max_length=MOST_SESSION_NAME)
    reason: str = Field(min_length=1, max_length=MOST_STOP_REASON)
