"""The shape of a plan: how many agents it can keep busy, its longest chain, and how long n agents would take.

Minutes are the tasks' estimates of a session's work. Gates, merges and rework come on top and are not guessed here.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.policy.graph import ancestors, dependencies, dependents, topological
from swarmworks.policy.order import rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarmworks.base.ids import TaskId
    from swarmworks.domain.plan import Plan
    from swarmworks.policy.graph import Graph

EXACT_WIDTH_LIMIT = 1000
BUSY_SHARE = 0.6
MAX_AGENTS = 200


@dataclass(frozen=True, slots=True)
class Forecast:
    """`busy` is the share of the agents' time spent working, 0 to 1."""

    agents: int
    minutes: float
    busy: float


@dataclass(frozen=True, slots=True)
class Shape:
    """`width` is the greatest number of tasks no two of which wait for each other (`width_is_exact`), else, for plans of more
    than 1000 tasks, the most the simulation ran at once, which is never more. `keeps_busy` is the greatest number of agents
    that work at least 60 % of the time, `fastest_with` the least that reach the shortest time.
    """

    tasks: int
    minutes: float
    tokens: int
    width: int
    width_is_exact: bool
    critical_path: tuple[TaskId, ...]
    critical_minutes: float
    keeps_busy: int
    fastest_with: int


def shape_of(plan: Plan) -> Shape:
    """For a plan without cycles and with distinct ids (lint it first)."""
    graph = dependencies(plan.tasks)
    path = critical_path(plan)
    by_id = {task.id: task for task in plan.tasks}
    exact = len(graph) <= EXACT_WIDTH_LIMIT
    width = _widest(graph) if exact else _simulate(plan, len(plan.tasks))[1]
    return Shape(
        tasks=len(plan.tasks),
        minutes=sum(task.estimate.minutes for task in plan.tasks),
        tokens=sum(task.estimate.tokens for task in plan.tasks),
        width=width,
        width_is_exact=exact,
        critical_path=path,
        critical_minutes=sum(by_id[each].estimate.minutes for each in path),
        keeps_busy=_keeps_busy(plan),
        fastest_with=_fastest_with(plan, width),
    )


def forecast(plan: Plan, agents: int) -> Forecast:
    """By simulation: whenever an agent is free it takes the ready task of the highest rank (policy.order)."""
    minutes, _ = _simulate(plan, max(1, agents))
    work = sum(task.estimate.minutes for task in plan.tasks)
    return Forecast(agents, minutes, work / (minutes * agents) if minutes else 0.0)


def remaining_minutes(plan: Plan) -> dict[TaskId, float]:
    """For each task the longest chain of work from its start to the plan's end."""
    graph = dependencies(plan.tasks)
    after = dependents(graph)
    minutes = {task.id: task.estimate.minutes for task in plan.tasks}
    remaining: dict[TaskId, float] = {}
    for each in reversed(topological(graph)):
        remaining[each] = minutes[each] + max((remaining[other] for other in after[each]), default=0.0)
    return remaining


def critical_path(plan: Plan) -> tuple[TaskId, ...]:
    """The chain that no number of agents can shorten."""
    graph = dependencies(plan.tasks)
    after = dependents(graph)
    remaining = remaining_minutes(plan)
    candidates = [each for each, waits in graph.items() if not waits]
    path: list[TaskId] = []
    while candidates:
        longest = max(candidates, key=lambda each: (remaining[each], each))
        path.append(longest)
        candidates = list(after[longest])
    return tuple(path)


def _simulate(plan: Plan, agents: int) -> tuple[float, int]:
    """Minutes to the end, and the most tasks that ran at once."""
    graph = dependencies(plan.tasks)
    after = dependents(graph)
    tasks = {task.id: task for task in plan.tasks}
    ranks = rank(plan)
    waiting = {each: len(waits) for each, waits in graph.items()}
    ready = [(-ranks[each], each) for each, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, TaskId]] = []
    now, most = 0.0, 0
    while ready or running:
        while ready and len(running) < agents:
            each = heapq.heappop(ready)[1]
            heapq.heappush(running, (now + tasks[each].estimate.minutes, each))
        most = max(most, len(running))
        now, done = heapq.heappop(running)
        for other in after[done]:
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, (-ranks[other], other))
    return now, most


def _keeps_busy(plan: Plan) -> int:
    work = sum(task.estimate.minutes for task in plan.tasks)
    if not work:
        return min(1, len(plan.tasks))
    return _greatest(min(MAX_AGENTS, len(plan.tasks)), lambda agents: forecast(plan, agents).busy >= BUSY_SHARE)


def _fastest_with(plan: Plan, width: int) -> int:
    least, _ = _simulate(plan, max(1, width))
    slower = _greatest(min(MAX_AGENTS, width), lambda agents: _simulate(plan, agents)[0] > least * 1.001)
    return min(slower + 1, max(1, width)) if forecast(plan, 1).minutes > least * 1.001 else 1


def _greatest(most: int, holds: Callable[[int], bool]) -> int:
    """The greatest number from 1 to `most` for which it holds, by halving: both questions asked here hold up to a point."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if holds(middle) else (low, middle - 1)
    return low


def _widest(graph: Graph) -> int:
    """The maximum antichain, by Dilworth's theorem: tasks minus the maximum matching of each task with an earlier one."""
    before = list(ancestors(graph).values())
    matching = _Matching(before)
    return len(before) - sum(matching.augment(later) for later in range(len(before)))


class _Matching:
    """Pairs every task with at most one that lands before it (bits in `before`), and the other way round. Kuhn's algorithm,
    searching breadth first, so that long chains need no deep recursion.
    """

    def __init__(self, before: list[int]) -> None:
        self._before = before
        self._free = (1 << len(before)) - 1  # earlier sides without a partner
        self._earlier_of: dict[int, int] = {}
        self._later_of: dict[int, int] = {}

    def augment(self, start: int) -> bool:
        seen = 0
        came_from: dict[int, int] = {}
        pending = [start]
        while pending:
            later = pending.pop()
            options = self._before[later] & ~seen
            hit = options & self._free
            if hit:
                self._turn((hit & -hit).bit_length() - 1, later, came_from)
                return True
            seen |= options
            while options:
                earlier = (options & -options).bit_length() - 1
                options &= options - 1
                came_from[earlier] = later
                pending.append(self._later_of[earlier])
        return False

    def _turn(self, earlier: int, later: int, came_from: dict[int, int]) -> None:
        """Pairs along the found path, each displaced partner with the one that reached it."""
        self._free &= ~(1 << earlier)
        while True:
            displaced = self._earlier_of.get(later)
            self._earlier_of[later] = earlier
            self._later_of[earlier] = later
            if displaced is None:
                return
            earlier, later = displaced, came_from[displaced]
