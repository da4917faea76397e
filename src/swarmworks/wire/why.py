"""Why something is as it is: what stands in the record behind a change, or behind a task that has none yet."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WhySession(Model):
    """`prompt_sha256` "" for a session that ended before it said so; `taught` why its work did not land."""

    session_id: str
    attempt: int
    agent: str
    model: str
    outcome: str
    reason: str = ""
    started_at: datetime
    prompt_sha256: str = ""
    tokens: int = 0
    cost_nano_usd: int = 0
    taught: str = ""
    answered_by: tuple[str, ...] = ()


class WhyGate(Model):
    """`landed_tree`: it judged exactly the tree that landed."""

    gate: str
    stage: str
    outcome: str
    summary: str
    tree: str
    landed_tree: bool
    cached: bool


class WhyDecision(Model):
    """`by` is `rule:<name>`, `model:<name>`, `person:<name>` or `platform`."""

    at: datetime
    by: str
    what: str
    reason: str = ""


class WhyReport(Model):
    """`chain_break` is the sequence number of the first event that does not fit, None when the log is intact. `landed` is the
    commit on the integration branch, None while there is none.
    """

    swarm_id: str
    plan_id: str
    plan_name: str
    task_id: str
    title: str
    kind: str
    role: str
    state: str
    note: str = ""
    change_id: str | None = None
    change_state: str = ""
    landed: str | None = None
    landed_at: datetime | None = None
    done: str = ""
    session: WhySession | None = None
    sessions: tuple[WhySession, ...] = ()
    gates: tuple[WhyGate, ...] = ()
    decisions: tuple[WhyDecision, ...] = ()
    task_tokens: int = 0
    task_cost_nano_usd: int = 0
    events: int = 0
    chain_break: int | None = None
