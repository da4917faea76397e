"""The quality of the landed code in numbers, measured with radon on the files' text: nothing is executed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from radon.complexity import cc_visit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from radon.metrics import mi_visit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from radon.raw import analyze  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from swarmworks.wire.api import CodeReport

COMPLEXITY_LIMIT = 10
MAINTAINABILITY_LIMIT = 20.0  # radon's own border between "very" and "medium" maintainable
COVERAGE_LIMIT = 80.0
MINUTES_PER_COMPLEXITY = 10
MINUTES_PER_FILE = 30
MINUTES_PER_PERCENT = 5
DEBT_METHOD = (
    f"{MINUTES_PER_COMPLEXITY} minutes for each point of cyclomatic complexity above {COMPLEXITY_LIMIT} in a function, "
    f"{MINUTES_PER_FILE} for each file with a maintainability index under {MAINTAINABILITY_LIMIT:g}, "
    f"{MINUTES_PER_PERCENT} for each percent of coverage missing to {COVERAGE_LIMIT:g}"
)


def measure(files: Mapping[str, str], coverage_percent: float | None) -> CodeReport | None:
    """`files` maps path to Python source; those that do not parse are left out. None when none is left. Maintainability
    index: 0 to 100 as radon scales it (Oman and Hagemeister 1992, with the comment term).
    """
    lines = source_lines = counted = 0
    complexities: list[tuple[int, str]] = []
    indexes: list[tuple[float, str]] = []
    for path, text in sorted(files.items()):
        try:
            raw = cast("Any", analyze(text))
            blocks = cast("list[Any]", cc_visit(text))
            index = float(cast("Any", mi_visit(text, multi=True)))
        except SyntaxError:
            continue
        counted += 1
        lines += int(raw.loc)
        source_lines += int(raw.sloc)
        complexities += [(int(b.complexity), f"{path}:{b.lineno} {b.fullname}") for b in blocks if b.letter != "C"]
        indexes.append((index, path))
    if not counted:
        return None
    worst = max(complexities, default=(0, ""))
    lowest = min(indexes)
    minutes = sum(max(0, value - COMPLEXITY_LIMIT) * MINUTES_PER_COMPLEXITY for value, _ in complexities)
    minutes += sum(MINUTES_PER_FILE for value, _ in indexes if value < MAINTAINABILITY_LIMIT)
    if coverage_percent is not None:
        minutes += round(max(0.0, COVERAGE_LIMIT - coverage_percent) * MINUTES_PER_PERCENT)
    return CodeReport(
        files=counted,
        lines=lines,
        source_lines=source_lines,
        complexity_mean=sum(value for value, _ in complexities) / len(complexities) if complexities else 0.0,
        complexity_max=worst[0],
        complexity_worst=worst[1],
        maintainability_mean=sum(value for value, _ in indexes) / len(indexes),
        maintainability_min=lowest[0],
        maintainability_worst=lowest[1],
        debt_hours=minutes / 60,
        debt_method=DEBT_METHOD,
    )
