"""The dependency graph of a plan: cycles, order, who comes before whom. Unknown dependencies are left out."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swarmworks.base.ids import TaskId
    from swarmworks.domain.plan import PlannedTask

Graph = dict["TaskId", tuple["TaskId", ...]]


def dependencies(tasks: Iterable[PlannedTask]) -> Graph:
    """What each task waits for, each once. Of tasks with one id the first counts."""
    found: dict[TaskId, tuple[TaskId, ...]] = {}
    for task in tasks:
        found.setdefault(task.id, task.depends_on)
    return {each: tuple(dict.fromkeys(other for other in waits if other in found)) for each, waits in found.items()}


def dependents(graph: Mapping[TaskId, tuple[TaskId, ...]]) -> Graph:
    """The other direction: what waits for each task."""
    after: dict[TaskId, list[TaskId]] = {each: [] for each in graph}
    for each, waits in graph.items():
        for other in waits:
            after[other].append(each)
    return {each: tuple(others) for each, others in after.items()}


def topological(graph: Mapping[TaskId, tuple[TaskId, ...]]) -> list[TaskId]:
    """Every task after what it waits for, in the plan's order where that leaves a choice; tasks on a cycle, and behind one,
    are missing.
    """
    waiting = {each: len(waits) for each, waits in graph.items()}
    after = dependents(graph)
    ready = deque(each for each, count in waiting.items() if count == 0)
    order: list[TaskId] = []
    while ready:
        each = ready.popleft()
        order.append(each)
        for other in after[each]:
            waiting[other] -= 1
            if waiting[other] == 0:
                ready.append(other)
    return order


def find_cycle(graph: Mapping[TaskId, tuple[TaskId, ...]]) -> tuple[TaskId, ...]:
    """One cycle as a path that ends where it began (`a, b, a`: a waits for b, b for a), or nothing."""
    placed = set(topological(graph))
    left = [each for each in graph if each not in placed]
    if not left:
        return ()
    # Whatever is left waits for something that is left too: walking on must come back.
    path: list[TaskId] = [left[0]]
    position = {left[0]: 0}
    while True:
        following = next(each for each in graph[path[-1]] if each not in placed)
        if following in position:
            return (*path[position[following] :], following)
        position[following] = len(path)
        path.append(following)


def ancestors(graph: Mapping[TaskId, tuple[TaskId, ...]]) -> dict[TaskId, int]:
    """For each task the set of those that land before it, as bits by position in `topological(graph)`. Without cycles only."""
    order = topological(graph)
    bit = {each: 1 << number for number, each in enumerate(order)}
    before: dict[TaskId, int] = {}
    for each in order:
        bits = 0
        for other in graph[each]:
            bits |= before[other] | bit[other]
        before[each] = bits
    return before


class Reach:
    """Answers whether one task must land before another. For a graph without cycles."""

    def __init__(self, graph: Mapping[TaskId, tuple[TaskId, ...]]) -> None:
        self._before = ancestors(graph)
        self._bit = {each: 1 << number for number, each in enumerate(self._before)}

    def before(self, first: TaskId, second: TaskId) -> bool:
        return bool(self._before[second] & self._bit[first])

    def together(self, first: TaskId, second: TaskId) -> bool:
        """Whether the two may run at the same time."""
        return first != second and not self.before(first, second) and not self.before(second, first)
