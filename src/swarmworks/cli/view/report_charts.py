"""Where everything goes in the charts of a report page: from facts to coordinates, nothing else. Units of an SVG's view box."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

from swarmworks.cli.view.amounts import clock, dollars, duration, tokens
from swarmworks.cli.view.seats import in_order
from swarmworks.wire.api import SwarmReport, TaskReport
from swarmworks.wire.report import SpanReport

WIDTH = 1000
LABELS = 130
ROW = 22
MOST_AGENTS = 60
MOST_SPANS = 2_000
MOST_LABELLED = 80
"""Tasks up to which the graph names them and draws what depends on what; more are squares."""

MOST_POINTS = 400
CURVE_HEIGHT = 220
NODE_HEIGHT = 24
SQUARE = 12
SQUARES_HIGH = 24

GOOD = frozenset({"submitted", "nothing_to_do"})
CALM = frozenset({"handed_off", "killed", "asked", "claimed", "running"})
STATE_CLASS: Mapping[str, str] = {
    "landed": "done",
    "nothing_to_do": "done",
    "superseded": "done",
    "cancelled": "idle",
    "queued": "merging",
    "review": "review",
    "running": "work",
    "parked": "parked",
    "blocked": "bad",
}


@dataclass(frozen=True, slots=True)
class Tick:
    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Gantt:
    height: float
    rows: Sequence[Tick]
    ticks: Sequence[Tick]
    bars: Sequence[Bar]
    left_out: int


@dataclass(frozen=True, slots=True)
class Curve:
    what: str
    path: str
    area: str
    ticks: Sequence[Tick]
    levels: Sequence[Tick]
    limit: Tick | None
    height: float = CURVE_HEIGHT


@dataclass(frozen=True, slots=True)
class Node:
    x: float
    y: float
    width: float
    height: float
    kind: str
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Graph:
    width: float
    height: float
    nodes: Sequence[Node]
    edges: Sequence[str]
    labelled: bool


@dataclass(frozen=True, slots=True)
class Share:
    name: str
    kind: str
    count: int
    percent: float


def shares(tasks: Sequence[TaskReport]) -> list[Share]:
    """Of each state that occurs, in the order of a task's life."""
    names = [*STATE_CLASS, "ready", "waiting"]
    counts = {name: sum(task.state == name for task in tasks) for name in names}
    total = max(1, len(tasks))
    return [
        Share(name.replace("_", " "), STATE_CLASS.get(name, "idle"), count, 100 * count / total)
        for name, count in counts.items()
        if count
    ]


def gantt(report: SwarmReport) -> Gantt:
    agents = in_order({span.agent for span in report.timeline})[:MOST_AGENTS]
    rows = {agent: number for number, agent in enumerate(agents)}
    shown = [span for span in report.timeline if span.agent in rows][:MOST_SPANS]
    end = max([report.duration_s, *[span.end_s for span in shown], 1.0])
    scale = (WIDTH - LABELS) / end
    bars = [
        Bar(
            x=round(LABELS + span.start_s * scale, 1),
            y=rows[span.agent] * ROW + 3,
            width=round(max(2.0, (span.end_s - span.start_s) * scale - 0.5), 1),
            height=ROW - 6,
            kind=_outcome_class(span.outcome),
            title=_span_title(span),
        )
        for span in shown
    ]
    return Gantt(
        height=len(agents) * ROW + 24,
        rows=[Tick(number * ROW + ROW / 2, agent) for agent, number in rows.items()],
        ticks=[Tick(round(LABELS + at * scale, 1), clock(at)) for at in _steps(end, 8, _TIMES)],
        bars=bars,
        left_out=len(report.timeline) - len(shown),
    )


def _outcome_class(outcome: str) -> str:
    if outcome in GOOD:
        return "done"
    return "work" if outcome in CALM else "bad"


def _span_title(span: SpanReport) -> str:
    took = duration(span.end_s - span.start_s)
    again = f", attempt {span.attempt}" if span.attempt > 1 else ""
    used = f", {tokens(span.tokens)} tokens" if span.tokens else ""
    cost = f", {dollars(span.cost_nano_usd)}" if span.cost_nano_usd else ""
    return f"{span.agent}: {span.task_id}{again}, {span.outcome.replace('_', ' ')} after {took}{used}{cost}"


def curve(report: SwarmReport) -> Curve | None:
    """What was spent over time; tokens where nothing cost money. None without a session that used any."""
    money = report.spent_nano_usd > 0
    points = [(point.at_s, point.spent_nano_usd if money else point.tokens) for point in report.costs]
    if not points or points[-1][1] == 0:
        return None
    points = _thinned(points)
    end = max(report.duration_s, points[-1][0], 1.0)
    limit = report.limit_nano_usd if money and report.limit_nano_usd else None
    near = limit if limit is not None and limit <= 3 * points[-1][1] else None
    top = max(near or 0, points[-1][1]) * 1.08
    foot = CURVE_HEIGHT - 24

    def x(at: float) -> float:
        return round(LABELS + at * (WIDTH - LABELS) / end, 1)

    def y(value: float) -> float:
        return round(foot - value * (foot - 8) / top, 1)

    line = f"M{x(0)} {y(0)}" + "".join(f"H{x(at)}V{y(value)}" for at, value in points) + f"H{x(end)}"
    shown = dollars if money else tokens
    return Curve(
        what="spent" if money else "tokens",
        path=line,
        area=f"{line}V{foot}H{x(0)}Z",
        ticks=[Tick(x(at), clock(at)) for at in _steps(end, 8, _TIMES)],
        levels=[Tick(y(value), shown(int(value))) for value in _steps(top, 5)],
        limit=Tick(y(near), f"limit {dollars(near)}") if near is not None else None,
    )


def _thinned(points: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    step = -(-len(points) // MOST_POINTS)
    return [*points[:-1:step], points[-1]]


_TIMES = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800)


def _steps(end: float, most: int, sizes: Iterable[int] = ()) -> list[float]:
    """Round values from 0 up to `end`, at most about so many."""
    step = next((size for size in sizes if end / size <= most), 0.0)
    if not step:
        power = 10 ** floor(log10(end / most)) if end > 0 else 1.0
        step = next(power * factor for factor in (1, 2, 5, 10) if end / (power * factor) <= most)
    return [number * step for number in range(int(end / step) + 1)]


def graph(tasks: Sequence[TaskReport]) -> Graph:
    levels = _levels(tasks)
    if len(tasks) <= MOST_LABELLED:
        return _labelled(levels)
    nodes: list[Node] = []
    x = 0.0
    for level in levels:
        for number, task in enumerate(level):
            column, row = divmod(number, SQUARES_HIGH)
            at = x + column * (SQUARE + 2)
            nodes.append(Node(at, row * (SQUARE + 2), SQUARE, SQUARE, _task_class(task), "", _task_title(task)))
        x += -(-len(level) // SQUARES_HIGH) * (SQUARE + 2) + SQUARE
    height = min(SQUARES_HIGH, max(len(level) for level in levels)) * (SQUARE + 2)
    return Graph(max(x, 200.0), height, nodes, (), labelled=False)


def _levels(tasks: Sequence[TaskReport]) -> list[list[TaskReport]]:
    """Tasks by the longest chain of dependencies before them. A dependency that is not among the tasks counts as none."""
    by_id = {task.id: task for task in tasks}
    level: dict[str, int] = {}
    for task in tasks:
        stack = [task]
        while stack:
            top = stack[-1]
            open_ones = [by_id[each] for each in top.depends_on if each in by_id and each not in level]
            if open_ones and len(stack) <= len(tasks):
                stack += open_ones
                continue
            stack.pop()
            level[top.id] = 1 + max((level.get(each, -1) for each in top.depends_on), default=-1)
    rows: defaultdict[int, list[TaskReport]] = defaultdict(list)
    for task in tasks:
        rows[level[task.id]].append(task)
    return [rows[number] for number in sorted(rows)] or [[]]


def _labelled(levels: Sequence[Sequence[TaskReport]]) -> Graph:
    columns = max(1, len(levels))
    gap = 36
    width = max(150.0, (WIDTH - (columns - 1) * gap) / columns)
    tallest = max(len(level) for level in levels)
    height = max(1, tallest) * (NODE_HEIGHT + 8)
    placed: dict[str, Node] = {}
    for column, level in enumerate(levels):
        top = (height - len(level) * (NODE_HEIGHT + 8)) / 2
        for row, task in enumerate(level):
            x, y = column * (width + gap), top + row * (NODE_HEIGHT + 8)
            letters = int((width - 12) / 7)
            label = task.id if len(task.id) <= letters else f"{task.id[: letters - 1]}…"
            placed[task.id] = Node(
                round(x, 1), round(y, 1), round(width, 1), NODE_HEIGHT, _task_class(task), label, _task_title(task)
            )
    edges = [_edge(placed[before], placed[after]) for before, after in _direct(levels)]
    total = columns * width + (columns - 1) * gap
    return Graph(round(total, 1), height, list(placed.values()), edges, labelled=True)


def _direct(levels: Sequence[Sequence[TaskReport]]) -> list[tuple[str, str]]:
    """The dependencies that no longer chain of others implies."""
    before: dict[str, set[str]] = {}
    found: list[tuple[str, str]] = []
    for task in (task for level in levels for task in level):
        known = [each for each in task.depends_on if each in before]
        implied: set[str] = set[str]().union(*(before[each] for each in known))
        before[task.id] = implied | set(known)
        found += [(each, task.id) for each in known if each not in implied]
    return found


def _edge(before: Node, after: Node) -> str:
    x1, y1 = before.x + before.width, before.y + before.height / 2
    x2, y2 = after.x, after.y + after.height / 2
    middle = round((x1 + x2) / 2, 1)
    return f"M{x1:g} {y1:g}C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"


def _task_class(task: TaskReport) -> str:
    return STATE_CLASS.get(task.state, "idle")


def _task_title(task: TaskReport) -> str:
    by = f", by {task.agent}" if task.agent else ""
    return f"{task.id}: {task.title} ({task.state.replace('_', ' ')}{by})"
