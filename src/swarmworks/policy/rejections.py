"""What a failed gate run or a conflict means for the change, and the rejection the next attempt is told."""

from __future__ import annotations

from collections.abc import Sequence

from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.rejection import RejectedFinding, Rejection, RejectionKind

MOST_FINDINGS = 30
LOG_TAIL_CHARACTERS = 4096


def judge(results: Sequence[GateResult], required: frozenset[str]) -> tuple[list[GateResult], list[str]]:
    """The required gates that failed the change, and the names of those that gave no evidence either way (could not run,
    or have no result at all). A gate that ran nothing failed it: no evidence is the change's to mend.
    """
    by_name = {result.gate: result for result in results}
    failed: list[GateResult] = []
    unknown: list[str] = []
    for name in sorted(required):
        result = by_name.get(name)
        if result is None or result.outcome is GateOutcome.COULD_NOT_RUN:
            unknown.append(name)
        elif result.outcome is not GateOutcome.PASSED:
            failed.append(result)
    return failed, unknown


def from_gates(failed: Sequence[GateResult], *, tree: str, base: str, attempts_left: int) -> Rejection:
    scope = any(result.gate == "scope" for result in failed)
    findings = [_finding(result, finding) for result in failed for finding in result.findings]
    return Rejection(
        kind=RejectionKind.SCOPE if scope else RejectionKind.GATE_FAILED,
        summary="; ".join(f"{result.gate}: {result.summary}" for result in failed)[:1000],
        tree=tree,
        findings=tuple(findings[:MOST_FINDINGS]),
        log_tail="\n".join(result.log_tail for result in failed if result.log_tail)[-LOG_TAIL_CHARACTERS:],
        attempts_left=attempts_left,
        base=base,
    )


def from_conflict(paths: Sequence[str], detail: str, *, base: str, attempts_left: int) -> Rejection:
    findings = tuple(
        RejectedFinding(gate="merge", file=path, message="conflicts with what landed meanwhile")
        for path in paths[:MOST_FINDINGS]
    )
    return Rejection(
        kind=RejectionKind.CONFLICT,
        summary=f"{len(paths)} file{'s' if len(paths) != 1 else ''} conflict with the integration branch",
        tree="",
        findings=findings,
        log_tail=detail[-LOG_TAIL_CHARACTERS:],
        attempts_left=attempts_left,
        base=base,
    )


def _finding(result: GateResult, finding: Finding) -> RejectedFinding:
    return RejectedFinding(
        gate=result.gate,
        file=finding.file,
        line=finding.line,
        message=finding.message,
        expected=finding.expected,
        provided=finding.provided,
    )
