"""What a reader makes of a finished command, and the bounds on what it passes on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swarmworks.domain.gate import Finding, GateOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_FINDINGS = 50
MAX_MESSAGE = 600
TREE = "/swarm/tree"
_MOST_LINES = 10_000_000

_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class Judged:
    outcome: GateOutcome
    summary: str
    findings: tuple[Finding, ...] = ()
    metrics: Mapping[str, float] = field(default_factory=dict[str, float])
    tests_passed: tuple[str, ...] = ()


def plain(text: str, limit: int = MAX_MESSAGE) -> str:
    """Without terminal control sequences and what is no text, at most `limit` characters."""
    cleaned = _CONTROL.sub("", text).strip()
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1] + "…"


def line_of(value: object) -> int:
    """The number of a line in a report that may hold anything; 0 for what is none."""
    return value if isinstance(value, int) and 0 < value <= _MOST_LINES else 0


def relative(path: str) -> str:
    """The repository path of a file that a tool names."""
    return plain(path.removeprefix(TREE + "/").removeprefix("./"), 400)


def bounded(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    kept = list(findings)
    if len(kept) <= MAX_FINDINGS:
        return tuple(kept)
    return (*kept[:MAX_FINDINGS], Finding(f"and {len(kept) - MAX_FINDINGS} more"))


def failed(noun: str, findings: list[Finding], metrics: Mapping[str, float] | None = None) -> Judged:
    count = len(findings)
    summary = f"{count} {noun}{'s' if count != 1 else ''}"
    return Judged(GateOutcome.FAILED, summary, bounded(findings), metrics or {"findings": float(count)})
