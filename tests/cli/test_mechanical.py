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


def planned(tmp_path, swarm, files, *arguments):
    """What the run says, and the commands of its plan by file."""
    launcher = FakeLauncher(tmp_path, plane=FakePlane([sample.status()]), files=files)
    ran = swarm(launcher, "plan", "--run", "tidy {}", *arguments)
    assert ran.code == 0, ran.err
    made = load_plan(tmp_path / "plan.yaml")
    assert not lint(made)
    return ran, {task.owns[0]: task.run for task in made.tasks}


def test_protected_files_are_left_out_unless_they_are_named_in_full(tmp_path, swarm: Swarm):
    files = ("swarm.toml", "pyproject.toml", "deep/pyproject.toml", "data.toml")
    ran, runs = planned(tmp_path, swarm, files, "--each", "**/*.toml", "--each", "deep/pyproject.toml")
    assert set(runs) == {"data.toml", "deep/pyproject.toml"}
    assert "left out, protected: pyproject.toml, swarm.toml" in ran.err


def test_names_that_no_plan_can_hold_are_left_out_and_said(tmp_path, swarm: Swarm):
    odd = tuple(f"src/{name}.py" for name in ("a*", "b?", "c**d", "tab\t", "back\\slash", "new\nline"))
    ran, runs = planned(tmp_path, swarm, ("src/a.py", *odd), "--each", "src/*.py")
    assert set(runs) == {"src/a.py"}
    assert "left out, no path that a plan can name: " in ran.err
    assert ran.err.rstrip().endswith("...")


def test_a_file_with_brackets_in_its_name_is_planned_and_quoted(tmp_path, swarm: Swarm):
    _, runs = planned(tmp_path, swarm, ("app/[id]/page.tsx",), "--each", "app/**/*.tsx")
    assert runs == {"app/[id]/page.tsx": "tidy 'app/[id]/page.tsx'"}


def test_a_file_whose_name_begins_like_a_flag_is_no_flag(tmp_path, swarm: Swarm):
    _, runs = planned(tmp_path, swarm, ("-x", "--fix me.py"), "--each", "*")
    assert runs == {"-x": "tidy ./-x", "--fix me.py": "tidy './--fix me.py'"}


@pytest.mark.parametrize(
    "flag", [("--model", "local:x"), ("--runtime", "codex"), ("--budget", "5"), ("--tokens", "100")]
)
def test_what_is_said_of_a_model_is_refused_where_none_is_asked(tmp_path, launcher, swarm: Swarm, flag):
    ran = swarm(launcher, "plan", "--run", "tidy {}", "--each", "src/*.py", *flag)
    assert (ran.code, "a plan of commands is made without a model" in ran.err) == (2, True)
    assert flag[0] in ran.err
    assert not (tmp_path / "plan.yaml").exists()


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
