from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from swarmworks.base.errors import EXIT_USAGE, InvalidDocumentError
from swarmworks.cli.commands.check import command
from swarmworks.cli.commands.plan import command as plan_command
from swarmworks.domain.budget import Amount
from tests.cli.fakes import CONFIG, FakeLauncher

SPEC = Path(__file__).parents[2] / "examples" / "school" / "spec.yaml"


def planned(tmp_path: Path) -> Path:
    output = tmp_path / "plan.yaml"
    CliRunner().invoke(plan_command, [str(SPEC), "-o", str(output)])
    return output


def check(*args: object):
    return CliRunner().invoke(command, [str(each) for each in args])


def test_a_clean_plan_is_shown_with_a_forecast(tmp_path):
    result = check(planned(tmp_path))
    assert result.exit_code == 0
    assert "lint: clean" in result.output
    assert "agents       time   busy" in result.output
    assert "are kept busy" in result.output


def test_errors_are_listed_with_their_mend_and_end_in_code_2(tmp_path):
    plan = planned(tmp_path)
    plan.write_text(plan.read_text().replace("- schema-teacher\n", "- schema-techer\n", 1))
    result = check(plan)
    assert result.exit_code == EXIT_USAGE
    assert "error: schema-class: waits for `schema-techer`" in result.output
    assert "mend: did you mean `schema-teacher`?" in result.output
    assert "lint: 1 error, " in result.output


def test_json_holds_the_figures_and_the_findings(tmp_path):
    plan = planned(tmp_path)
    good = json.loads(check(plan, "--json").output)
    assert good["ok"]
    assert good["shape"]["width"] == 17
    assert good["forecast"][0]["agents"] == 1
    plan.write_text(plan.read_text().replace("- schema-teacher\n", "- schema-techer\n", 1))
    result = check(plan, "--json")
    bad = json.loads(result.output)
    assert result.exit_code == EXIT_USAGE
    assert (bad["ok"], bad["shape"], bad["findings"][0]["rule"]) == (False, None, "unknown_dependency")


def test_a_file_that_is_no_plan_is_refused(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("tasks: many\n")
    assert isinstance(check(plan).exception, InvalidDocumentError)
    assert isinstance(check(tmp_path / "none.yaml").exception, InvalidDocumentError)


def test_a_ceiling_that_holds_no_call_is_an_error_that_says_what_is_the_least(tmp_path):
    config = CONFIG + "\n[budget]\nday_usd = 0.50\nsession_usd = 5\n"
    launcher = FakeLauncher(tmp_path, config=config, least=Amount(810_000_000, 48_192))
    result = CliRunner().invoke(command, [str(planned(tmp_path))], obj=launcher)
    assert result.exit_code == EXIT_USAGE
    assert "budget.day_* does not hold one call of" in result.output
    assert "allow at least $0.81 and 48,192 tokens" in result.output
    assert "session_*" not in result.output


def test_an_estimate_above_the_ceiling_of_a_task_is_an_error(tmp_path):
    launcher = FakeLauncher(tmp_path, config=CONFIG + "\n[budget]\ntask_tokens = 1000\n")
    result = CliRunner().invoke(command, [str(planned(tmp_path))], obj=launcher)
    assert result.exit_code == EXIT_USAGE
    assert "tokens, above budget.task_tokens (1,000)" in result.output
