"""How long a swarm's work would have taken at the same parallelism with nobody in between: every session, gate command and
build as long as it was measured, each begun the moment what it waits for has ended and a place is free.

The places: agents for sessions, gate commands that run at once (and one more that is quick), and builds in line at the merge queue,
which land in order.
"""

from __future__ import annotations

import functools
import heapq
import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmworks.worker.gates.turns import QUICK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Attempt:
    """Seconds: of the session, of each gate command on its change, and of each one of every build of it."""

    session_s: float
    change_s: tuple[float, ...] = ()
    builds_s: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class TaskDone:
    """`fixes`: the task whose parked change this one was filed for; it begins when that one's attempts have ended, and ends it."""

    id: str
    rank: int
    attempts: tuple[Attempt, ...]
    depends_on: tuple[str, ...] = ()
    fixes: str | None = None


@dataclass(frozen=True)
class Places:
    agents: int
    commands: int
    builds: int
    quick: int = 1


def ideal_s(tasks: Sequence[TaskDone], places: Places) -> float:
    """ValueError when a task waits for what never ends."""
    return _Plant(tasks, places).run()


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + seconds, next(self._order), then))

    def run(self) -> None:
        while self._events:
            self.now_s, _, then = heapq.heappop(self._events)
            then()


@dataclass
class _Pool:
    free: int
    _waiting: list[tuple[int, int, Callable[[], None]]] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def full(self) -> bool:
        return not self.free

    def acquire(self, rank: int, then: Callable[[], None]) -> None:
        heapq.heappush(self._waiting, (-rank, next(self._order), then))
        self._hand_out()

    def release(self) -> None:
        self.free += 1
        self._hand_out()

    def _hand_out(self) -> None:
        while self.free and self._waiting:
            self.free -= 1
            heapq.heappop(self._waiting)[2]()


class _Plant:
    def __init__(self, tasks: Sequence[TaskDone], places: Places) -> None:
        self._tasks = {task.id: task for task in tasks}
        self._fixes = {task.fixes: task for task in tasks if task.fixes is not None}
        self._waiting = {task.id: set(task.depends_on) for task in tasks}
        self._clock = _Clock()
        self._agents, self._commands, self._quick = _Pool(places.agents), _Pool(places.commands), _Pool(places.quick)
        self._lanes = _Pool(places.builds)
        self._line: deque[list[Callable[[], None]]] = deque()
        self._done: set[str] = set()

    def run(self) -> float:
        for task in self._tasks.values():
            if not task.depends_on and task.fixes is None:
                self._attempt(task, 0)
        self._clock.run()
        if left := sorted(self._tasks.keys() - self._done):
            raise ValueError(f"these tasks wait for what never ends: {', '.join(left)}")
        return self._clock.now_s

    def _attempt(self, task: TaskDone, number: int) -> None:
        if number == len(task.attempts):
            self._ended(task)
            return
        attempt = task.attempts[number]

        def ended() -> None:
            self._agents.release()
            self._gates(task.rank, attempt.change_s, lambda: self._build(task, number, 0))

        self._agents.acquire(task.rank, lambda: self._clock.after(attempt.session_s, ended))

    def _gates(self, rank: int, durations: Sequence[float], then: Callable[[], None]) -> None:
        left = len(durations)
        if not left:
            then()

        def ended(pool: _Pool) -> None:
            nonlocal left
            left -= 1
            pool.release()
            if not left:
                then()

        for seconds in durations:
            pool = self._quick if seconds <= QUICK_S and self._commands.full else self._commands
            pool.acquire(
                rank, lambda seconds=seconds, pool=pool: self._clock.after(seconds, functools.partial(ended, pool))
            )

    def _build(self, task: TaskDone, number: int, build: int) -> None:
        builds = task.attempts[number].builds_s
        if build == len(builds):
            self._attempt(task, number + 1)
            return

        def begin() -> None:
            place: list[Callable[[], None]] = []
            self._line.append(place)

            def built() -> None:
                place.append(lambda: self._build(task, number, build + 1))
                self._land()

            self._gates(task.rank, builds[build], built)

        self._lanes.acquire(task.rank, begin)

    def _land(self) -> None:
        """In the order in which the builds began."""
        while self._line and self._line[0]:
            [then] = self._line.popleft()
            self._lanes.release()
            then()

    def _ended(self, task: TaskDone) -> None:
        fix = self._fixes.get(task.id)
        if fix is not None and fix.id not in self._done:
            self._attempt(fix, 0)
            return
        self._done.add(task.id)
        for other in self._tasks.values():
            if task.id in self._waiting[other.id]:
                self._waiting[other.id].discard(task.id)
                if not self._waiting[other.id] and other.fixes is None:
                    self._attempt(other, 0)
        if task.fixes is not None:
            self._ended(self._tasks[task.fixes])
