from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmworks.base.ids import TaskId
from swarmworks.domain.gate import Finding, GateDefinition, GateOutcome, GateResult
from swarmworks.domain.plan import FIX_BUG, IMPLEMENT_FEATURE, WRITE_TESTS, PlannedTask
from swarmworks.policy.parking import OWN_FAULTS, Fate, code_tested_by, fate, fix_for, gates_that_test, may_park
from swarmworks.policy.staffing import staff
from swarmworks.policy.testfiles import is_test_file
from swarmworks.wire.planfile import is_task_id
from tests.policy.test_lint import plan

GATES = frozenset({"tests", "coverage"})
TEST = "tests/test_a.py"


def task(name: str, kind: str = IMPLEMENT_FEATURE, **more) -> PlannedTask:
    given = {"title": name, "role": "api", "instructions": "do", "output": "it", "gates": ("scope",), **more}
    return PlannedTask(id=TaskId(name), kind=kind, **given)


CODE = task(
    "code", owns=("app/a.py", "tests/test_code.py"), role="backend", contracts=("a()",), gates=("scope", "types")
)
OTHER = task("other", owns=("app/b.py",))
TESTS = task("tests", WRITE_TESTS, owns=(TEST,), covers=("app/a.py",), depends_on=(CODE.id,), gates=("scope", "tests"))
ALL = (CODE, OTHER, TESTS)


def failing(**more) -> Finding:
    return Finding(**{"message": "no", "file": TEST, "line": 3, "test": "t::a", "error": "AssertionError", **more})


def result(*findings: Finding, gate: str = "tests", outcome: GateOutcome = GateOutcome.FAILED) -> GateResult:
    return GateResult(gate, outcome, "failed", findings=findings)


def decide(*failed: GateResult, by: PlannedTask = TESTS, changed: tuple[str, ...] = (TEST,), tasks=ALL) -> Fate:
    return fate(by, changed, failed, gates=GATES, tasks=tasks)


def test_a_test_that_fails_on_code_it_does_not_own_is_parked():
    assert decide(result(failing())) is Fate.PARK
    no_evidence = result(gate="coverage", outcome=GateOutcome.RAN_NOTHING)
    assert decide(result(failing()), no_evidence) is Fate.PARK
    assert decide(result(failing(error="KeyError", code="app/a.py:3"))) is Fate.PARK


@pytest.mark.parametrize("error", sorted(OWN_FAULTS))
def test_an_error_in_the_test_itself_is_its_authors_and_in_the_code_it_is_not(error):
    assert decide(result(failing(error=error))) is Fate.REWORK
    if error != "collection":
        assert decide(result(failing(error=error, code="app/a.py:3"))) is Fate.PARK


def test_a_fixture_that_breaks_is_the_authors_and_one_that_asserts_something_of_the_code_is_not():
    assert decide(result(failing(error="setup:TypeError"))) is Fate.REWORK
    assert decide(result(failing(error="teardown:OSError"))) is Fate.REWORK
    assert decide(result(failing(error="setup:AssertionError"))) is Fate.PARK
    assert decide(result(failing(error="setup:KeyError", code="app/a.py:1"))) is Fate.PARK


def test_everything_else_that_fails_beside_the_tests_is_ordinary_rework():
    assert decide(result(failing()), result(Finding("unused", TEST, 1), gate="lint")) is Fate.REWORK
    assert decide(result(Finding("not covered", "app/a.py"), gate="coverage")) is Fate.REWORK
    assert decide(result()) is Fate.REWORK
    assert decide(result(outcome=GateOutcome.RAN_NOTHING)) is Fate.REWORK
    assert decide(result(failing(), failing(file="tests/test_b.py"))) is Fate.REWORK
    assert decide(result(failing()), changed=()) is Fate.REWORK


def test_other_kinds_park_only_what_touches_tests_and_nothing_else():
    feature = replace(TESTS, kind=IMPLEMENT_FEATURE)
    assert decide(result(failing()), by=feature) is Fate.PARK
    assert decide(result(failing()), by=feature, changed=(TEST, "app/c.py")) is Fate.REWORK
    owner = replace(feature, owns=(TEST, "app/a.py"))
    assert decide(result(failing()), by=owner) is Fate.REWORK
    assert decide(result(failing()), by=replace(TESTS, kind=FIX_BUG)) is Fate.REWORK


def test_without_covers_the_code_is_what_the_implementing_dependencies_own_beside_their_tests():
    bare = replace(TESTS, covers=())
    assert code_tested_by(bare, ALL) == ("app/a.py",)
    alone = replace(bare, depends_on=())
    assert code_tested_by(alone, ALL) == ()
    assert decide(result(failing()), by=alone) is Fate.REWORK


def test_the_fix_owns_test_and_code_and_what_the_traceback_names_as_far_as_the_plan_gave_it_away():
    named = (failing(code="app/b.py:9"), failing(code=".github/workflows/x.yml:1"), failing(code="swarm.toml:2"))
    fix = fix_for(TESTS, [result(*named)], ALL)
    assert fix.owns == (TEST, "app/a.py", "app/b.py")
    assert (fix.id, fix.kind, fix.supersedes, fix.depends_on) == ("fix-tests", FIX_BUG, "tests", (CODE.id,))


def test_the_fix_is_for_who_wrote_the_code_with_the_gates_and_the_facts_of_both():
    left_out = {"tests": "later", "coverage": "none"}
    tests, code = replace(TESTS, specification="a: 1"), replace(CODE, specification="b: 2", not_required=left_out)
    fix = fix_for(tests, [result(failing())], (code, OTHER, tests))
    assert (fix.role, fix.contracts, fix.gates) == ("backend", ("a()",), ("scope", "tests", "types"))
    assert fix.specification == "b: 2\n---\na: 1\n"
    assert fix.not_required == {"coverage": "none"}
    assert fix.acceptance[0].gate == "tests"
    assert "`app/a.py`" in fix.instructions
    assert "nothing_to_do" in fix.instructions


def test_a_second_fix_has_an_id_of_its_own_and_every_id_is_one():
    first = fix_for(TESTS, [result(failing())], ALL)
    assert fix_for(TESTS, [result(failing())], (*ALL, first)).id == "fix-tests-2"
    long = replace(TESTS, id=TaskId("a" * 100))
    assert is_task_id(fix_for(long, [result(failing())], (CODE, long)).id)


def test_every_agent_may_take_a_fix():
    assert all(FIX_BUG in agent.kinds for agent in staff(plan(CODE, TESTS), 3, "p"))


def test_only_gates_that_name_tests_are_gates_of_tests():
    made = [GateDefinition(name, "x", reader) for name, reader in (("a", "junit"), ("b", "coverage"), ("c", "exit"))]
    assert gates_that_test(made) == {"a", "b"}


findings = st.builds(
    failing,
    file=st.sampled_from([TEST, "tests/test_b.py", "app/a.py", ""]),
    error=st.sampled_from(["AssertionError", "KeyError", "NameError", "collection", "setup:TypeError", ""]),
    code=st.sampled_from(["", "app/a.py:1", "app/b.py:2"]),
    test=st.sampled_from(["t::a", ""]),
)
results = st.builds(
    lambda found, gate, outcome: result(*found, gate=gate, outcome=outcome),
    st.lists(findings, max_size=3),
    st.sampled_from(["tests", "coverage", "lint"]),
    st.sampled_from([GateOutcome.FAILED, GateOutcome.RAN_NOTHING]),
)
changes = st.lists(st.sampled_from([TEST, "app/c.py"]), max_size=2, unique=True)
makers = st.sampled_from([TESTS, replace(TESTS, kind=IMPLEMENT_FEATURE), replace(TESTS, covers=()), CODE])


@given(st.lists(results, min_size=1, max_size=3), changes, makers)
def test_whatever_is_parked_names_failed_tests_of_its_own_and_nothing_else(failed, changed, by):
    if decide(*failed, by=by, changed=tuple(changed)) is Fate.REWORK:
        return
    assert may_park(by)
    assert changed
    assert all(one.gate in GATES for one in failed)
    tests = [finding for one in failed for finding in one.findings if finding.test]
    assert tests
    assert all(finding.file in by.owns for finding in tests)
    fix = fix_for(by, failed, ALL)
    assert set(by.owns) < set(fix.owns)
    assert set(code_tested_by(by, ALL)) <= set(fix.owns)
    planned = {path for one in ALL for path in one.owns}
    assert set(fix.owns) <= planned | set(by.covers)


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/test_a.py", True),
        ("tests/factories/a.py", True),
        ("app/test_a.py", True),
        ("src/a.test.ts", True),
        ("pkg/a_test.go", True),
        ("src/__tests__/a.js", True),
        ("conftest.py", True),
        ("app/a.py", False),
        ("app/contest.py", False),
        ("app/latest.py", False),
        ("testimonials/a.py", False),
    ],
)
def test_test_files_are_known_by_name(path, is_test):
    assert is_test_file(path) is is_test
