"""What a person learns of the gates before anything is spent."""

from __future__ import annotations

import pytest

from swarmworks.cli.verifying import lines
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher
from tests.scenario.harness import repository

GREEN = GateResult("tests", GateOutcome.PASSED, "455 tests passed")
RED = GateResult("lint", GateOutcome.FAILED, "1 findings", findings=(Finding("E275 missing whitespace", "a.py", 3),))
BROKEN = GateResult("types", GateOutcome.COULD_NOT_RUN, "mypy: not found: see [environment] setup in swarm.toml")


@pytest.mark.parametrize("command", [("init", "--verify"), ("doctor", "--gates")])
@pytest.mark.parametrize(
    ("results", "code", "said"),
    [
        ((GREEN,), 0, "Every gate is green"),
        ((GREEN, RED), 1, "a.py:3: E275"),
        ((GREEN, RED), 1, "mend: mend it, or take the gate out"),
        ((BROKEN,), 1, "gate types: could_not_run, mypy: not found"),
    ],
)
def test_the_gates_are_told_as_they_stand(tmp_path, swarm: Swarm, command, results, code, said):
    repository(tmp_path, {"go.mod": ""})
    ran = swarm(FakeLauncher(tmp_path, verified=results), *command)
    assert ran.code == code, ran.err
    assert said in ran.out


def test_a_configuration_that_is_there_is_verified_and_kept(tmp_path, swarm: Swarm):
    (tmp_path / "swarm.toml").write_text("mine")
    ran = swarm(FakeLauncher(tmp_path, verified=(RED,)), "init", "--verify")
    assert ran.code == 1
    assert (tmp_path / "swarm.toml").read_text() == "mine"
    assert "wrote" not in ran.out


def test_what_a_gate_quotes_cannot_drive_the_terminal():
    finding = Finding("bad\x1b[2J\rgood", "a.py", 3)
    said = "\n".join(lines([GateResult("tests", GateOutcome.FAILED, "one\nfailed\x07", findings=(finding,))]))
    assert "gate tests: failed, one failed" in said
    assert "a.py:3: bad [2J good" in said
    assert all(row.isprintable() for row in said.split("\n"))
