"""Which agents a swarm gets: the roles of `[agents] roles` in turn, else one for each kind of work in the plan, in proportion
to the work.

An agent takes the kinds of its role first; every agent may also take the kinds of small roles, so that nobody idles while
there is work and no kind waits for a single agent. Tasks that the platform files itself (`fix_bug`, and what takes a change back) are everybody's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import cycle, islice

from swarmworks.base.ids import AgentId
from swarmworks.domain.agent import Agent
from swarmworks.domain.plan import COMMAND, FIX_BUG, Plan

GENERALIST = "generalist"


def staff(plan: Plan, count: int, project: str, given: Sequence[str] = ()) -> list[Agent]:
    """`count` agents, their roles `given` in turn where there are any, else by the work. They are named `<role>-<number>`; ids are stable for a project, so that records last across swarms."""
    minutes: Counter[str] = Counter()
    kinds: dict[str, set[str]] = {}
    for task in plan.tasks:
        minutes[task.role] += max(1, round(task.estimate.minutes * 100))
        kinds.setdefault(task.role, set()).add(task.kind)
    roles = _in_turn(given, count) if given else _apportion(minutes, count)
    every_kind = frozenset(kind for some in kinds.values() for kind in some) | {FIX_BUG, COMMAND}
    agents: list[Agent] = []
    for role, number in roles.items():
        for index in range(1, number + 1):
            name = f"{role}-{index}"
            agents.append(Agent(id=AgentId(f"{project}/{name}"), name=name, role=role, kinds=every_kind))
    return agents


def _in_turn(given: Sequence[str], count: int) -> dict[str, int]:
    """A role that stands twice gets twice as many; of more roles than agents the last get none."""
    return dict(sorted(Counter(islice(cycle(given), count)).items()))


def _apportion(weights: Counter[str], count: int) -> dict[str, int]:
    """Largest remainders, at least one each while there are places; more roles than places make generalists."""
    if not weights:
        return {}
    if count < len(weights):
        return {GENERALIST: count}
    total = sum(weights.values())
    spare = count - len(weights)
    shares = {role: weight * spare / total for role, weight in weights.items()}
    given = {role: 1 + int(share) for role, share in shares.items()}
    left = count - sum(given.values())
    for role in sorted(shares, key=lambda r: (-(shares[r] % 1), r))[:left]:
        given[role] += 1
    return dict(sorted(given.items()))
