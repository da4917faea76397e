from __future__ import annotations

from dataclasses import replace

from swarmworks.base.ids import TaskId
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.plan import FIX_BUG, PlannedTask
from swarmworks.policy.health import foreign, task_for
from swarmworks.wire.planfile import is_task_id

TEST = "tests/test_core.py"
FINDING = Finding("assert 3 == 2", file=TEST, line=4, test="tests.test_core.test_total[1-2]", code="app/core.py:9")


def task(name: str, **more) -> PlannedTask:
    given = {"title": name, "role": "api", "instructions": "do", "output": "it", "gates": ("scope", "tests"), **more}
    return PlannedTask(id=TaskId(name), kind="implement_feature", **given)


MINE = task("mine", owns=("app/mine.py",))
CORE = task("core", owns=("app/core.py", TEST), role="backend", specification="core: yes\n")


def failed(*findings: Finding, gate="tests") -> GateResult:
    return GateResult(gate, GateOutcome.FAILED, "failed", findings=findings)


def test_only_what_failed_in_tests_of_others_is_nobody_s():
    assert foreign(MINE, [failed(FINDING)]) == (FINDING,)
    assert foreign(CORE, [failed(FINDING)]) == ()
    own = replace(FINDING, file="app/mine.py", test="other")
    assert foreign(MINE, [failed(FINDING, own)]) == ()
    assert foreign(MINE, [failed(FINDING), failed(Finding("too long"), gate="lint")]) == ()
    nothing = GateResult("coverage", GateOutcome.RAN_NOTHING, "no report")
    assert foreign(MINE, [failed(FINDING), nothing]) == (FINDING,)
    assert foreign(MINE, []) == ()


def test_the_task_owns_the_test_and_the_code_that_nobody_else_is_at():
    made = task_for([FINDING], "tests", MINE, [MINE, CORE], frozenset())
    assert (made.kind, made.role, made.owns) == (FIX_BUG, "backend", (TEST, "app/core.py"))
    assert made.specification == CORE.specification
    assert [one.gate for one in made.acceptance] == ["tests"]
    assert FINDING.test in made.instructions
    held = task_for([FINDING], "tests", MINE, [MINE, CORE], frozenset({CORE.id}))
    assert (held.owns, held.reads) == ((TEST,), ("app/core.py",))


def test_a_file_that_no_task_owns_is_given_to_nobody():
    stray = replace(FINDING, code="setup.py:1")
    made = task_for([stray], "tests", MINE, [MINE], frozenset())
    assert (made.owns, made.reads, made.role) == ((TEST,), (), "api")


def test_its_name_is_the_test_s_and_free():
    first = task_for([FINDING], "tests", MINE, [MINE], frozenset())
    second = task_for([FINDING], "tests", MINE, [MINE, first], frozenset())
    assert (first.id, second.id) == ("health-test_total", "health-test_total-2")
    odd = task_for([replace(FINDING, test="x::/../ ü")], "tests", MINE, [MINE], frozenset())
    assert is_task_id(odd.id)
