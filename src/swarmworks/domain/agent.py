"""An agent: a persistent identity with a role. Its record grows from its sessions."""

from __future__ import annotations

from dataclasses import dataclass

from swarmworks.base.ids import AgentId

REVIEWER = "reviewer"
"""The role of the agents behind models' reviews: they take no task."""


@dataclass(frozen=True, slots=True)
class Agent:
    """`kinds` are the task kinds it may take; `name` is unique in the project and the author of its commits."""

    id: AgentId
    name: str
    role: str
    kinds: frozenset[str]

    @property
    def email(self) -> str:
        return f"{self.name}@agents.swarmworks.invalid"
