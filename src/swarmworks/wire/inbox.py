"""The inbox: what waits for a person, with what is needed to decide, and what the person says to it. Version 1."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from swarmworks.base.ids import ChangeId, SessionId, SwarmId, TaskId

MOST_WORDS = 8_000


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class InboxItem(Model):
    """`id` is the review's, the question's or the blocked task's; `short` the shortest part of it that means no other.
    `what` is the question that is asked, or why the task is blocked. `waiting` counts the tasks that cannot start before.
    """

    id: str
    short: str
    kind: Literal["review", "question", "blocked"]
    swarm_id: SwarmId
    swarm_state: str
    plan_name: str
    task_id: TaskId | None
    title: str
    what: str
    since: datetime
    age_s: float
    waiting: int
    gate: str | None = None
    subject: str | None = None
    subject_id: str | None = None
    deciders: tuple[str, ...] = ()
    advice: str | None = None

    @property
    def actions(self) -> tuple[str, ...]:
        return {"review": ("approve", "reject"), "question": ("answer",), "blocked": ("retry", "cancel")}[self.kind]


class Inbox(Model):
    items: tuple[InboxItem, ...]


class InboxFinding(Model):
    """One concrete thing that was wrong, and what found it."""

    gate: str
    file: str = ""
    line: int = 0
    message: str


class InboxAttempt(Model):
    """What one session tried: what it says it did, and what became of it. `failed` are gates with their summaries."""

    session_id: SessionId
    attempt: int
    agent: str
    model: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str
    reason: str
    did: str
    cost_nano_usd: int
    tokens: int
    change_id: ChangeId | None = None
    change_state: str | None = None
    passed: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    findings: tuple[InboxFinding, ...] = ()


class ChangedFile(Model):
    """`added` and `removed` are None for a binary file."""

    path: str
    status: str
    added: int | None
    removed: int | None


class ChangeSize(Model):
    files: int
    added: int
    removed: int


class InboxDetail(Model):
    """`diff` is the change's, or the last attempt's, cut to a bound; `plan` the tasks of a plan that is to be approved. Where
    `changed` or `plan` is cut, `whole` and `tasks` say what there is in all.
    """

    item: InboxItem
    instructions: str = ""
    acceptance: tuple[str, ...] = ()
    rejection: str = ""
    findings: tuple[InboxFinding, ...] = ()
    attempts: tuple[InboxAttempt, ...] = ()
    dependents: tuple[TaskId, ...] = ()
    guidance: str = ""
    plan: tuple[str, ...] = ()
    changed: tuple[ChangedFile, ...] = ()
    diff: str = ""
    diff_cut: bool = False
    tasks: int = 0
    whole: ChangeSize | None = None

    @model_serializer(mode="wrap")
    def _what_is_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A command that is older reads what is not cut."""
        written: dict[str, Any] = handler(self)
        return {name: value for name, value in written.items() if name not in {"tasks", "whole"} or value}


class Approve(Model):
    reason: str = Field(default="", max_length=MOST_WORDS)


class Reject(Model):
    reason: str = Field(max_length=MOST_WORDS)


class AnswerQuestion(Model):
    text: str = Field(max_length=MOST_WORDS)


class RetryTask(Model):
    """Other than it was planned: words to the agent, another model (`provider:model`), another agent (its name)."""

    note: str | None = Field(default=None, max_length=MOST_WORDS)
    model: str | None = Field(default=None, max_length=200)
    agent: str | None = Field(default=None, max_length=100)


class CancelTask(Model):
    reason: str = Field(max_length=MOST_WORDS)
    with_dependents: bool = False


class RevertTask(Model):
    """`repository` is where the project is, on the control plane's machine."""

    reason: str = Field(default="", max_length=MOST_WORDS)
    repository: str = Field(max_length=4_096)


class Decided(Model):
    """`said` is what was done, in a sentence. `goes_on`: the swarm is at work on it now; otherwise it waits for a
    `swarm resume`, or for the next decision.
    """

    id: str
    swarm_id: SwarmId
    task_id: TaskId | None
    said: str
    swarm_state: str
    goes_on: bool
    still_needs_you: bool = False
