"""A candidate that fails tests of other tasks is looked at twice: the tests may be flaky, or fail on the branch already. So
is one on a commit that somebody pushed and nobody judged, whatever it fails. Only what the change itself broke is charged to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from swarmworks.domain.gate import COVERAGE_PERCENT, GateOutcome, GateResult, GateStage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swarmworks.wire.work import BuildWork

FLAKY, ON_THE_BRANCH = "flaky", "on_the_branch"
"""Metrics of a result: how many tests failed and passed on the same tree; how many fail without the change as well, or 1 where none is named."""

MOST_NAMED = 3

Results = tuple[tuple[GateResult, ...], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Judged:
    """A commit with its tree, on what it stands."""

    commit: str
    tree: str
    base: str


class Check(Protocol):
    async def __call__(
        self, work: BuildWork, stage: GateStage, commit: str, tree: str, base: str, *, only: frozenset[str]
    ) -> Results: ...


async def look_again(check: Check, work: BuildWork, candidate: Judged, branch: Judged, found: Results) -> Results:
    """`found` are the results of the candidate, returned as they are where there is no doubt: another gate failed too, or a
    failed test lies in a file the task owns, or is not named. On an unproved push there is always doubt.
    """
    results, keys = found
    doubted = _doubted(work, results)
    if not doubted and not (work.pushed and _failing(results)):
        return found
    second, new_keys = dict[str, GateResult](), dict[str, str]()
    if doubted:
        wanted = doubted | frozenset(one.gate for one in results if one.outcome is GateOutcome.RAN_NOTHING)
        again, new_keys = await check(
            work, GateStage.CANDIDATE, candidate.commit, candidate.tree, candidate.base, only=wanted
        )
        second = {one.gate: one for one in again if one.gate in wanted}
    now = [second.get(one.gate, one) for one in results]
    failed = _failing(now)
    still = frozenset(failed) if work.pushed else frozenset(doubted & second.keys() & failed.keys())
    without: dict[str, GateResult] = {}
    if still:
        before, _ = await check(work, GateStage.CANDIDATE, branch.commit, branch.tree, branch.base, only=still)
        without = _failing(before)
    alike = _partly_the_same if work.pushed else _the_same
    merged = tuple(_weighed(one, other, without.get(one.gate), alike) for one, other in zip(results, now, strict=True))
    flaky = {one.gate for one in merged if FLAKY in one.metrics}
    kept = {name: key for name, key in {**keys, **new_keys}.items() if name not in flaky and name not in still}
    return merged, kept


def _doubted(work: BuildWork, results: Sequence[GateResult]) -> frozenset[str]:
    failed = [one for one in results if one.outcome is GateOutcome.FAILED]
    foreign = [one for one in failed if _failed_tests(one) and not any(_owned(work, f.file) for f in one.findings)]
    return frozenset(one.gate for one in foreign) if len(foreign) == len(failed) else frozenset()


def _owned(work: BuildWork, path: str) -> bool:
    return any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in work.task.owns)


def _failed_tests(result: GateResult) -> frozenset[str]:
    return frozenset(finding.test for finding in result.findings if finding.test)


def _failing(results: Sequence[GateResult]) -> dict[str, GateResult]:
    return {one.gate: one for one in results if one.outcome in {GateOutcome.FAILED, GateOutcome.RAN_NOTHING}}


def _the_same(now: GateResult, without: GateResult) -> bool:
    """Everything that fails fails without the change as well."""
    return bool(tests := _failed_tests(now)) and tests <= _failed_tests(without)


def _partly_the_same(now: GateResult, without: GateResult) -> bool:
    """Enough for nobody to be charged where the branch itself is in doubt: what is wrong there has to be mended first. Not so of
    what it takes the change to pass: that it covers its code, or that there is anything to check at all.
    """
    measured = COVERAGE_PERCENT in now.metrics or COVERAGE_PERCENT in without.metrics
    if measured or not now.outcome == without.outcome == GateOutcome.FAILED:
        return False
    tests, others = _failed_tests(now), _failed_tests(without)
    if tests or others:
        return not tests or not others or not tests.isdisjoint(others)
    said, there = _said(now), _said(without)
    return not said or not there or not said.isdisjoint(there)


def _said(result: GateResult) -> frozenset[tuple[str, str]]:
    return frozenset((finding.file, finding.message) for finding in result.findings)


def _weighed(
    first: GateResult,
    second: GateResult,
    without: GateResult | None,
    alike: Callable[[GateResult, GateResult], bool],
) -> GateResult:
    """The second result, with what the first and the branch say of it."""
    if first.outcome is GateOutcome.FAILED and second.outcome is GateOutcome.PASSED:
        before = _failed_tests(first)
        summary = f"{second.summary}; flaky: {_named(before)} failed on the same tree before"
        return replace(second, summary=summary, metrics={**second.metrics, FLAKY: float(len(before))})
    if without is not None and alike(second, without):
        now = _failed_tests(second)
        summary = f"{second.summary}; {_named(now) or 'it'} fails on the branch without this change as well"
        return replace(second, summary=summary, metrics={**second.metrics, ON_THE_BRANCH: float(len(now) or 1)})
    return second


def _named(tests: frozenset[str]) -> str:
    more = f" and {len(tests) - MOST_NAMED} more" if len(tests) > MOST_NAMED else ""
    return ", ".join(sorted(tests)[:MOST_NAMED]) + more
