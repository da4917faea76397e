"""What a failed gate run or a conflict means for the change, and the rejection the next attempt is told."""

from __future__ import annotations

from collections.abc import Sequence

from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.rejection import RejectedFinding, Rejection, RejectionKind

MOST_FINDINGS = 30
LOG_TAIL_CHARACTERS = 4096
MOST_TOLD = 3
MOST_DETAILS = 10
MOST_TEXT = 300


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


def from_gates(failed: Sequence[GateResult], *, tree: str, base: str, attempts_left: int = 0) -> Rejection:
    """What failed comes before what only ran nothing: a coverage gate beside failed tests is their consequence."""
    failed = sorted(failed, key=lambda result: result.outcome is GateOutcome.RAN_NOTHING)
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


def could_not_run(unknown: Sequence[str], results: Sequence[GateResult], *, tree: str, base: str) -> Rejection:
    """Gates that gave no evidence, again and again: no fault of the change's."""
    why = {found.gate: found.summary for found in results}
    told = [f"gate {name} could not run: {why.get(name, 'it is not configured')}" for name in unknown]
    log = "\n".join(result.log_tail for result in results if result.gate in unknown and result.log_tail)
    tail = log[-LOG_TAIL_CHARACTERS:]
    return Rejection(RejectionKind.INFRASTRUCTURE, "; ".join(told)[:1000], tree=tree, log_tail=tail, base=base)


def from_conflict(paths: Sequence[str], detail: str, *, base: str) -> Rejection:
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
        base=base,
    )


def in_words(rejection: Rejection) -> str:
    """The summary and the first findings, for a person who has to decide."""
    return "; ".join([rejection.summary, *(_told(finding) for finding in rejection.findings[:MOST_TOLD])])


def details(rejection: Rejection) -> list[dict[str, object]]:
    """The first findings as data, for the record."""
    rows: list[dict[str, object]] = []
    for found in rejection.findings[:MOST_DETAILS]:
        row: dict[str, object] = {"gate": found.gate, "file": found.file, "line": found.line, "code": found.code}
        row |= {"message": found.message[:MOST_TEXT], "expected": found.expected[:MOST_TEXT]}
        rows.append(row | {"provided": found.provided[:MOST_TEXT]})
    return rows


def _told(finding: RejectedFinding) -> str:
    place = f"{finding.file}:{finding.line}" if finding.line else finding.file
    text = f"{place}: {finding.message}" if place else finding.message
    compared = f" (expected {finding.expected}, provided {finding.provided})" if finding.expected else ""
    return f"{text[:MOST_TEXT]}{compared[:MOST_TEXT]}"


def _finding(result: GateResult, finding: Finding) -> RejectedFinding:
    return RejectedFinding(
        gate=result.gate,
        file=finding.file,
        line=finding.line,
        message=finding.message,
        expected=finding.expected,
        provided=finding.provided,
        code=finding.code,
    )
