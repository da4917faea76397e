"""How a plan is shown in the terminal: its shape, a forecast by number of agents, and what the lint found. 80 columns."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any

from swarmworks.policy.lint import Severity, errors, lint
from swarmworks.policy.shape import forecast, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from swarmworks.domain.plan import Plan
    from swarmworks.policy.lint import Finding
    from swarmworks.policy.shape import Forecast, Shape

WIDTH = 80
_LABEL = 16
_USUAL_AGENTS = (1, 2, 4, 8, 12, 16, 24, 32, 48)


def overview(plan: Plan) -> Iterator[str]:
    """What stands in the plan. For one that can be scheduled: its lint has no errors."""
    shape = shape_of(plan)
    kinds = Counter(task.kind for task in plan.tasks)
    yield f"{plan.name}: {shape.tasks} tasks, about {_duration(shape.minutes)} of work and {_tokens(shape.tokens)} tokens"
    yield ""
    yield from _row("tasks", ", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    at_least = "" if shape.width_is_exact else "at least "
    yield from _row("width", f"{at_least}{shape.width} tasks can run side by side at the widest")
    yield from _row(
        "critical path",
        f"{len(shape.critical_path)} tasks, {_duration(shape.critical_minutes)}: {' -> '.join(shape.critical_path)}",
    )
    yield from _row("agents", _agents(shape))
    for gate, floor in plan.floors.items():
        yield from _row("floor", f"{gate} {floor:g} %")
    yield ""
    yield from _table(forecasts(plan, shape))


def forecasts(plan: Plan, shape: Shape) -> list[Forecast]:
    """Up to the number of agents that reaches the shortest time, and one row beyond it."""
    numbers = sorted({*_USUAL_AGENTS, shape.keeps_busy, shape.fastest_with})
    last = next((each for each in numbers if each > shape.fastest_with), shape.fastest_with)
    return [forecast(plan, number) for number in numbers if number <= last]


def _agents(shape: Shape) -> str:
    busy = f"{shape.keeps_busy} are kept busy at least 60 % of the time"
    if shape.fastest_with <= shape.keeps_busy:
        return busy
    return f"{busy}; {shape.fastest_with} reach the shortest time, more are idle"


def _table(rows: list[Forecast]) -> Iterator[str]:
    yield f"{'agents':>6}  {'time':>9}  {'busy':>5}"
    for row in rows:
        yield f"{row.agents:>6}  {_duration(row.minutes):>9}  {row.busy:>5.0%}"
    yield "Sessions only, from the estimates; gates, merges and rework come on top."


def _row(label: str, text: str) -> Iterator[str]:
    wrapped = textwrap.wrap(text, WIDTH - _LABEL, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(wrapped):
        yield f"{label if number == 0 else '':<{_LABEL}}{line}"


def notes(remarks: Iterable[str]) -> Iterator[str]:
    for remark in remarks:
        yield from _wrapped("note: ", remark)


def findings(found: tuple[Finding, ...]) -> Iterator[str]:
    """The lint's findings, each with its mend, and a closing line that counts them."""
    for each in found:
        subject = f"{each.task}: " if each.task else ""
        yield from _wrapped(f"{each.severity.value}: ", f"{subject}{each.what}")
        yield from _wrapped("  mend: ", each.mend)
    wrong = len(errors(found))
    if not found:
        yield "lint: clean"
    else:
        yield f"lint: {_count(wrong, 'error')}, {_count(len(found) - wrong, 'warning')}"


def _wrapped(prefix: str, text: str) -> list[str]:
    indent = " " * len(prefix)
    return textwrap.wrap(
        text, WIDTH, initial_indent=prefix, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _duration(minutes: float) -> str:
    if minutes < 90:
        return f"{minutes:.0f} min"
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest:02} min"


def _tokens(count: int) -> str:
    if count >= 1_000_000:
        return f"{count / 1_000_000:.1f} million"
    return f"{count:,}"


def as_data(plan: Plan, found: tuple[Finding, ...] | None = None) -> dict[str, Any]:
    """The same as a value for `--json`; `shape` and `forecast` are null for a plan that cannot be scheduled. `found`: what the
    lint says when left out.
    """
    found = lint(plan) if found is None else found
    data: dict[str, Any] = {"plan": plan.id, "name": plan.name, "tasks": len(plan.tasks), "floors": dict(plan.floors)}
    data["ok"] = not errors(found)
    data["errors"] = len(errors(found))
    data["warnings"] = sum(each.severity is Severity.WARNING for each in found)
    data["findings"] = [
        {"severity": each.severity.value, "rule": each.rule, "task": each.task, "what": each.what, "mend": each.mend}
        for each in found
    ]
    return data | _figures(plan, drawable=not errors(found))


def _figures(plan: Plan, *, drawable: bool) -> dict[str, Any]:
    if not drawable:
        return {"shape": None, "forecast": None}
    shape = shape_of(plan)
    return {
        "shape": {
            "work_minutes": shape.minutes,
            "tokens": shape.tokens,
            "width": shape.width,
            "width_is_exact": shape.width_is_exact,
            "critical_path": list(shape.critical_path),
            "critical_minutes": shape.critical_minutes,
            "keeps_busy": shape.keeps_busy,
            "fastest_with": shape.fastest_with,
        },
        "forecast": [
            {"agents": each.agents, "minutes": each.minutes, "busy": round(each.busy, 4)}
            for each in forecasts(plan, shape)
        ],
    }
