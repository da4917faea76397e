"""Which ready task goes to which idle agent. Pure: the store calls it inside the claiming transaction.

Ready tasks come in rank order (see policy.order): what unblocks most comes first. A task is admitted when an idle agent
takes its kind, none of its files is held by a running, reviewed or queued task (where files are exclusive), the worker's
capacity has room for one more session, and the budget has headroom for at least one worst-case call.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.base.ids import AgentId, TaskId
    from swarmworks.domain.agent import Agent
    from swarmworks.domain.lease import Capacity


SESSION_MEMORY_BYTES = 128 << 20
"""What a session of the built-in agent is admitted with: its interpreter, its tools and one command under way. Measured
peaks are recorded with every session."""

BUILD_MEMORY_BYTES = 1 << 30
"""What a merge build is admitted with; sessions leave room for one, or nothing they write could ever land."""


@dataclass(frozen=True, slots=True)
class ReadyTask:
    """`agent`: the name of the only agent that may take it, by a person's decision. `author`: who made the change whose conflict
    it resolves, and takes it before others while idle. `needs_a_model`: it is an agent's to think about, not a command's.
    """

    id: TaskId
    kind: str
    role: str
    owns: tuple[str, ...]
    rank: int
    agent: str | None = None
    author: AgentId | None = None
    needs_a_model: bool = True


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """`ready` in rank order, bounded; `held_paths` of all tasks that hold files; `places` how many sessions fit;
    `affordable` how many sessions the headroom of the budget pays at least one call each for. Without `exclusive` nobody
    holds a file for himself: two tasks may write the same one, and the merge queue decides. Which files a task is expected to
    write is a hint then: of tasks that unblock as much, those go first that write what nobody else does now. `spent`: the agents
    whose own share of the budget is used up, who would spend a task's attempts, and nothing else.
    """

    ready: Sequence[ReadyTask]
    idle: Sequence[Agent]
    held_paths: frozenset[str]
    places: int
    affordable: int
    exclusive: bool = True
    spent: frozenset[AgentId] = frozenset()


@dataclass(frozen=True, slots=True)
class Choice:
    task_id: TaskId
    agent_id: AgentId


def overlaps(one: str, other: str) -> bool:
    """Whether two owned paths can mean the same file: equal, or one is a folder (trailing slash) holding the other."""
    if one == other:
        return True
    return (one.endswith("/") and other.startswith(one)) or (other.endswith("/") and one.startswith(other))


def session_places(free: Capacity, *, running: int, memory_bytes: int = SESSION_MEMORY_BYTES) -> int:
    """How many more sessions of `memory_bytes` each a worker takes that has `free` capacity and `running` sessions. The first one is always
    taken while there is memory for it, so that a small machine works one task after the other.
    """
    whole = free.memory_bytes // memory_bytes
    beside_a_build = (free.memory_bytes - BUILD_MEMORY_BYTES) // memory_bytes
    return max(0, min(free.agents, whole, max(0 if running else 1, beside_a_build)))


def choose(facts: ClaimFacts) -> list[Choice]:
    room = min(facts.places, facts.affordable)
    held = set(facts.held_paths)
    idle = list(facts.idle)
    choices: list[Choice] = []

    def give(task: ReadyTask) -> None:
        agent = _best_agent(task, idle, facts.spent) if len(choices) < room else None
        if agent is not None:
            idle.remove(agent)
            held.update(task.owns)
            choices.append(Choice(task.id, agent.id))

    for _rank, equals in groupby(facts.ready, key=lambda task: task.rank):
        clashing: list[ReadyTask] = []
        for task in equals:
            if any(overlaps(mine, theirs) for mine in task.owns for theirs in held):
                clashing.append(task)
            else:
                give(task)
        for task in () if facts.exclusive else clashing:
            give(task)
        if len(choices) >= room:
            break
    return choices


def _best_agent(task: ReadyTask, idle: Sequence[Agent], spent: frozenset[AgentId]) -> Agent | None:
    """Whoever made the change whose conflict it resolves; an agent of the task's own role; among equals the one with the fewest
    other kinds, then by name (`api-2` before `api-10`).
    """
    able = [
        agent
        for agent in idle
        if task.kind in agent.kinds
        and task.agent in {None, agent.name}
        and not (task.needs_a_model and agent.id in spent)
    ]
    return min(
        able, key=lambda a: (a.id != task.author, a.role != task.role, len(a.kinds), len(a.name), a.name), default=None
    )
