from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from swarmworks.base.errors import EXIT_USAGE, ConflictError, InvalidDocumentError, UsageError
from swarmworks.cli.commands.check import command as check_command
from swarmworks.cli.commands.plan import command
from swarmworks.wire.planfile import load_plan
from tests.cli.fakes import CONFIG, FakeLauncher

SPEC = Path(__file__).parents[2] / "examples" / "task-management" / "spec.yaml"


def run(*args: object):
    return CliRunner().invoke(command, [str(each) for each in args])


def test_a_specification_becomes_a_plan_file_and_is_summed_up(tmp_path):
    result = run(SPEC, "-o", tmp_path / "plan.yaml")
    assert result.exit_code == 0, result.output
    assert "Task Management: 55 tasks" in result.output
    assert "critical path   9 tasks, 35 min: scaffold -> security" in result.output
    assert "25 tasks can run side by side" in result.output
    assert "lint: clean" in result.output
    assert all(len(line) <= 80 for line in result.output.splitlines() if str(tmp_path) not in line)
    assert len(load_plan(tmp_path / "plan.yaml").tasks) == 55


def test_planning_again_changes_nothing_and_overwrites_what_was_generated(tmp_path):
    output = tmp_path / "plan.yaml"
    run(SPEC, "-o", output)
    first = output.read_bytes()
    assert "unchanged:" in run(SPEC, "-o", output).output
    assert output.read_bytes() == first
    changed = tmp_path / "spec.yaml"
    changed.write_text(SPEC.read_text().replace("85 %", "90 %"))
    assert run(changed, "-o", output).exit_code == 0
    assert load_plan(output).floors == {"coverage": 90.0}


def test_a_plan_edited_by_hand_is_not_overwritten_unasked(tmp_path):
    output = tmp_path / "plan.yaml"
    run(SPEC, "-o", output)
    edited = output.read_text().replace("name: Task Management", "name: Mine")
    output.write_text(edited)
    result = run(SPEC, "-o", output)
    assert isinstance(result.exception, ConflictError)
    assert result.exception.exit_code == EXIT_USAGE
    assert "edited by hand" in str(result.exception)
    assert "--force" in result.exception.mend
    assert output.read_text() == edited
    assert run(SPEC, "-o", output, "--force").exit_code == 0
    assert load_plan(output).name == "Task Management"


def test_somebody_elses_file_is_not_overwritten(tmp_path):
    output = tmp_path / "notes.bin"
    output.write_bytes(b"\xff\xfe")
    assert isinstance(run(SPEC, "-o", output).exception, ConflictError)
    assert isinstance(run(SPEC, "-o", tmp_path).exception, UsageError)
    copy = tmp_path / "spec.yaml"
    copy.write_bytes(SPEC.read_bytes())
    assert isinstance(run(copy, "-o", copy, "--force").exception, UsageError)
    assert copy.read_bytes() == SPEC.read_bytes()


def test_a_bad_specification_writes_nothing(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("name: x\nresorces: {}\n")
    result = run(spec, "-o", tmp_path / "plan.yaml")
    assert isinstance(result.exception, InvalidDocumentError)
    assert not (tmp_path / "plan.yaml").exists()


@pytest.mark.parametrize("stack", ["express", "django"])
def test_what_cannot_be_had_is_said(tmp_path, stack):
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.read_text().replace("framework: fastapi", f"framework: {stack}"))
    result = run(spec, "-o", tmp_path / "plan.yaml")
    assert f"note: {stack} on sqlite: a general layout is planned" in result.output


GATES = CONFIG + '[gates.lint]\nrun = "go vet"\n'


def test_in_a_project_only_its_own_gates_are_planned_and_the_plan_checks(tmp_path):
    launcher, output = FakeLauncher(tmp_path, config=GATES), tmp_path / "plan.yaml"
    result = CliRunner().invoke(command, [str(SPEC), "-o", str(output)], obj=launcher)
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "note: the project has no gate syntax, types, smoke, coverage: no task requires it" in told
    plan = load_plan(output)
    assert {gate for task in plan.tasks for gate in task.gates} == {"scope", "secrets", "lint", "tests"}
    assert {each.gate for task in plan.tasks for each in task.acceptance} <= {"lint", "tests"}
    assert plan.floors == {}
    checked = CliRunner().invoke(check_command, [str(output)], obj=launcher)
    assert checked.exit_code == 0, checked.output


def test_no_coverage_is_announced_where_no_gate_measures_it(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("\n".join(line for line in SPEC.read_text().splitlines() if "coverage" not in line))
    launcher = FakeLauncher(tmp_path, config=GATES)
    result = CliRunner().invoke(command, [str(spec), "-o", str(tmp_path / "plan.yaml")], obj=launcher)
    assert "% is planned" not in result.output


def test_the_floor_of_the_projects_own_gate_stands_where_the_specification_asks_for_none(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("\n".join(line for line in SPEC.read_text().splitlines() if "coverage" not in line))
    config = GATES + '[gates.coverage]\nfrom = "tests"\nreads = "coverage"\nfloor = 55\n'
    output = tmp_path / "plan.yaml"
    result = CliRunner().invoke(command, [str(spec), "-o", str(output)], obj=FakeLauncher(tmp_path, config=config))
    assert result.exit_code == 0, result.output
    assert load_plan(output).floors == {"coverage": 55.0}
    assert "55 % is planned" in result.output
