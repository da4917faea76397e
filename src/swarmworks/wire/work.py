"""What a worker is handed under a lease, and what it hands back. Version 1."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, TypeAdapter, model_serializer

from swarmworks.base.ids import ChangeId, DeliveryId, ReviewId, SessionId, SwarmId, TaskId, WorkId
from swarmworks.domain.agent import Agent
from swarmworks.domain.gate import GateResult, GateStage
from swarmworks.domain.lease import Capacity
from swarmworks.domain.plan import PlannedTask, Stack
from swarmworks.domain.session import SessionLimits, SessionOutcome
from swarmworks.policy.tiers import Wire


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Leased(Model):
    """What all leased work has. `fence` is to be shown at the finish; `need` is what it takes of the worker. Written without what
    is as it usually is: a worker that is older, and knows nothing of a field, can do the work that has no use of it.
    """

    work_id: WorkId
    fence: int
    need: Capacity
    swarm_id: SwarmId
    task: PlannedTask

    @model_serializer(mode="wrap")
    def _what_is_unusual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        usual = {name: field.get_default() for name, field in type(self).model_fields.items() if name != "kind"}
        written: dict[str, Any] = handler(self)
        return {
            name: value for name, value in written.items() if name not in usual or getattr(self, name) != usual[name]
        }


class NoteFromTask(Model):
    task_id: TaskId
    text: str


class SessionWork(Leased):
    """`wire` is the wire format the agent speaks; `token` its key for the gateway, good for this session only. `rejection`
    and `last_head` are what became of the attempt before. `runtime` names the agent's program. `start`, a commit, is what
    the working copy begins with on top of `base`: its whole difference from its own base `start_base`, already applied.
    `guidance` is what a person wants the agent to know. `summary` is the handoff of a session whose context was used up: this
    one goes on from it, and from `start`, which is that one's work. `resolves`: `start` conflicts with `base`; the working
    copy holds both, with git's markers where they do; `regenerates`: with the branch's version of generated files, which the
    project's own commands make anew, in the place of an agent.
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
    wire: Wire
    token: str = Field(repr=False)
    limits: SessionLimits
    rejection: str | None = None
    last_head: str | None = None
    notes: tuple[NoteFromTask, ...] = ()
    runtime: str = "builtin"
    start: str | None = None
    start_base: str | None = None
    guidance: str | None = None
    resolves: bool = False
    regenerates: bool = False
    summary: str | None = Field(default=None, max_length=1 << 20)


class GatesWork(Leased):
    """The gates of `stage` on the tree of `head`, for what changed since `base`. `tests` are to be named when they passed."""

    kind: Literal["gates"] = "gates"
    change_id: ChangeId
    stage: GateStage
    base: str
    head: str
    floors: dict[str, float] = {}
    tests: tuple[str, ...] = ()


class BuildWork(Leased):
    """Run the candidate's gates on `candidate`, a commit that the merge queue made: `members`, of which `change_id` is the last,
    merged onto `since` one on top of the other. `target` is its parent, `head` and `base` the last change's own, `author`,
    `message` and `at` those of the commit. `after` is the change it stands on that has not landed yet. `task` stands for all
    of them: what they may write and what they must pass, together. `tests` are to be named when they passed. `pushed`: what
    somebody pushed to the branch and no candidate has passed on yet; whatever fails may fail there already.
    """

    kind: Literal["build"] = "build"
    change_id: ChangeId
    base: str
    head: str
    target: str
    candidate: str = ""
    since: str = ""
    members: tuple[ChangeId, ...] = ()
    after: ChangeId | None = None
    author: Agent
    message: str
    at: datetime
    floors: dict[str, float] = {}
    tests: tuple[str, ...] = ()
    pushed: str | None = None


class ReviewWork(Leased):
    """A model's look at a change, charged to the task's account by a session of its own, which is there once leased."""

    kind: Literal["review"] = "review"
    review_id: ReviewId
    change_id: ChangeId
    gate: str
    question: str
    base: str
    head: str
    model: str
    wire: Literal["openai", "anthropic"] = "openai"
    session_id: SessionId | None = None
    token: str = Field(default="", repr=False)


class DeliveryWork(Leased):
    """Merge `head`, the integration branch, into `target`, the user's, whose own commits stay first, and run `gates` on the
    merged tree. `task` stands for none of the plan's.
    """

    kind: Literal["delivery"] = "delivery"
    delivery_id: DeliveryId
    target: str
    head: str
    message: str
    at: datetime
    gates: tuple[str, ...]
    floors: dict[str, float] = {}
    tests: tuple[str, ...] = ()


Path = Annotated[str, Field(max_length=4_096)]
Text = Annotated[str, Field(max_length=100_000)]
MOST_PATHS = 20_000

AnyWork = Annotated[SessionWork | GatesWork | BuildWork | ReviewWork | DeliveryWork, Field(discriminator="kind")]


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


class ReviewFinding(Model):
    file: Annotated[str, Field(max_length=500)] = ""
    line: Annotated[int, Field(ge=0)] = 0
    message: Annotated[str, Field(min_length=1, max_length=1_000)]


class ReviewResult(Model):
    """`verdict` none: the model gave no verdict that could be read, or could not be asked; `summary` says which."""

    kind: Literal["review"] = "review"
    verdict: Literal["pass", "reject", "none"]
    summary: str = Field(max_length=2_000)
    findings: tuple[ReviewFinding, ...] = Field(default=(), max_length=50)


class DeliveryResult(Model):
    """`built`: `candidate` is the merge commit whose `tree` the gates judged. `conflict` and `failed`: there is none, the
    latter for the reason in `detail`.
    """

    kind: Literal["delivery"] = "delivery"
    status: Literal["built", "conflict", "failed"]
    candidate: str | None = None
    tree: str = ""
    conflict_paths: tuple[Path, ...] = Field(default=(), max_length=MOST_PATHS)
    detail: Text = ""
    results: tuple[GateResult, ...] = Field(default=(), max_length=200)


AnyResult = Annotated[
    SessionResult | GatesResult | BuildResult | ReviewResult | DeliveryResult, Field(discriminator="kind")
]
WORK: TypeAdapter[AnyWork] = TypeAdapter(AnyWork)
RESULT: TypeAdapter[AnyResult] = TypeAdapter(AnyResult)
