from __future__ import annotations

from dataclasses import dataclass

import pytest

from swarmworks.domain.gate import COVERAGE_PERCENT, Finding, GateOutcome, GateResult
from swarmworks.worker.second_look import FLAKY, ON_THE_BRANCH, Judged, look_again
from tests.scenario.harness import task

CANDIDATE, BRANCH = Judged("c" * 40, "1" * 40, "b" * 40), Judged("b" * 40, "2" * 40, "b" * 40)


@dataclass(frozen=True)
class Work:
    task: object = task("one", owns=("app/one.py", "tests/test_one.py"))
    pushed: str | None = None


def failing(*names: str, file: str = "tests/test_other.py", gate: str = "tests") -> GateResult:
    findings = tuple(Finding("no", file, 3, test=name) for name in names)
    return GateResult(gate, GateOutcome.FAILED, f"{len(names)} failed", findings=findings)


PASSED = GateResult("tests", GateOutcome.PASSED, "9 tests passed")


class Runs:
    """What the gates say when they are run again on the candidate, and on the branch."""

    def __init__(self, again: GateResult, branch: GateResult = PASSED) -> None:
        self.said = {CANDIDATE.commit: again, BRANCH.commit: branch}
        self.asked: list[tuple[str, frozenset[str]]] = []

    async def __call__(self, work, stage, commit, tree, base, *, only):
        self.asked.append((commit, only))
        return (self.said[commit],), {"tests": "key"}


async def look(runs: Runs, *found: GateResult, pushed=None):
    return await look_again(runs, Work(pushed=pushed), CANDIDATE, BRANCH, (tuple(found), {"lint": "kept"}))


async def test_what_passes_at_the_second_run_on_the_same_tree_is_flaky_and_on_record():
    runs = Runs(PASSED)
    (result,), keys = await look(runs, failing("t::a"))
    assert result.outcome is GateOutcome.PASSED
    assert result.metrics[FLAKY] == 1
    assert "flaky: t::a failed on the same tree before" in result.summary
    assert keys == {"lint": "kept"}, "a pass by luck is not remembered"
    assert runs.asked == [(CANDIDATE.commit, frozenset({"tests"}))]


async def test_what_fails_on_the_branch_as_well_is_said_to():
    (result,), _ = await look(Runs(failing("t::a"), failing("t::a", "t::b")), failing("t::a"))
    assert result.outcome is GateOutcome.FAILED
    assert result.metrics[ON_THE_BRANCH] == 1
    assert "t::a fails on the branch without this change as well" in result.summary


async def test_what_the_change_broke_is_the_changes():
    (result,), _ = await look(Runs(failing("t::a", "t::b"), failing("t::b")), failing("t::a"))
    assert result == failing("t::a", "t::b")


async def test_there_is_no_doubt_about_ones_own_tests_other_gates_and_what_names_no_test():
    for found in (
        (failing("t::a", file="tests/test_one.py"),),
        (failing("t::a"), GateResult("lint", GateOutcome.FAILED, "1 finding")),
        (GateResult("tests", GateOutcome.FAILED, "it crashed"),),
        (PASSED,),
    ):
        runs = Runs(PASSED)
        assert (await look(runs, *found))[0] == found
        assert runs.asked == []


async def test_a_gate_that_reads_the_tests_report_is_run_again_with_them():
    nothing = GateResult("coverage", GateOutcome.RAN_NOTHING, "no evidence")
    runs = Runs(PASSED)
    await look(runs, failing("t::a"), nothing)
    assert runs.asked == [(CANDIDATE.commit, frozenset({"tests", "coverage"}))]


CRASH = GateResult("tests", GateOutcome.FAILED, "it crashed")
LINT = GateResult("tests", GateOutcome.FAILED, "1 finding", findings=(Finding("unused import", "app/two.py", 1),))
NOTHING = GateResult("tests", GateOutcome.RAN_NOTHING, "no tests")


UNCOVERED = GateResult(
    "tests",
    GateOutcome.FAILED,
    "1 file below",
    (Finding("not covered: lines 3", "app/one.py", 3),),
    metrics={COVERAGE_PERCENT: 40.0},
)
OTHER_LINT = GateResult("tests", GateOutcome.FAILED, "1 finding", findings=(Finding("unused import", "app/one.py", 1),))


@pytest.mark.parametrize(
    "found", [CRASH, LINT, failing("t::a", file="tests/test_one.py")], ids=["crash", "lint", "own"]
)
async def test_whatever_fails_on_what_somebody_pushed_as_well_is_said_to(found):
    runs = Runs(found, found)
    (result,), _ = await look(runs, found, pushed=BRANCH.commit)
    assert result.metrics[ON_THE_BRANCH] == 1
    assert runs.asked == [(BRANCH.commit, frozenset({"tests"}))]


@pytest.mark.parametrize(
    ("found", "branch"), [(UNCOVERED, UNCOVERED), (NOTHING, NOTHING), (LINT, OTHER_LINT)], ids=["cover", "none", "lint"]
)
async def test_what_only_the_change_can_make_pass_is_its_own_whatever_was_pushed(found, branch):
    (result,), _ = await look(Runs(found, branch), found, pushed=BRANCH.commit)
    assert result == found


@pytest.mark.parametrize("branch", [PASSED, failing("t::b"), GateResult("tests", GateOutcome.COULD_NOT_RUN, "no disk")])
async def test_what_fails_on_top_of_what_somebody_pushed_and_not_there_is_the_changes(branch):
    (result,), _ = await look(Runs(PASSED, branch), own := failing("t::a", file="tests/test_one.py"), pushed="b" * 40)
    assert result == own
