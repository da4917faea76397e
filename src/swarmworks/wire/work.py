"""What a worker is handed under a lease, and what it hands back. Version 1."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from swarmworks.base.ids import ChangeId, SessionId, SwarmId, TaskId, WorkId
from swarmworks.domain.agent import Agent
from swarmworks.domain.gate import GateResult, GateStage
from swarmworks.domain.lease import Capacity
from swarmworks.domain.plan import PlannedTask, Stack
from swarmworks.domain.session import SessionLimits, SessionOutcome


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Leased(Model):
    """What all leased work has. `fence` is to be shown at the finish; `need` is what it takes of the worker."""

    work_id: WorkId
    fence: int
    need: Capacity
    swarm_id: SwarmId
    task: PlannedTask


class NoteFromTask(Model):
    task_id: TaskId
    text: str


class SessionWork(Leased):
    """`wire` is the wire format the agent speaks; `token` its key for the gateway, good for this session only. `rejection`
    and `last_head` are what became of the attempt before.
    """

    kind: Literal["session"] = "session"
    session_id: SessionId
    plan_id: str
    plan_name: str
    stack: Stack
    attempt: int
    max_attempts: int
    base: str
    agent: Agent
    model: str
    wire: Literal["openai", "anthropic"]
    token: str = Field(repr=False)
    limits: SessionLimits
    rejection: str | None = None
    last_head: str | None = None
    notes: tuple[NoteFromTask, ...] = ()


class GatesWork(Leased):
    """The gates of `stage` on the tree of `head`, for what changed since `base`."""

    kind: Literal["gates"] = "gates"
    change_id: ChangeId
    stage: GateStage
    base: str
    head: str
    floors: dict[str, float] = {}


class BuildWork(Leased):
    """Merge `head` onto `target`, commit the merged tree as `author` with `message`, and run the candidate's gates. With
    `after`, the target is the candidate that change is being built into, itself built on `target`.
    """

    kind: Literal["build"] = "build"
    change_id: ChangeId
    base: str
    head: str
    target: str
    after: ChangeId | None = None
    author: Agent
    message: str
    at: datetime
    floors: dict[str, float] = {}


Path = Annotated[str, Field(max_length=4_096)]
Text = Annotated[str, Field(max_length=100_000)]
MOST_PATHS = 20_000

AnyWork = Annotated[SessionWork | GatesWork | BuildWork, Field(discriminator="kind")]


class SessionResult(Model):
    """`head` is the commit the session's work was kept under, the same as `base` when nothing was written. `problems` are
    what the handoff claimed and the diff did not show; `properties` what the sandbox really held.
    """

    kind: Literal["session"] = "session"
    outcome: SessionOutcome
    reason: Text | None = None
    base: str = Field(max_length=200)
    head: str = Field(max_length=200)
    handoff: str | None = Field(default=None, max_length=1 << 20)
    problems: tuple[Text, ...] = Field(default=(), max_length=200)
    changed: tuple[Path, ...] = Field(default=(), max_length=MOST_PATHS)
    properties: tuple[Path, ...] = Field(default=(), max_length=200)
    peak_memory_bytes: int = 0
    prompt_sha256: str = Field(default="", max_length=200)


class GatesResult(Model):
    kind: Literal["gates"] = "gates"
    tree: str
    results: tuple[GateResult, ...] = Field(max_length=200)
    cache_keys: dict[str, str] = {}


class BuildResult(Model):
    """`built`: `candidate` is the commit whose `tree` the gates judged. `conflict`: nothing was built."""

    kind: Literal["build"] = "build"
    status: Literal["built", "conflict"]
    target: str
    candidate: str | None = None
    tree: str = ""
    conflict_paths: tuple[Path, ...] = Field(default=(), max_length=MOST_PATHS)
    conflict_detail: Text = ""
    results: tuple[GateResult, ...] = Field(default=(), max_length=200)
    cache_keys: dict[str, str] = {}


AnyResult = Annotated[SessionResult | GatesResult | BuildResult, Field(discriminator="kind")]
WORK: TypeAdapter[AnyWork] = TypeAdapter(AnyWork)
RESULT: TypeAdapter[AnyResult] = TypeAdapter(AnyResult)
