"""A plan: tasks, what each may write, what each must prove, and the order between them. Data a person reviews."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from swarmworks.base.ids import TaskId

# Task kinds the product knows something about. A plan may name others: a kind is a word, not a class.
SCAFFOLD = "scaffold"
IMPLEMENT_DATABASE = "implement_database"
IMPLEMENT_ENDPOINT = "implement_endpoint"
IMPLEMENT_FEATURE = "implement_feature"
WRITE_TESTS = "write_tests"
VERIFY_QUALITY = "verify_quality"
FIX_BUG = "fix_bug"
REFACTOR = "refactor"
DOCUMENT = "document"
PLAN = "plan"  # its change is a plan file
COMMAND = "command"  # its change is what its own command makes of the working copy; no model is asked

PLAN_FILE = "plan.yaml"
"""What a task of kind `plan` writes. It is read from the swarm's branch; the branch itself is never delivered."""

PLAN_GATE = "plan"
"""The gate that judges such a file: built in, and for tasks of kind `plan` alone."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A statement about the result, and the gate whose pass proves it."""

    statement: str
    gate: str


@dataclass(frozen=True, slots=True)
class Estimate:
    tokens: int = 20_000
    minutes: float = 3.0


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """`owns` are repository paths the task may write; a trailing slash means the whole folder. `reads` are neighbours put
    into the agent's context. `specification` is a YAML excerpt with the facts; `contracts` the interfaces to keep.
    `gates` must pass; `not_required` maps a gate to the reason why it does not apply. `covers` are the files whose
    coverage this task's tests answer for. `supersedes` is the task whose parked change this one lands with its own. `run` is
    the shell command that does a task of kind `command`. `reverts` is the task whose landed change, the commit
    `reverted`, this one takes back.
    """

    id: TaskId
    kind: str
    title: str
    role: str
    instructions: str
    output: str
    depends_on: tuple[TaskId, ...] = ()
    owns: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    specification: str = ""
    contracts: tuple[str, ...] = ()
    acceptance: tuple[Acceptance, ...] = ()
    gates: tuple[str, ...] = ()
    not_required: Mapping[str, str] = field(default_factory=dict[str, str])
    covers: tuple[str, ...] = ()
    convoy: str | None = None
    priority: int = 0
    estimate: Estimate = Estimate()
    supersedes: TaskId | None = None
    run: str = ""
    reverts: TaskId | None = None
    reverted: str = ""


@dataclass(frozen=True, slots=True)
class Stack:
    language: str
    framework: str
    database: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the plan came from: `kind` is `resources`, `text`, `issues` or `command`; `sha256` of the bytes that were read."""

    kind: str
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Plan:
    """`floors` maps a gate's name to the least value it must reach, such as `coverage: 80.0` (percent)."""

    id: str
    name: str
    description: str
    stack: Stack
    source: Source
    tasks: tuple[PlannedTask, ...]
    floors: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def is_planning(self) -> bool:
        """Whether its swarm writes a plan and nothing else: there is nothing in it to deliver."""
        return bool(self.tasks) and all(task.kind == PLAN for task in self.tasks)

    @property
    def is_mechanical(self) -> bool:
        """Whether commands do all of it, and no model is needed."""
        return bool(self.tasks) and all(task.run for task in self.tasks)

    def task(self, task_id: TaskId) -> PlannedTask:
        return next(task for task in self.tasks if task.id == task_id)
