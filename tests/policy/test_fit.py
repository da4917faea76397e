"""Which gates a plan may name: the project's, and for the one task that writes a plan the gate that judges plans."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmworks.domain.plan import PLAN, PLAN_GATE, Acceptance, Source
from swarmworks.policy.lint import Severity, errors
from swarmworks.policy.planning.fit import unknown_gates, without_unknown_gates
from swarmworks.policy.planning.from_words import Facts, GateFact, Wish, planning_plan
from swarmworks.wire.config import SwarmConfig
from tests.policy.test_lint import plan, task

PLANNING = planning_plan(
    Wish("Add a page", Source("text", "the command line", "0" * 64)),
    Facts("python", "", ("app.py",), (GateFact("scope"), GateFact("secrets"), GateFact("tests", "runs pytest"))),
)
KNOWN = SwarmConfig.model_validate(
    {"project": {"name": "p"}, "gates": {"commands": {"tests": {"run": "pytest"}}}}
).gate_names


@pytest.fixture
def known():
    assert KNOWN is not None
    return KNOWN


def test_the_plan_that_makes_a_plan_fits_every_project(known):
    assert unknown_gates(PLANNING, known) == ()
    assert without_unknown_gates(PLANNING, known) == (PLANNING, ())


def test_no_other_task_may_require_the_gate_of_plans(known):
    one = plan(replace(task("a"), gates=("scope", "tests", PLAN_GATE)))
    (found,) = unknown_gates(one, known)
    assert (found.rule, found.task) == ("unknown_gate", "a")
    kept, left_out = without_unknown_gates(one, known)
    assert left_out == (PLAN_GATE,)
    assert kept.tasks[0].gates == ("scope", "tests")


def test_words_about_gates_that_are_nowhere_are_told_and_keep_nothing_from_running(known):
    one = replace(
        plan(replace(task("a"), gates=("tests",), not_required={"coverage": "no code"})), floors={"speed": 9.0}
    )
    found = unknown_gates(one, known)
    assert {each.severity for each in found} == {Severity.WARNING}
    assert [each.what for each in found] == [
        "`coverage` is no gate of this project",
        "the floor of `speed`: no such gate",
    ]
    assert errors(found) == ()


def test_a_floor_that_is_one_letter_off_was_meant_to_hold(known):
    (found,) = unknown_gates(replace(plan(task("a")), floors={"test": 90.0}), known)
    assert (found.severity, found.mend) == (Severity.ERROR, "did you mean `tests`?")


def test_a_task_that_writes_a_plan_is_told_of_gates_that_are_nowhere(known):
    (found,) = unknown_gates(plan(replace(task("a", kind=PLAN), gates=(PLAN_GATE, "speed"))), known)
    assert found.what == "`speed` is no gate of this project"


@pytest.mark.parametrize(
    ("gates", "known", "proof", "required"),
    [
        (("scope", "tests"), {"scope", "secrets", "unit"}, "unit", ("scope", "unit")),
        (("scope", "tests"), {"scope", "secrets", "check", "unit"}, "unit", ("scope", "unit")),
        (("scope", "tests"), {"scope", "secrets", "check"}, "check", ("scope", "check")),
        (("scope", "lint", "tests"), {"scope", "lint", "unit"}, "unit", ("scope", "lint", "unit")),
        (("scope", "e2e-tests", "tests"), {"scope", "e2e-tests", "a-test"}, "e2e-tests", ("scope", "e2e-tests")),
        (("scope", "lint", "tests"), {"scope", "lint", "check"}, "lint", ("scope", "lint")),
        (("tests",), {"scope", "secrets"}, "scope", ("scope", "secrets")),
    ],
)
def test_what_a_gate_was_to_prove_that_is_nowhere_is_proved_by_one_of_the_projects(gates, known, proof, required):
    kept, left_out = without_unknown_gates(plan(replace(task("a"), gates=gates)), frozenset(known))
    assert left_out == ("tests",)
    assert [each.gate for each in kept.tasks[0].acceptance] == [proof]
    assert kept.tasks[0].gates == required


def test_a_task_that_loses_no_proof_is_given_no_gate(known):
    one = replace(task("a"), gates=("scope", "speed"), acceptance=(Acceptance("It is written", "scope"),))
    assert without_unknown_gates(plan(one), known)[0].tasks[0].gates == ("scope",)


def test_a_gate_that_a_task_does_without_proves_nothing_of_it():
    one = replace(task("a"), not_required={"unit": "there is nothing to run"})
    kept, _ = without_unknown_gates(plan(one), frozenset({"scope", "unit"}))
    assert (kept.tasks[0].gates, kept.tasks[0].acceptance[0].gate) == (("scope",), "scope")
