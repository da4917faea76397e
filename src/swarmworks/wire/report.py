"""The parts of a swarm's report that tell its story: what was rejected and what it taught, what was found, who stepped in, what went
wrong, who worked when, and what it cost when. Times are in seconds after the swarm was created.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RejectionReport(Model):
    """One rejected attempt. `gate`, `file` and `line` name the first finding. `changed` are the files that differ between this
    attempt and the next one, `became` how that next one ended: `landed`, `nothing to do`, `rejected again`, ... or "" for none.
    """

    at_s: float
    task_id: str
    agent: str
    attempt: int
    kind: str
    gate: str = ""
    file: str = ""
    line: int = 0
    summary: str = ""
    changed: tuple[str, ...] = ()
    changed_more: int = 0
    became: str = ""


class IssueReport(Model):
    """A fault that one task's test found in what another had made, and the task that mends it."""

    found_by: str
    fix: str
    what: str
    state: str
    commit: str | None = None


class InterventionReport(Model):
    at_s: float
    person: str
    what: str
    why: str = ""
    task_id: str | None = None


class IncidentReport(Model):
    """Something that went wrong and was dealt with: a lost session, a gate that could not run, a limit."""

    at_s: float
    kind: str
    what: str
    task_id: str | None = None
    agent: str = ""


class AccessReport(Model):
    """What sandboxes reached besides the gateway, or were kept from: `to` is `host:port` or `database NAME`, asked for `times`
    times. `tasks` are the first of those whose sessions asked.
    """

    to: str
    verdict: str
    reason: str = ""
    times: int
    tasks: tuple[str, ...] = ()


class SpanReport(Model):
    """A session, from its claim to its end."""

    session_id: str
    agent: str
    task_id: str
    attempt: int
    start_s: float
    end_s: float
    outcome: str
    tokens: int
    cost_nano_usd: int


class CostPoint(Model):
    """What all sessions that had ended by then had spent."""

    at_s: float
    spent_nano_usd: int
    tokens: int
