"""`swarm plan --run COMMAND --each PATTERN`: a plan of commands, one for each file, made without a model."""

from __future__ import annotations

import pytest

from swarmworks.policy.lint import lint
from swarmworks.policy.planning.fit import Repository, misfits
from swarmworks.wire.planfile import load_plan
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher, FakePlane

FILES = ("src/a.py", "src/deep/b c.py", "src/a-py", "README.md", "tests/test_a.py")
GATES = {"scope", "secrets", "tests"}


@pytest.fixture
def launcher(tmp_path):
    return FakeLauncher(tmp_path, plane=FakePlane([sample.status()]), files=FILES)


def test_each_file_that_is_meant_gets_a_task_of_its_own(tmp_path, launcher, swarm: Swarm):
    ran = swarm(launcher, "plan", "--run", "ruff check --fix {}", "--each", "src/**/*.py", "--each", "src/a-py")
    assert ran.code == 0, ran.err
    made = load_plan(tmp_path / "plan.yaml")
    assert {task.id: (task.owns, task.run) for task in made.tasks} == {
        "src-a-py": (("src/a-py",), "ruff check --fix src/a-py"),
        "src-a-py-2": (("src/a.py",), "ruff check --fix src/a.py"),
        "src-deep-b-c-py": (("src/deep/b c.py",), "ruff check --fix 'src/deep/b c.py'"),
    }
    assert made.is_mechanical
    assert not lint(made)
    assert not misfits(made, Repository(frozenset(FILES), frozenset(GATES)))
    for task in made.tasks:
        assert "tests" in task.gates
        assert [proof.gate for proof in task.acceptance] == ["tests"]
    assert launcher.plane.bodies("/swarms") == []
    assert "3 tasks" in ran.out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--run", "ruff check {}"), "--run and --each go together"),
        (("--each", "src/*.py"), "--run and --each go together"),
        (("--run", "ruff check", "--each", "src/*.py"), "every task would run the same command"),
        (("--run", "ruff check {}", "--each", "lib/*.py"), "no file of the last commit is meant"),
        (("--run", "ruff check {}", "--each", "src/*.py", "add a search"), "more than one thing says what is wanted"),
    ],
)
def test_what_makes_no_plan_is_refused_with_the_mend(tmp_path, launcher, swarm: Swarm, arguments, what):
    ran = swarm(launcher, "plan", *arguments)
    assert ran.code == 2
    assert what in ran.err
    assert "mend:" in ran.err
    assert not (tmp_path / "plan.yaml").exists()
