"""A merge queue in virtual time: agents hand in changes, places judge candidates, a policy says what is judged and what lands.

Every policy is run by this one executor on the same arrivals, faults and flakes, drawn by seed for each change and each run.
"""

from __future__ import annotations

import heapq
import random
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from swarmworks.policy.queueing import Plan, Run, Snapshot, Verdict, failure_rate, remaining

if TYPE_CHECKING:
    from collections.abc import Callable

Policy = "Callable[[Snapshot], Plan]"


@dataclass(frozen=True)
class Setting:
    """Minutes: a session from start to hand-in on average, a gate run. Shares: of changes that are bad, of runs that fail without
    a cause, of pairs of changes that conflict.
    """

    agents: int
    places: int
    hours: float = 12.0
    warm_up_hours: float = 2.0
    session_min: float = 30.0
    gate_min: float = 5.0
    bad: float = 0.05
    flaky: float = 0.005
    conflicting: float = 0.0
    seed: int = 1


@dataclass
class Outcome:
    landed: int = 0
    landed_late: int = 0  # after the warm-up
    runs: int = 0
    wronged: int = 0  # good changes turned down
    bad_landed: int = 0
    waits_min: list[float] = field(default_factory=list[float])
    idle_waits_min: list[float] = field(default_factory=list[float])
    left: int = 0

    def per_hour(self, setting: Setting) -> float:
        return self.landed_late / (setting.hours - setting.warm_up_hours)

    @property
    def median_wait_min(self) -> float:
        return statistics.median(self.waits_min) if self.waits_min else 0.0


class Simulation:
    def __init__(self, setting: Setting, policy: Callable[[Snapshot], Plan]) -> None:
        self._setting, self._policy = setting, policy
        self._rng = random.Random(setting.seed)
        self._now, self._head = 0.0, "head-0"
        self._queue: dict[str, float] = {}
        self._bad: dict[str, bool] = {}
        self._runs: dict[str, Run] = {}
        self._under_way: dict[str, Run] = {}
        self._gone: set[str] = set()
        self._decided: list[bool] = []
        self._conflicts: dict[str, set[str]] = {}
        self._events: list[tuple[float, int, str]] = []
        self._number = 0
        self.outcome = Outcome()

    def run(self) -> Outcome:
        for agent in range(self._setting.agents):
            self._later(self._rng.expovariate(1 / self._setting.session_min), f"agent {agent}")
        end = self._setting.hours * 60
        while self._events and self._events[0][0] < end:
            self._now, _, what = heapq.heappop(self._events)
            if what.startswith("agent"):
                self._hand_in()
                self._later(self._rng.expovariate(1 / self._setting.session_min), what)
                if len(self._under_way) == self._setting.places:
                    continue  # one more that waits changes nothing
            elif what in self._under_way:
                self._judge(self._under_way.pop(what))
            else:
                continue  # it was dropped
            self._settle()
        self.outcome.left = len(self._queue)
        return self.outcome

    def _later(self, minutes: float, what: str) -> None:
        self._number += 1
        heapq.heappush(self._events, (self._now + minutes, self._number, what))

    def _hand_in(self) -> None:
        change = f"c{len(self._bad)}"
        rng = random.Random(f"{self._setting.seed} {change}")
        self._bad[change] = rng.random() < self._setting.bad
        against = {other for other in self._queue if rng.random() < self._setting.conflicting}
        self._conflicts[change] = against
        for other in against:
            self._conflicts[other].add(change)
        self._queue[change] = self._now

    def _judge(self, run: Run) -> None:
        flaky = random.Random(f"{self._setting.seed} {run.id}").random() < self._setting.flaky
        failed = flaky or any(self._bad[change] for change in run.changes)
        self._runs[run.id] = replace(run, verdict=Verdict.FAILED if failed else Verdict.PASSED)

    def _settle(self) -> None:
        while True:
            plan = self._policy(self._snapshot())
            if plan.land is not None:
                self._land(plan.land)
            elif plan.reject:
                for change, _run in plan.reject:
                    self._turn_down(change)
            elif plan.drop:
                for name in plan.drop:
                    del self._under_way[name]
            elif plan.start is not None:
                below = plan.start.after
                changes = (*(below.changes if below else ()), *plan.start.changes)
                name = f"run {self.outcome.runs}"
                commits = (*(below.commits if below else ()), *(f"{name}/{change}" for change in plan.start.changes))
                base = below.base if below else self._head
                self._under_way[name] = Run(
                    name, base, changes, commits, len(below.changes) if below else 0, plan.start.lane
                )
                self.outcome.runs += 1
                self._later(self._setting.gate_min, name)
            else:
                return
            self._forget()

    def _snapshot(self) -> Snapshot:
        runs = [*self._runs.values(), *self._under_way.values()]
        assert len(self._under_way) <= self._setting.places
        rate = failure_rate(self._decided)
        conflicts = {}
        if self._setting.conflicting:
            conflicts = {
                change: frozenset(self._conflicts[change]) for change in self._queue if self._conflicts[change]
            }
        return Snapshot(
            self._head, list(self._queue), runs, self._setting.places, rate, frozenset(self._gone), conflicts
        )

    def _land(self, run: Run) -> None:
        assert run.verdict is Verdict.PASSED
        assert run.base == self._head or self._head in run.commits
        for change in remaining(run, self._head):
            at = self._queue.pop(change)
            self.outcome.landed += 1
            self.outcome.landed_late += self._now >= self._setting.warm_up_hours * 60
            self.outcome.bad_landed += self._bad[change]
            self.outcome.waits_min.append(self._now - at)
            self._decided.append(False)
            for other in self._conflicts[change] & self._queue.keys():
                self._turn_down(other, conflict=True)
        self._head = run.commits[-1]

    def _turn_down(self, change: str, *, conflict: bool = False) -> None:
        del self._queue[change]
        self._gone.add(change)
        if not conflict:
            self._decided.append(True)
            self.outcome.wronged += not self._bad[change]

    def _forget(self) -> None:
        self._runs = {name: run for name, run in self._runs.items() if not self._queue.keys().isdisjoint(run.changes)}
        kept = {change for run in (*self._runs.values(), *self._under_way.values()) for change in run.changes}
        self._gone &= kept
