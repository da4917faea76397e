"""The agents of a swarm that was started before: what resumes it, or asks who may take its tasks, finds the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.policy import staffing
from swarmworks.wire.options import from_json

if TYPE_CHECKING:
    from swarmworks.domain.agent import Agent
    from swarmworks.domain.swarm import Swarm


def staff_of(swarm: Swarm) -> list[Agent]:
    options = from_json(swarm.options)
    return staffing.staff(swarm.plan, options.agents, swarm.project, options.config.agents.roles)
