"""Requests and answers of the control plane's API, version 1."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from swarmworks.base.ids import ChangeId, MessageId, SessionId, SwarmId, TaskId, WorkerId, WorkId
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.domain.plan import Plan
from swarmworks.domain.swarm import StopReason
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.report import (
    AccessReport,
    CostPoint,
    IncidentReport,
    InterventionReport,
    IssueReport,
    RejectionReport,
    SpanReport,
)
from swarmworks.wire.work import AnyResult, AnyWork

MOST_APPROVAL = 2_000


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorBody(Model):
    """Every error answer: `code` names the class in the error tree."""

    code: str
    what: str
    where: str = ""
    mend: str = ""


# --- workers


class PlaneAddress(Model):
    """Where a living control plane is reached: its API by workers and the command line, its gateway by sandboxes."""

    api_url: str
    gateway_url: str


class RegisterWorker(Model):
    name: str = Field(max_length=200)
    capacity: Capacity


class RegisteredWorker(Model):
    """`planes`: every living control plane, so that a worker knows where to go when this one ends."""

    worker_id: WorkerId
    fence: int
    ttl_s: float
    hub: str
    gateway_port: int
    planes: tuple[PlaneAddress, ...] = ()


class RenewWorker(Model):
    fence: int
    holding: tuple[WorkId, ...] = Field(max_length=20_000)


class RenewedWorker(Model):
    """`lost`: end at once, somebody else may have it. `stop`: end gracefully, with the reason; `limited`: the same for sessions
    that ran into a limit of their own. `say`: a person's words to the sessions held, `tell`: the platform's. `hand_over`: sessions
    that are to hand over to a fresh one, and why. `words`: the messages that are said here; the next renewal says that they
    came. `planes`: every living control plane.
    """

    lost: tuple[WorkId, ...] = ()
    stop: dict[WorkId, str] = {}
    limited: dict[WorkId, str] = {}
    say: dict[WorkId, tuple[str, ...]] = {}
    tell: dict[WorkId, tuple[str, ...]] = {}
    hand_over: dict[WorkId, str] = {}
    words: tuple[MessageId, ...] = ()
    planes: tuple[PlaneAddress, ...] = ()


class TaskName(NamedTuple):
    swarm_id: str
    task_id: str


class TasksOver(Model):
    """Asked: which of them have come to their end. Answered: those."""

    tasks: tuple[TaskName, ...] = Field(max_length=1_000)


class LeaseWork(Model):
    fence: int
    free: Capacity
    kinds: tuple[WorkKind, ...] = Field(max_length=10)
    wait_s: float = Field(default=10.0, ge=0, le=30)


class LeasedWork(Model):
    work: tuple[AnyWork, ...]


class FinishWork(Model):
    worker_id: WorkerId
    worker_fence: int
    fence: int
    result: AnyResult


class SessionEvents(Model):
    """Normal-form events of a session, as `wire.session_events` defines them, already bounded."""

    worker_id: WorkerId
    worker_fence: int
    events: tuple[dict[str, Any], ...] = Field(max_length=200)


class CachedGates(Model):
    keys: tuple[str, ...] = Field(max_length=64)


# --- swarms


class CreateSwarm(Model):
    """`config` is the project's configuration in its wire form; money in nano-dollars. `repository` is only read. `approved`: the
    reason of the person who was shown this very plan and said yes, before the swarm was made. `model`: a tier or
    provider:model; `kinds`: what tasks ask for instead, by kind or role; `runtimes`: likewise the programs that do them.
    """

    project: str = Field(max_length=200)
    repository: str = Field(max_length=4_096)
    base: str = Field(max_length=200)
    plan: Plan
    config: SwarmConfig
    agents: int = Field(ge=1, le=1000)
    model: str
    budget_nano_usd: int | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, ge=0)
    runtime: str = Field(default="builtin", max_length=40)
    kinds: dict[str, str] = {}
    runtimes: dict[str, str] = {}
    approved: str | None = Field(default=None, max_length=MOST_APPROVAL)


class ResumeSwarm(Model):
    budget_nano_usd: int | None = Field(default=None, ge=0)
    budget_tokens: int | None = Field(default=None, ge=0)
    budget_calls: int | None = Field(default=None, ge=0)
    retry_blocked: bool = False

    @model_serializer(mode="wrap")
    def _what_is_said(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A control plane that is older than the command knows fewer limits."""
        return {name: value for name, value in serialize(self).items() if value is not None}


class StopSwarm(Model):
    reason: StopReason = StopReason.PERSON


class AgentStatus(Model):
    """What an agent does now: `task_id` None when idle."""

    name: str
    role: str
    task_id: TaskId | None = None
    session_id: SessionId | None = None
    since: datetime | None = None
    doing: str = ""


class WindowStatus(Model):
    """A day or month of the project with a limit. `paused`: nothing new begins in it any more."""

    period: str
    key: str
    ends_at: datetime
    percent: int
    paused: bool
    limit_nano_usd: int | None
    spent_nano_usd: int
    held_nano_usd: int
    tokens_limit: int | None
    tokens_spent: int
    calls_limit: int | None
    calls: int


class MoneyStatus(Model):
    """`windows`: of the whole project, whichever swarm used them."""

    limit_nano_usd: int | None
    spent_nano_usd: int
    held_nano_usd: int
    tokens_limit: int | None
    tokens_spent: int
    calls: int
    tokens_held: int = 0
    calls_limit: int | None = None
    windows: tuple[WindowStatus, ...] = ()


class BlockedTask(Model):
    task_id: TaskId
    title: str
    note: str


class ProviderStatus(Model):
    """A provider's account, or one `model` of it, as one control plane finds it: `answers`, or why it does not
    (`rate_limited`, `overloaded`, `failing`, `key_refused`, `no_credit`). `retry_in_s`: until it is asked again; None while it
    is. `waiting`: calls that wait for the account.
    """

    account: str
    model: str | None = None
    state: str
    retry_in_s: float | None = None
    waiting: int = 0
    in_flight: int = 0


class SwarmStatus(Model):
    """`version` grows with every event: ask again with it to wait for news. `inbox`: how many things wait for a person.
    `planning`: its result is a plan file, and its branch is never delivered. `delivered`: the branches that have `head`.
    `providers`: those that do not simply answer. `fallbacks`: the model that answers in the place of a tier's first choice.
    """

    id: SwarmId
    project: str
    plan_name: str
    state: str
    reason: str | None
    version: int
    created_at: datetime
    ended_at: datetime | None
    elapsed_s: float
    tasks: dict[str, int]
    agents: tuple[AgentStatus, ...]
    queue: tuple[str, ...]
    building: str | None
    blocked: tuple[BlockedTask, ...]
    money: MoneyStatus
    tests: int | None
    coverage_percent: float | None
    landed_commits: int
    integration_branch: str
    head: str
    remaining_s: float | None
    inbox: int = 0
    planning: bool = False
    parked: tuple[BlockedTask, ...] = ()
    delivered: tuple[str, ...] = ()
    providers: tuple[ProviderStatus, ...] = ()
    fallbacks: dict[str, str] = {}


class QueueRow(Model):
    """A change in the merge queue. `state`: judged, passed, suspect or waiting. `expected_s` until it lands if nothing fails."""

    place: int
    task_id: TaskId
    change_id: ChangeId
    submitted_at: datetime
    state: str
    why: str
    expected_s: float | None


class QueueStatus(Model):
    """`frozen`: why nothing lands. `failure_percent` of the changes decided lately. `run_s`: how long a run of the gates takes."""

    swarm_id: SwarmId
    head: str
    frozen: str | None
    failure_percent: float
    run_s: float | None
    rows: tuple[QueueRow, ...]


class SwarmSummary(Model):
    id: SwarmId
    project: str
    plan_name: str
    state: str
    reason: str | None
    created_at: datetime
    ended_at: datetime | None


class EventRow(Model):
    seq: int
    at: datetime
    kind: str
    actor: str
    task_id: str | None
    session_id: str | None
    data: dict[str, Any]


class EventPage(Model):
    events: tuple[EventRow, ...]
    state: str


class AgentReport(Model):
    name: str
    role: str
    sessions: int
    landed: int
    first_pass_landed: int
    calls: int
    tokens: int
    cost_nano_usd: int


class ModelReport(Model):
    """A model that was asked, by its full name; `calls` are those it may have cost."""

    model: str
    calls: int
    tokens: int
    cost_nano_usd: int


class TaskReport(Model):
    id: TaskId
    kind: str
    title: str
    state: str
    attempts: int
    sessions: int
    agent: str | None
    commit: str | None
    note: str | None
    depends_on: tuple[TaskId, ...] = ()


class CodeReport(Model):
    """Measured on the landed tree with radon. `debt_hours` by the method stated in `debt_method`."""

    files: int
    lines: int
    source_lines: int
    complexity_mean: float
    complexity_max: int
    complexity_worst: str
    maintainability_mean: float
    maintainability_min: float
    maintainability_worst: str
    debt_hours: float
    debt_method: str


class SandboxReport(Model):
    """What held around so many sessions: the level's name ("" for below the weakest), and of the level `full` what did not."""

    level: str
    lacking: tuple[str, ...]
    sessions: int


class SwarmReport(Model):
    """`left_out`: how many rows of a part are beyond its bound, by the part's name."""

    id: SwarmId
    project: str
    plan_id: str
    plan_name: str
    state: str
    reason: str | None
    model: str
    created_at: datetime
    ended_at: datetime | None
    duration_s: float
    tasks: tuple[TaskReport, ...]
    agents: tuple[AgentReport, ...]
    tests: int | None
    tests_failed: int | None
    coverage_percent: float | None
    calls: int
    input_tokens: int
    output_tokens: int
    spent_nano_usd: int
    peak_nano_usd: int
    limit_nano_usd: int | None
    estimated_calls: int
    gate_runs: dict[str, dict[str, int]]
    rejections: int
    human_interventions: int
    events: int
    chain_intact: bool
    code: CodeReport | None
    code_note: str
    integration_branch: str
    base: str
    head: str
    lines_added: int
    lines_removed: int
    rejected: tuple[RejectionReport, ...] = ()
    issues: tuple[IssueReport, ...] = ()
    interventions: tuple[InterventionReport, ...] = ()
    incidents: tuple[IncidentReport, ...] = ()
    accesses: tuple[AccessReport, ...] = ()
    timeline: tuple[SpanReport, ...] = ()
    costs: tuple[CostPoint, ...] = ()
    models: tuple[ModelReport, ...] = ()
    sandboxes: tuple[SandboxReport, ...] = ()
    left_out: dict[str, int] = {}
