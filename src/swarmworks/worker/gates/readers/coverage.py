"""Reader `coverage`: coverage.py's JSON report against a floor in percent, for the files a task answers for or for all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from swarmworks.domain.gate import COVERAGE_PERCENT, Finding, GateOutcome
from swarmworks.worker.gates.difference import read_regular
from swarmworks.worker.gates.readers.judged import Judged, bounded, line_of, relative

if TYPE_CHECKING:
    from pathlib import Path

REPORT = "coverage.json"
MAX_BYTES = 64 << 20
_ROUNDING = 1e-9
_MOST_STATEMENTS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Measured:
    path: str
    statements: int
    covered: int
    missing: tuple[int, ...]

    @property
    def percent(self) -> float:
        return 100.0 if self.statements == 0 else 100.0 * self.covered / self.statements


def read_coverage(reports: Path, floor: float | None, covers: tuple[str, ...]) -> Judged:
    """Each of the files in `covers` (a trailing slash: all below it) has to reach `floor`; with no `covers`, the total."""
    if floor is None:
        return Judged(
            GateOutcome.RAN_NOTHING, "no floor is set: give the gate one, or state a coverage in the specification"
        )
    text = read_regular(reports / REPORT, MAX_BYTES)
    files = None if text is None else _files(text)
    if files is None:
        return Judged(GateOutcome.RAN_NOTHING, f"no readable report was left in $SWARM_REPORTS/{REPORT}")
    statements = sum(file.statements for file in files)
    if statements == 0:
        return Judged(GateOutcome.RAN_NOTHING, "the report covers no statement")
    total = 100.0 * sum(file.covered for file in files) / statements
    metrics = {COVERAGE_PERCENT: round(total, 2), "statements": float(statements)}
    if covers:
        return _judge_covered(files, covers, floor, metrics)
    if total + _ROUNDING >= floor:
        return Judged(GateOutcome.PASSED, f"{total:.1f} % of {statements} statements are covered", metrics=metrics)
    worst = sorted((file for file in files if file.missing), key=lambda file: file.percent)
    findings = bounded(_finding(file, floor) for file in worst)
    return Judged(GateOutcome.FAILED, f"{total:.1f} % are covered, {floor:g} % are needed", findings, metrics)


def _judge_covered(files: list[_Measured], covers: tuple[str, ...], floor: float, metrics: dict[str, float]) -> Judged:
    findings: list[Finding] = []
    judged = 0
    for entry in covers:
        matching = [f for f in files if f.path == entry or (entry.endswith("/") and f.path.startswith(entry))]
        if not matching:
            findings.append(
                Finding("the tests' report says nothing about this file", entry, 0, f"at least {floor:g} %", "nothing")
            )
        judged += len(matching)
        findings += [_finding(file, floor) for file in matching if file.percent + _ROUNDING < floor]
    if findings:
        count = len(findings)
        summary = f"{count} of the files these tests answer for {'is' if count == 1 else 'are'} below {floor:g} %"
        return Judged(GateOutcome.FAILED, summary, bounded(findings), metrics)
    return Judged(GateOutcome.PASSED, f"{judged} files reach {floor:g} %", metrics=metrics)


def _finding(file: _Measured, floor: float) -> Finding:
    return Finding(
        message=f"not covered: lines {_ranges(file.missing)}",
        file=file.path,
        line=file.missing[0] if file.missing else 0,
        expected=f"at least {floor:g} % of {file.statements} statements",
        provided=f"{file.percent:.1f} %",
    )


def _files(text: str) -> list[_Measured] | None:
    """None when the text is not such a report."""
    try:
        document: Any = json.loads(text)
        return [_measured(path, entry) for path, entry in cast("dict[str, Any]", document["files"]).items()]
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return None


def _measured(path: str, entry: dict[str, Any]) -> _Measured:
    summary = entry["summary"]
    statements, covered = int(summary["num_statements"]), int(summary["covered_lines"])
    if not 0 <= covered <= statements <= _MOST_STATEMENTS:
        raise ValueError("more is covered than there is, or than there can be")
    missing = tuple(sorted(line_of(line) for line in entry.get("missing_lines", ())))
    return _Measured(relative(path), statements, covered, missing)


def _ranges(lines: tuple[int, ...]) -> str:
    """`3-5, 9`, at most ten ranges."""
    ranges: list[list[int]] = []
    for line in lines:
        if ranges and line == ranges[-1][1] + 1:
            ranges[-1][1] = line
        else:
            ranges.append([line, line])
    shown = [f"{first}-{last}" if last > first else str(first) for first, last in ranges[:10]]
    return ", ".join(shown) + (f" and {len(ranges) - 10} more places" if len(ranges) > 10 else "")
