"""Builds one planned task from its words, facts and files; knows gates and estimates by kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swarmworks.base.ids import TaskId
from swarmworks.domain import plan as kinds
from swarmworks.domain.plan import Estimate, PlannedTask
from swarmworks.policy.planning.facts import dump
from swarmworks.policy.planning.texts import words_for

if TYPE_CHECKING:
    from swarmworks.policy.planning.model import Project

_ALWAYS = ("scope", "secrets", "syntax", "lint", "types")
GATES = {
    kinds.WRITE_TESTS: (*_ALWAYS, "tests", "coverage"),
    kinds.VERIFY_QUALITY: (*_ALWAYS, "smoke", "tests", "coverage"),
}
BUILD_GATES = (*_ALWAYS, "smoke", "tests")

ROLES = {
    kinds.SCAFFOLD: "architect",
    kinds.IMPLEMENT_DATABASE: "database",
    kinds.IMPLEMENT_ENDPOINT: "api",
    kinds.IMPLEMENT_FEATURE: "api",
    kinds.WRITE_TESTS: "testing",
    kinds.VERIFY_QUALITY: "testing",
}

# Tokens are the prompt and its growth over a session's turns; minutes assume a frontier model. Replaced by measured
# values once a project has a record of its own.
ESTIMATES = {
    kinds.SCAFFOLD: Estimate(60_000, 5.0),
    kinds.IMPLEMENT_DATABASE: Estimate(50_000, 4.0),
    kinds.IMPLEMENT_ENDPOINT: Estimate(30_000, 3.0),
    kinds.IMPLEMENT_FEATURE: Estimate(40_000, 4.0),
    kinds.WRITE_TESTS: Estimate(40_000, 4.0),
    kinds.VERIFY_QUALITY: Estimate(30_000, 3.0),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a task stands: its id and kind, what it waits for, writes and reads."""

    id: str
    kind: str
    depends_on: tuple[str, ...]
    owns: tuple[str, ...]
    reads: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    convoy: str | None = None


def build(project: Project, shape: Shape, words: str, specification: dict[str, Any], **context: Any) -> PlannedTask:
    found = words_for(project.layout.texts, words, project=project, **context)
    gates = GATES.get(shape.kind, BUILD_GATES)
    not_required: dict[str, str] = {}
    if shape.kind == kinds.WRITE_TESTS and not shape.covers:
        gates = tuple(gate for gate in gates if gate != "coverage")
        not_required["coverage"] = "these tests prove a requirement and answer for no file"
    return PlannedTask(
        id=TaskId(shape.id),
        kind=shape.kind,
        title=found.title,
        role=ROLES[shape.kind],
        instructions=found.instructions,
        output=found.output,
        depends_on=tuple(TaskId(each) for each in shape.depends_on),
        owns=shape.owns,
        reads=shape.reads,
        specification=dump(specification),
        contracts=found.contracts,
        acceptance=tuple(each for each in found.acceptance if each.gate in gates),
        gates=gates,
        not_required=not_required,
        covers=shape.covers,
        convoy=shape.convoy,
        estimate=ESTIMATES[shape.kind],
    )
