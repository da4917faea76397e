from __future__ import annotations

from dataclasses import replace

import pytest

from swarmworks.domain.plan import Acceptance, Estimate, Plan, PlannedTask, Source, Stack
from swarmworks.policy.lint import Severity, errors, lint


def task(task_id: str, *depends_on: str, **changes) -> PlannedTask:
    found = PlannedTask(
        id=task_id,
        kind="refactor",
        title="Move it",
        role="api",
        instructions="Move the function `f` from a.py to b.py and keep its name.",
        output="`f` is in b.py.",
        depends_on=depends_on,
        owns=(f"src/{task_id}.py",),
        contracts=("f(x: int) -> int",),
        acceptance=(Acceptance("The tests pass", "tests"),),
        gates=("scope", "tests"),
    )
    return replace(found, **changes)


def plan(*tasks: PlannedTask, **changes) -> Plan:
    return replace(Plan("p", "P", "", Stack("python", ""), Source("text", "", ""), tasks), **changes)


def rules(*tasks: PlannedTask, **changes) -> list[tuple[str, str]]:
    return [(each.rule, each.task) for each in lint(plan(*tasks, **changes))]


def test_a_good_plan_has_no_findings():
    assert rules(task("a"), task("b", "a"), task("c", "a")) == []


def test_an_empty_plan_is_an_error():
    assert rules() == [("empty_plan", "")]


@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"instructions": " "}, "no_instructions", Severity.ERROR),
        ({"output": ""}, "no_output", Severity.ERROR),
        ({"acceptance": ()}, "no_acceptance", Severity.ERROR),
        ({"owns": ()}, "owns_nothing", Severity.ERROR),
        ({"acceptance": (Acceptance("Fast", "speed"),)}, "unproved_acceptance", Severity.ERROR),
        ({"not_required": {"tests": "because"}}, "gate_contradiction", Severity.ERROR),
        ({"not_required": {"types": " "}}, "gate_without_reason", Severity.ERROR),
        ({"owns": ("/etc/passwd",)}, "bad_path", Severity.ERROR),
        ({"owns": ("../x",)}, "bad_path", Severity.ERROR),
        ({"owns": ("src/*.py",)}, "bad_path", Severity.ERROR),
        ({"owns": (".git/config",)}, "bad_path", Severity.ERROR),
        ({"depends_on": ("a", "aa")}, "unknown_dependency", Severity.ERROR),
        ({"contracts": ()}, "no_contracts", Severity.WARNING),
        ({"instructions": "Do it properly, with tests etc. as needed."}, "vague", Severity.WARNING),
        ({"instructions": "Fix it."}, "too_short", Severity.WARNING),
        ({"owns": tuple(f"f{n}.py" for n in range(20))}, "too_large", Severity.WARNING),
        ({"estimate": Estimate(10**6, 5)}, "too_large", Severity.WARNING),
        ({"role": ""}, "no_role", Severity.WARNING),
        ({"title": ""}, "no_title", Severity.WARNING),
    ],
)
def test_each_fault_of_a_task_is_found(changes, rule, severity):
    faulty = task("b", **changes) if "depends_on" in changes else task("b", "a", **changes)
    found = lint(plan(task("a"), faulty))
    assert [(each.rule, each.task, each.severity) for each in found] == [(rule, "b", severity)]
    assert found[0].mend


def test_brackets_are_part_of_a_name():
    page = "app/blog/[slug]/page.tsx"
    assert lint(plan(task("a", owns=(page,)), task("b", "a", owns=("app/shop/[[...path]]/",), reads=(page,)))) == ()
    assert [each.rule for each in lint(plan(task("a", owns=(page,)), task("b", owns=(page,))))][:1] == ["overlap"]


def test_a_task_without_gates_proves_nothing():
    assert ("no_gates", "b") in rules(task("a"), task("b", "a", gates=(), acceptance=()))


def test_a_cycle_is_shown_as_a_path():
    found = lint(plan(task("a", "c"), task("b", "a"), task("c", "b"), task("d", "a")))
    assert [each.rule for each in found] == ["cycle"]
    assert found[0].what == "tasks wait for each other: a -> c -> b -> a"


def test_a_task_that_waits_for_itself_is_a_cycle():
    assert "a -> a" in lint(plan(task("a", "a")))[0].what


def test_an_id_that_stands_twice_is_an_error():
    assert ("duplicate_id", "a") in rules(task("a"), task("a"), task("b", "a"))


def test_a_misspelt_dependency_is_suggested():
    found = lint(plan(task("schema-user"), task("b", "schema-usr")))
    assert found[0].mend == "did you mean `schema-user`?"


def test_tasks_that_run_together_must_not_share_a_file_or_folder():
    shared = {"owns": ("src/x.py",)}
    assert rules(task("a"), task("b", "a", **shared), task("c", "a", **shared)) == [("overlap", "c")]
    assert rules(task("a"), task("b", "a", **shared), task("c", "b", **shared)) == []
    assert rules(task("a"), task("b", "a", owns=("src/",)), task("c", "a", **shared)) == [("overlap", "c")]
    assert rules(task("a"), task("b", "a", owns=("src/xy/",)), task("c", "a", **shared)) == []


def test_where_files_are_not_exclusive_a_shared_file_is_a_note_and_no_error():
    shared = {"owns": ("src/x.py",)}
    [found] = lint(plan(task("a"), task("b", "a", **shared), task("c", "a", **shared)), exclusive=False)
    assert (found.rule, found.task, found.severity) == ("overlap", "c", Severity.WARNING)


def test_an_orphan_is_reported():
    assert rules(task("a"), task("b", "a"), task("c")) == [("orphan", "c")]
    assert rules(task("alone")) == []


def test_a_neighbour_that_may_not_have_landed_is_reported():
    assert rules(task("a"), task("b", "a"), task("c", "a", reads=("src/b.py",))) == [("late_neighbour", "c")]
    assert rules(task("a"), task("b", "a"), task("c", "b", reads=("src/b.py", "README.md"), covers=("src/a.py",))) == []


def test_a_floor_that_nothing_checks_is_reported():
    assert rules(task("a"), floors={"coverage": 80.0}) == [("unused_floor", "")]


def test_errors_come_first():
    found = lint(plan(task("a", contracts=()), task("b", "a", output="")))
    assert [each.severity for each in found] == [Severity.ERROR, Severity.WARNING]
    assert len(errors(found)) == 1


def test_a_command_belongs_to_a_task_of_its_kind_which_needs_neither_instructions_nor_interfaces():
    mechanical = task("a", kind="command", run="make format", instructions="", contracts=())
    assert rules(mechanical) == []
    assert rules(replace(mechanical, run="")) != []
    assert ("no_command", "a") in rules(replace(mechanical, run=" "))
    assert ("command_elsewhere", "a") in rules(replace(mechanical, kind="refactor"))
