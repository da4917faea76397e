"""What a gate run is asked: a tree, what changed in it, which gates, and the means to run them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmworks.domain.gate import GateStage
from swarmworks.domain.isolation import Property
from swarmworks.sandbox.protocol import ProcessLimits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from swarmworks.domain.gate import GateDefinition
    from swarmworks.git.protocol import FileChange
    from swarmworks.worker.environment import BuiltEnvironment


@dataclass(frozen=True, slots=True)
class GatesRequest:
    """`tree` is an exported folder without `.git`; it is only read. `changes` and `diff` are against the base the task
    started from (stage change) or the integration branch (stage candidate). `specification` is the task's.

    `required` are the gates the task must pass, `not_required` those its plan leaves out, with the reason. `owns`,
    `covers` and `floors` are the task's and the plan's. `tests` are names of tests to be told of when they passed, besides
    those in files that the task owns. `protected` are patterns, see `wire.protected`. `role_writes` are patterns of
    what agents of the task's `role` may write at all; None for everything.

    `scratch` is a folder of this run's own, for private copies; it is emptied of them. `caches` is the folder the tool
    caches of the project live in, None for none.
    """

    tree: Path
    stage: GateStage
    definitions: tuple[GateDefinition, ...]
    required: frozenset[str]
    environment: BuiltEnvironment
    scratch: Path
    changes: tuple[FileChange, ...] = ()
    diff: str = ""
    specification: str = ""
    not_required: Mapping[str, str] = field(default_factory=dict[str, str])
    owns: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    floors: Mapping[str, float] = field(default_factory=dict[str, float])
    tests: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    role: str = ""
    role_writes: tuple[str, ...] | None = None
    caches: Path | None = None
    limits: ProcessLimits = field(default_factory=ProcessLimits)
    sandbox_floor: frozenset[Property] = frozenset()

    def definition(self, name: str) -> GateDefinition | None:
        return next((definition for definition in self.definitions if definition.name == name), None)

    def selected(self) -> tuple[GateDefinition, ...]:
        """The gates to run now, with those whose reports they read, in the order they are defined. The candidate stage runs
        every required gate: what lands is judged whole, whatever ran before.
        """
        wanted = {
            definition.name
            for definition in self.definitions
            if definition.name in self.required
            and definition.name not in self.not_required
            and (self.stage is GateStage.CANDIDATE or self.stage in definition.stages)
        }
        wanted |= {d.source for d in self.definitions if d.name in wanted and d.source is not None}
        return tuple(definition for definition in self.definitions if definition.name in wanted)

    def unknown(self) -> tuple[str, ...]:
        """Gates that are required and defined nowhere."""
        return tuple(sorted(self.required - self.not_required.keys() - {d.name for d in self.definitions}))
