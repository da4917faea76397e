from __future__ import annotations

import json
import subprocess

import pytest

from swarmworks.base.errors import InvalidDocumentError, NotFoundError, Problem, UsageError
from swarmworks.base.findings import Check, Finding
from swarmworks.cli.context import ProviderKey
from swarmworks.domain.isolation import Property
from swarmworks.runtime.protocol import Found
from tests.cli.conftest import Swarm
from tests.cli.fakes import CONFIG, FakeLauncher

WITH_PROVIDER = CONFIG + '[models]\ndefault = "openai:gpt-5"\n[providers.openai]\nkind = "openai"\n'


@pytest.fixture(autouse=True)
def repository(tmp_path):
    git(tmp_path, "init", "-q")
    return tmp_path


def git(root, *words):
    subprocess.run(["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@x", *words], check=True)


def checks(ran, name):
    return [check for check in json.loads(ran.out)["checks"] if check["name"] == name]


def test_a_machine_with_everything(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path), "doctor")
    assert ran.code == 0
    assert "Everything a swarm needs is here." in ran.out
    for name in (
        "python",
        "git",
        "bubblewrap",
        "sandbox files",
        "disk",
        "disk speed",
        "working copies",
        "processors",
        "memory",
        "project",
        "runtime claude",
    ):
        assert any(line.startswith("ok") and line[7:].startswith(name) for line in ran.out.splitlines()), name


def test_a_property_of_the_floor_that_does_not_hold_is_lacking(tmp_path, swarm: Swarm):
    missing = {Property.NETWORK: "user namespaces are switched off", Property.EXEC: "no Landlock"}
    ran = swarm(FakeLauncher(tmp_path, missing=missing), "doctor")
    assert ran.code == 4
    assert "LACKS  sandbox network" in ran.out
    assert "user namespaces are switched off" in ran.out
    assert "note   sandbox exec" in ran.out
    assert "1 thing lacking: sandbox network" in ran.out


def test_a_missing_key_is_lacking_only_for_the_default_model(tmp_path, swarm: Swarm):
    keys = [
        ProviderKey("openai", "environment variable OPENAI_API_KEY", present=False),
        ProviderKey("local", "environment variable LOCAL_KEY", present=False),
        ProviderKey("anthropic", "environment variable ANTHROPIC_API_KEY", present=True),
    ]
    ran = swarm(FakeLauncher(tmp_path, keys=keys, config=WITH_PROVIDER), "doctor", "--json")
    found = json.loads(ran.out)
    by_name = {check["name"]: check["finding"] for check in found["checks"]}
    assert (ran.code, found["ok"]) == (4, False)
    assert by_name["provider openai"] == "lacking"
    assert by_name["provider local"] == "note"
    assert by_name["provider anthropic"] == "ok"


def test_outside_of_a_project_the_machine_is_looked_at_all_the_same(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path, refuses=NotFoundError("no swarm.toml", mend="run `swarm init`")), "doctor")
    assert ran.code == 0
    assert "note   project" in ran.out
    assert "mend: run `swarm init`" in ran.out


def test_a_configuration_with_errors_is_lacking(tmp_path, swarm: Swarm):
    broken = InvalidDocumentError("swarm.toml", [Problem(3, "unknown key", "remove it")])
    ran = swarm(FakeLauncher(tmp_path, refuses=broken), "doctor")
    assert ran.code == 4
    assert "swarm.toml:3: unknown key" in ran.out


def test_a_program_that_is_missing_is_lacking_only_where_the_agents_are_that_program(tmp_path, swarm: Swarm):
    class Without(FakeLauncher):
        def runtimes(self, project):
            return {"claude": Found("claude", lacking="there is no program 'claude'", mend="npm install it")}

    ran = swarm(Without(tmp_path), "doctor")
    assert ran.code == 0
    assert "note   runtime claude" in ran.out
    ran = swarm(Without(tmp_path, config=CONFIG + '[agents]\nruntime = "claude"\n'), "doctor")
    assert ran.code == 4
    assert "LACKS  runtime claude" in ran.out
    assert "npm install it" in ran.out


@pytest.mark.parametrize(
    ("found", "chosen", "line"),
    [
        (Found("/bin/codex", version="0.171.0", tested="0.171.0"), True, "ok     runtime codex"),
        (Found("/bin/codex", version="0.180.0", tested="0.171.0", mend="npm install"), True, "note   runtime codex"),
        (Found("/bin/codex", version="9", lost=("--json",), mend="npm install"), False, "note   runtime codex"),
        (Found("/bin/codex", version="9", lost=("--json",), mend="npm install"), True, "LACKS  runtime codex"),
    ],
)
def test_a_program_of_another_version_is_noted_and_one_without_its_flags_cannot_be_used(
    tmp_path, swarm: Swarm, found, chosen, line
):
    class With(FakeLauncher):
        def runtimes(self, project):
            return {"codex": found}

    config = CONFIG + ('[agents.runtimes]\ntester = "codex"\n' if chosen else "")
    ran = swarm(With(tmp_path, config=config), "doctor")
    assert line in ran.out
    assert ("mend:" in ran.out) == (not line.startswith("ok"))
    if found.lost:
        assert "it has no --json" in ran.out
    elif found.version != found.tested:
        assert "0.180.0, /bin/codex; tested with 0.171.0" in ran.out


def test_a_collector_that_does_not_answer_is_lacking(tmp_path, swarm: Swarm):
    away = Check("telemetry", Finding.LACKING, "the collector at http://c: it answers 403", "start the collector")
    ran = swarm(FakeLauncher(tmp_path, telemetry=[away]), "doctor")
    assert ran.code == 4
    assert "LACKS  telemetry" in ran.out
    unset = UsageError("the variable X holds no headers", where="telemetry.headers_env", mend="export X=name=value")
    ran = swarm(FakeLauncher(tmp_path, telemetry=unset), "doctor")
    assert ran.code == 4
    assert "the variable X holds no headers" in ran.out
    assert "export X=name=value" in ran.out


def test_a_folder_that_is_no_repository_is_lacking(tmp_path, swarm: Swarm):
    (tmp_path / ".git").rename(tmp_path / "gone")
    (found,) = checks(swarm(FakeLauncher(tmp_path), "doctor", "--json"), "git settings")
    assert (found["finding"], found["found"]) == ("lacking", "not a git repository")


def test_settings_of_the_repository_that_a_swarm_works_without_are_told(repository, swarm: Swarm):
    (repository / ".gitattributes").write_text("*.bin filter=lfs\n")
    for name in ("a.bin", "b.txt"):
        (repository / name).write_text("x")
    git(repository, "-c", "filter.lfs.clean=cat", "add", "-A")
    git(repository, "config", "core.autocrlf", "input")
    (repository / ".git" / "shallow").write_text("")
    ran = swarm(FakeLauncher(repository), "doctor", "--json")
    assert ran.code == 0
    told = [check["found"] for check in checks(ran, "git settings")]
    assert told[0].startswith("a shallow clone")
    assert told[1:] == ["core.autocrlf is input", "files that pass through a filter: a.bin"]


def test_a_partial_clone_lacks_objects(repository, swarm: Swarm):
    git(repository, "config", "core.repositoryFormatVersion", "1")
    git(repository, "config", "extensions.partialClone", "origin")
    (found,) = checks(swarm(FakeLauncher(repository), "doctor", "--json"), "git settings")
    assert (found["finding"], found["mend"]) == ("lacking", "git fetch --refetch --no-filter")


def test_the_mend_of_a_property_that_is_lacking_is_told_by_itself(tmp_path, swarm: Swarm):
    missing = {
        Property.NETWORK: "no namespaces; mend: sysctl -w a=1",
        Property.EXEC: "no Landlock; mend: a newer kernel",
    }
    ran = swarm(FakeLauncher(tmp_path, missing=missing), "doctor", "--json")
    (network,), (exec_,) = checks(ran, "sandbox network"), checks(ran, "sandbox exec")
    assert (network["found"], network["mend"].partition(";")[0]) == ("no namespaces", "sysctl -w a=1")
    assert (exec_["found"], exec_["mend"]) == ("no Landlock", "a newer kernel")
