"""What a delivery needs, and what is said of one that cannot go on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from swarmworks.domain.gate import GateResult
from swarmworks.policy.rejections import judge

MERGED_TREE = "on the tree merged"
"""How the note begins when the merge is clean and what it makes is not."""

SHOWN = 5
SHOWN_FINDINGS = 10


class Way(StrEnum):
    THERE = "there"  # the branch has everything already
    FORWARD = "forward"  # the integration branch continues it
    MERGE = "merge"  # it has commits of its own since


def failure_note(
    results: Sequence[GateResult], required: frozenset[str], *, conflicts: Sequence[str], branch: str
) -> str | None:
    """Why what was merged must not be delivered; None when every required gate passed."""
    if conflicts:
        return f"{branch} and the swarm changed the same lines of {_listed(conflicts)}"
    failed, unknown = judge(results, required)
    if failed:
        said = "; ".join(f"{one.gate}: {one.summary}" for one in failed)
        found = [_finding(one.gate, f.file, f.line, f.message) for one in failed for f in one.findings]
        return "\n".join([f"{MERGED_TREE} with {branch}: {said}", *found[:SHOWN_FINDINGS]])
    if unknown:
        summaries = {one.gate: one.summary for one in results}
        why = (f"{name} could not run: {summaries.get(name, 'no worker ran it')}" for name in unknown)
        return f"{MERGED_TREE} with {branch}, gate " + "; gate ".join(why)
    return None


def unfinished(left: Sequence[str]) -> str:
    return f"{len(left)} task{'s are' if len(left) != 1 else ' is'} not done ({_listed(left)})"


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _finding(gate: str, file: str, line: int, message: str) -> str:
    place = f"{file}:{line}" if file and line else file or gate
    return f"{place}: {' '.join(message.split())[:200]}"
