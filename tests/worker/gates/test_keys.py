from __future__ import annotations

from dataclasses import replace

from swarmworks.domain.gate import GateStage
from swarmworks.wire.config_gates import built_in_gates
from swarmworks.worker.gates.keys import cacheable, gate_key, gate_parameters
from tests.worker.gates.bench import command

TESTS = command("pytest", "junit", name="tests")
COVERAGE = command(None, "coverage", name="coverage", source="tests", floor=80.0)


def key(definition=TESTS, tree="t1", environment="e1", definitions=(TESTS, COVERAGE), **parameters):
    return gate_key(definition, tree, environment, gate_parameters(definition, definitions, **parameters))


def test_the_same_facts_give_the_same_key():
    assert key() == key()


def test_every_fact_a_result_depends_on_changes_the_key():
    keys = {
        key(),
        key(tree="t2"),
        key(environment="e2"),
        key(replace(TESTS, command="pytest -x")),
        key(replace(TESTS, reader="exit")),
        key(COVERAGE),
        key(COVERAGE, covers=("app/a.py",)),
        key(COVERAGE, floors={"coverage": 90.0}),
        key(COVERAGE, definitions=(replace(TESTS, command="pytest -x"), COVERAGE)),
    }
    assert len(keys) == 9


def test_what_a_test_gate_does_not_depend_on_leaves_its_key():
    assert key() == key(covers=("app/a.py",), floors={"coverage": 90.0})


def test_gates_on_a_difference_are_not_cached():
    asking = command('pytest $(cat "$SWARM_CHANGED")', "junit")
    shorter = replace(TESTS, on_change=TESTS.command, stages=frozenset(GateStage)).at(GateStage.CHANGE)
    gates = (*built_in_gates(), asking, shorter, TESTS, COVERAGE)
    assert [cacheable(gate) for gate in gates] == [False] * 4 + [True] * 2
