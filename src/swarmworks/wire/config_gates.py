"""`[gates]` of swarm.toml: the automated checks of the project, and which of them a task has to pass. See docs/gates.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from swarmworks.domain.gate import GateDefinition, GateStage
from swarmworks.domain.plan import PLAN_GATE
from swarmworks.wire.config_types import Line, Name, Seconds, Section

BUILT_IN_GATES = ("scope", "secrets")
RESERVED_GATES = (*BUILT_IN_GATES, PLAN_GATE, "required")

ReaderName = Literal["exit", "junit", "coverage", "ruff", "mypy", "lines"]


class GateSection(Section):
    """One gate: a command (`run`), or the reading of a report another gate left (`from`)."""

    run: Line | None = None
    run_on_change: Line | None = None
    source: Annotated[Name | None, Field(alias="from")] = None
    reads: ReaderName = "exit"
    stages: frozenset[Literal["change", "candidate"]] = frozenset({"candidate"})
    timeout_s: Seconds = 300.0
    floor: Annotated[float, Field(ge=0, le=100)] | None = None
    cache: bool = False
    nothing_exit_codes: tuple[Annotated[int, Field(ge=0, le=255)], ...] = ()

    @model_validator(mode="after")
    def _one_origin(self) -> GateSection:
        if (self.run is None) == (self.source is None):
            raise ValueError("a gate has either run (a command) or from (the gate whose report it reads)")
        if self.source is not None and self.reads not in {"coverage", "junit"}:
            raise ValueError('a gate with from reads a report: reads = "coverage" or "junit"')
        if self.run_on_change is not None and self.run is None:
            raise ValueError("run_on_change is a shorter run, and there is no run")
        if not self.stages:
            raise ValueError("a gate without a stage never runs")
        return self


class GatesSection(Section):
    """All gates of the project. `explicitly_none` is the written choice `gates = "none"`, never a default."""

    commands: dict[Name, GateSection] = Field(default_factory=dict[str, GateSection])
    required: dict[Name, tuple[str, ...]] = Field(default_factory=dict[str, tuple[str, ...]])
    explicitly_none: bool = False

    @model_validator(mode="after")
    def _references(self) -> GatesSection:
        known = {*self.commands, *BUILT_IN_GATES}
        for name, gate in self.commands.items():
            if name in RESERVED_GATES:
                raise ValueError(f"{name!r} is built in and cannot be configured")
            if gate.source is None:
                continue
            source = self.commands.get(gate.source)
            if source is None or source.run is None:
                raise ValueError(f"gate {name!r} reads from {gate.source!r}, which is no gate with a command")
            if "change" in gate.stages and source.run_on_change is not None:
                raise ValueError(
                    f"gate {name!r} reads from {gate.source!r}, whose run_on_change leaves no whole report"
                )
            if not gate.stages <= source.stages:
                raise ValueError(f"gate {name!r} has a stage that {gate.source!r}, which it reads from, has not")
        for kind, names in self.required.items():
            for name in names:
                if name not in known:
                    raise ValueError(f"required for {kind!r}: there is no gate {name!r}")
        return self


def built_in_gates() -> tuple[GateDefinition, ...]:
    stages = frozenset({GateStage.CHANGE, GateStage.CANDIDATE})
    return tuple(GateDefinition(name=name, command=None, reader=name, stages=stages) for name in BUILT_IN_GATES)


def plan_gate() -> GateDefinition:
    stages = frozenset({GateStage.CHANGE, GateStage.CANDIDATE})
    return GateDefinition(name=PLAN_GATE, command=None, reader=PLAN_GATE, stages=stages)


def definition_of(name: str, gate: GateSection) -> GateDefinition:
    """Every gate runs on the candidate, whatever other stage it is given: what lands is judged whole."""
    stages = {GateStage.CANDIDATE, *(GateStage(stage) for stage in gate.stages)}
    if gate.run_on_change is not None:
        stages.add(GateStage.CHANGE)
    return GateDefinition(
        name=name,
        command=gate.run,
        on_change=gate.run_on_change,
        reader=gate.reads,
        stages=frozenset(stages),
        timeout_s=gate.timeout_s,
        nothing_exit_codes=gate.nothing_exit_codes,
        floor=gate.floor,
        cache=gate.cache,
        source=gate.source,
    )
