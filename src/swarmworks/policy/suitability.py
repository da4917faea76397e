"""Whether a swarm suits a piece of work at all: a score out of ten, each point of it with its reason.

Four parts: how well the work decomposes, how urgent it is, what infrastructure is in place, and how far the design lets
agents work without asking. Seven or more recommends a swarm. Better facts never lower the score. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from swarmworks.policy.planning.fit import PROVES_NOTHING
from swarmworks.policy.shape import shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swarmworks.domain.plan import Plan

RECOMMENDED = 7.0
FULL_SPEED_UP = 4.0
"""Work over critical path: four agents' worth of it earns the full points. Beyond that a swarm is only larger, not better."""

FULL_WIDTH = 6
EVEN_SPREAD = 3.0
"""A longest task of three times the usual one is even; from ten times on it decides the end alone."""

WORST_SPREAD = 10.0


@dataclass(frozen=True, slots=True)
class Work:
    """Of the plan. `speed_up` is work over critical path; `proved` and `contracted` are shares of the tasks, 0 to 1;
    `spread` the longest estimate over the median one.
    """

    tasks: int
    width: int
    speed_up: float
    proved: float
    contracted: float
    spread: float
    keeps_busy: int


@dataclass(frozen=True, slots=True)
class Ground:
    """Of the project: what stands ready. All False where there is no project yet."""

    tests: bool = False
    static_checks: bool = False
    coverage: bool = False
    sandbox: bool = False
    budget: bool = False
    reviews: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    points: float
    most: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suitability:
    """`score` of ten, to one decimal place. `agents` is how many it keeps busy at least 60 % of the time."""

    score: float
    parts: tuple[Part, ...]
    agents: int

    @property
    def recommended(self) -> bool:
        return self.score >= RECOMMENDED


def work_of(plan: Plan) -> Work:
    """For a plan that can be scheduled: its lint has no errors."""
    shape = shape_of(plan)
    count = max(1, len(plan.tasks))
    minutes = [task.estimate.minutes for task in plan.tasks if task.estimate.minutes > 0] or [1.0]
    proved = sum(any(each.gate not in PROVES_NOTHING for each in task.acceptance) for task in plan.tasks)
    return Work(
        tasks=len(plan.tasks),
        width=shape.width,
        speed_up=shape.minutes / shape.critical_minutes if shape.critical_minutes else float(shape.width),
        proved=proved / count,
        contracted=sum(bool(task.contracts) for task in plan.tasks) / count,
        spread=max(minutes) / median(minutes),
        keeps_busy=shape.keeps_busy,
    )


def suitability(work: Work, ground: Ground, *, urgent: bool = False) -> Suitability:
    parts = (_decomposability(work), _urgency(urgent=urgent), _infrastructure(ground), _design(work))
    return Suitability(round(sum(part.points for part in parts), 1), parts, work.keeps_busy)


def _decomposability(work: Work) -> Part:
    speed_up = 2.5 * _share(work.speed_up - 1, FULL_SPEED_UP - 1)
    width = 1.5 * _share(work.width - 1, FULL_WIDTH - 1)
    reasons = (
        f"the work is {work.speed_up:.1f} times its longest chain",
        f"{work.width} of {work.tasks} tasks can run side by side",
    )
    return _part("decomposability", speed_up + width, 4.0, reasons)


def _urgency(*, urgent: bool) -> Part:
    if urgent:
        return _part("urgency", 1.0, 1.0, ("you say that it is urgent",))
    return _part("urgency", 0.5, 1.0, ("a plan cannot tell: counted as neutral; say --urgent if it is",))


def _infrastructure(ground: Ground) -> Part:
    points = (
        (ground.tests, 1.0, "a gate that runs tests"),
        (ground.static_checks, 0.5, "a gate that lints or checks types"),
        (ground.coverage, 0.25, "a coverage gate"),
        (ground.sandbox, 0.5, "the whole sandbox as the floor"),
        (ground.budget, 0.5, "a budget"),
        (ground.reviews, 0.25, "review gates"),
    )
    there = [name for holds, _, name in points if holds]
    missing = [name for holds, _, name in points if not holds]
    reasons = [f"there is {_listed(there)}"] if there else []
    reasons += [f"missing: {_listed(missing)}"] if missing else []
    return _part("infrastructure", sum(worth for holds, worth, _ in points if holds), 3.0, tuple(reasons))


def _design(work: Work) -> Part:
    even = 0.5 * (1 - _share(work.spread - EVEN_SPREAD, WORST_SPREAD - EVEN_SPREAD))
    reasons = (
        f"{work.proved:.0%} of the tasks are proved by a gate that runs the code or reads it",
        f"{work.contracted:.0%} name the interfaces others rely on",
        f"the longest task is {work.spread:.1f} times the usual one",
    )
    return _part("design throughput", work.proved + 0.5 * work.contracted + even, 2.0, reasons)


def _part(name: str, points: float, most: float, reasons: Iterable[str]) -> Part:
    return Part(name, round(min(most, max(0.0, points)), 2), most, tuple(reasons))


def _share(value: float, full: float) -> float:
    return min(1.0, max(0.0, value / full))


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
