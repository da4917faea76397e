from __future__ import annotations

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.domain.gate import GateStage
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_file import load_config

SMALL = """
[project]
name = "shop"

[gates.lint]
run = "ruff check ."
reads = "ruff"
stages = ["change", "candidate"]

[gates.tests]
run = "pytest --junitxml $SWARM_REPORTS/junit.xml"
reads = "junit"
nothing_exit_codes = [5]

[gates.coverage]
from = "tests"
reads = "coverage"
floor = 80.5

[gates.required]
document = ["secrets"]
"""


def load(text: str, profile: str | None = None, **environment: str) -> SwarmConfig:
    return load_config(text, name="swarm.toml", environment=environment, profile=profile)


def problems(text: str, **environment: str) -> list[tuple[int, str, str]]:
    with pytest.raises(InvalidDocumentError) as caught:
        load(text, **environment)
    return [(problem.line, problem.what, problem.mend) for problem in caught.value.problems]


def test_a_small_file_gets_the_documented_defaults():
    config = load(SMALL)
    assert config.models.default == "rehearsal"
    assert config.agents.count == 12
    assert config.limits.attempts == 3
    assert config.environment.registries is False
    assert config.files.exclusive is True
    assert {"files", "network", "unprivileged"} <= config.sandbox.floor
    assert config.session_limits().wall_s == 900.0


def test_gates_become_definitions_with_the_built_in_ones_first():
    definitions = {gate.name: gate for gate in load(SMALL).gate_definitions()}
    assert list(definitions) == ["scope", "secrets", "plan", "lint", "tests", "coverage"]
    assert definitions["lint"].stages == {GateStage.CHANGE, GateStage.CANDIDATE}
    assert definitions["tests"].nothing_exit_codes == (5,)
    assert (definitions["coverage"].source, definitions["coverage"].floor) == ("tests", 80.5)


def test_a_kind_without_a_list_needs_every_gate_and_scope_is_always_needed():
    config = load(SMALL)
    assert config.required_gates("document") == {"scope", "secrets"}
    assert config.required_gates("refactor") == {"scope", "secrets", "lint", "tests", "coverage"}


def test_no_gates_is_an_error_unless_it_is_written_down():
    text = '[project]\nname = "shop"\n'
    assert "no gates are configured" in problems(text)[0][1]
    config = load('gates = "none"\n' + text)
    assert config.required_gates("anything") == {"scope"}
    assert [gate.name for gate in config.gate_definitions()] == ["scope", "secrets", "plan"]


def test_a_gate_for_the_change_alone_runs_on_the_candidate_too():
    text = SMALL + '[gates.early]\nrun = "true"\nstages = ["change"]\n'
    early = next(gate for gate in load(text).gate_definitions() if gate.name == "early")
    assert early.stages == {GateStage.CHANGE, GateStage.CANDIDATE}


def test_a_shorter_command_is_run_on_changes_and_the_whole_one_on_the_candidate():
    text = SMALL + '[gates.early]\nrun = "all"\nrun_on_change = "some"\n'
    early = next(gate for gate in load(text).gate_definitions() if gate.name == "early")
    assert early.stages == {GateStage.CHANGE, GateStage.CANDIDATE}
    assert [early.at(stage).command for stage in (GateStage.CHANGE, GateStage.CANDIDATE)] == ["some", "all"]
    assert [early.at(stage).may_find_nothing for stage in (GateStage.CHANGE, GateStage.CANDIDATE)] == [True, False]


def test_the_shorter_command_reads_its_variables_itself():
    text = SMALL + '[gates.early]\nrun = "all"\nrun_on_change = "check ${SWARM_CHANGED} ${HOME}"\n'
    found = load_config(text, name="swarm.toml", environment={"HOME": "/of/the/host"})
    assert found.gates.commands["early"].run_on_change == "check ${SWARM_CHANGED} ${HOME}"


def test_an_unknown_key_names_its_line_and_the_nearest_key():
    text = SMALL + "\n[limits]\nsession_wal_s = 3\n"
    line = text.splitlines().index("session_wal_s = 3") + 1
    assert problems(text) == [(line, "unknown key limits.session_wal_s", "did you mean 'session_wall_s'?")]


def test_an_unknown_key_of_a_gate_or_provider_is_found_below_its_name():
    text = SMALL + '[providers.mine]\nkind = "openai"\nkey = "sk-123"\n[gates.types]\nrun = "mypy"\ntimeout = 3\n'
    found = problems(text)
    assert [what for _, what, _ in found] == ["unknown key providers.mine.key", "unknown key gates.types.timeout"]
    assert "key_env" in found[0][2]
    assert found[1][2] == "did you mean 'timeout_s'?"
    assert "sk-123" not in str(found)


def test_a_syntax_error_names_its_line():
    assert problems('[project]\nname = "shop\n')[0][0] == 2


def test_every_problem_is_reported_at_once_in_line_order():
    found = problems(SMALL + "[agents]\ncount = 0\n[budget]\nswarm_usd = -1\n[extra]\nx = 1\n")
    assert len(found) == 3
    assert [line for line, _, _ in found] == sorted(line for line, _, _ in found)


def test_references_come_from_the_environment_and_a_missing_one_is_named():
    text = SMALL + '[providers.mine]\nkind = "openai"\nbase_url = "${MODEL_URL}/v1"\n'
    assert load(text, MODEL_URL="http://127.0.0.1:9").providers["mine"].base_url == "http://127.0.0.1:9/v1"
    assert "MODEL_URL is not set" in problems(text)[0][1]


def test_shell_commands_keep_their_own_variables():
    text = SMALL + '[environment]\nsetup = ["python -m venv ${SWARM_ENVIRONMENT}"]\n[gates.x]\nrun = "echo ${HOME}"\n'
    config = load(text, SWARM_ENVIRONMENT="wrong", HOME="wrong")
    assert config.environment.setup == ("python -m venv ${SWARM_ENVIRONMENT}",)
    assert config.gates.commands["x"].run == "echo ${HOME}"


def test_a_profile_overrides_and_an_unknown_one_is_refused():
    text = SMALL + "[profiles.ci.agents]\ncount = 3\n"
    assert load(text).agents.count == 12
    assert load(text, profile="ci").agents.count == 3
    with pytest.raises(InvalidDocumentError, match="did you mean 'ci'"):
        load(text, profile="cii")


def test_a_profile_that_is_not_selected_is_still_checked():
    text = SMALL + "[profiles.ci.agents]\ncout = 3\n"
    line = text.splitlines().index("cout = 3") + 1
    assert problems(text)[0][:2] == (line, "unknown key agents.cout")


@pytest.mark.parametrize(
    ("gate", "expected"),
    [
        ('[gates.x]\nreads = "exit"', "either run"),
        ('[gates.x]\nrun = "a"\nfrom = "tests"', "either run"),
        ('[gates.x]\nfrom = "nowhere"\nreads = "junit"', "reads from 'nowhere'"),
        ('[gates.x]\nfrom = "tests"\nreads = "coverage"\nstages = ["change"]', "has a stage"),
        ('[gates.scope]\nrun = "true"', "built in"),
        ('[gates.x]\nrun = "a"\nstages = []', "never runs"),
        ('[gates.x]\nfrom = "tests"\nreads = "junit"\nrun_on_change = "a"', "there is no run"),
        (
            '[gates.x]\nrun = "a"\nrun_on_change = "b"\n[gates.y]\nfrom = "x"\nreads = "coverage"\nstages = ["change"]',
            "leaves no whole report",
        ),
        ('[gates.required]\nrefactor = ["tets"]', "no gate 'tets'"),
    ],
)
def test_gates_that_make_no_sense_are_refused(gate, expected):
    text = SMALL.split("[gates.required]", maxsplit=1)[0] + gate
    assert expected in problems(text)[0][1]


def test_money_is_exact():
    text = SMALL + '[budget]\nswarm_usd = 0.1\n[prices."m-1"]\ninput_usd_per_mtok = 0.075\noutput_usd_per_mtok = 3\n'
    config = load(text)
    assert config.budget.swarm_nano_usd == 100_000_000
    assert str(config.prices["m-1"].input_usd_per_mtok) == "0.075"


def test_a_price_may_name_the_models_context_window():
    text = SMALL + '[prices."m-1"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 3\ncontext_window = {}\n'
    assert load(text.format(262_144)).prices["m-1"].context_window == 262_144
    assert "context_window" in str(problems(text.format(0)))


def test_a_model_of_a_provider_nobody_configured_is_refused():
    assert "[providers.openai]" in problems(SMALL + '[models]\ndefault = "openai:gpt-5"\n')[0][1]


def test_an_address_with_a_password_is_refused_without_showing_it():
    found = problems(SMALL + '[providers.p]\nkind = "openai"\nbase_url = "http://me:hunter2@host/v1"\n')
    assert "user or password" in found[0][1]
    assert "hunter2" not in str(found)
