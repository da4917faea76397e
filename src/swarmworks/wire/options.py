"""What a swarm was started with, as it is stored beside it."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from swarmworks.domain.plan import COMMAND, Plan
from swarmworks.policy.tiers import asked_for
from swarmworks.wire.config import COMMAND_RUNTIME, SwarmConfig


class SwarmOptions(BaseModel):
    """`kinds` and `runtimes`: by a task's kind, or its role, the model it asks for and the program that does it, where they are
    not the swarm's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: SwarmConfig
    model: str
    agents: int
    runtime: str = "builtin"
    kinds: dict[str, str] = {}
    runtimes: dict[str, str] = {}

    def model_for(self, *, kind: str, role: str) -> str:
        return asked_for(self.model, self.kinds, kind=kind, role=role)

    def runtime_for(self, *, kind: str, role: str) -> str:
        if kind == COMMAND:
            return COMMAND_RUNTIME
        return asked_for(self.runtime, self.runtimes, kind=kind, role=role)

    def pairs(self) -> frozenset[tuple[str, str]]:
        """Every program with a model that is asked through it, as far as kinds and roles tell."""
        named = {*self.kinds, *self.runtimes}
        return frozenset(
            {
                (self.runtime, self.model),
                *((self.runtimes.get(name, self.runtime), self.kinds.get(name, self.model)) for name in named),
            }
        )

    def pairs_of(self, plan: Plan) -> Iterator[tuple[str, str]]:
        """As `pairs`, of the tasks that a plan has; none for those that a command does. One pair may come several times."""
        for task in plan.tasks:
            if not task.run:
                yield self.runtime_for(kind=task.kind, role=task.role), self.model_for(kind=task.kind, role=task.role)


def to_json(options: SwarmOptions) -> str:
    return options.model_dump_json(by_alias=True)


def from_json(text: str) -> SwarmOptions:
    return SwarmOptions.model_validate_json(text)
