from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from swarmworks.base.errors import InvalidDocumentError, UsageError
from swarmworks.cli.commands.init import command
from swarmworks.cli.starters.detection import detect
from swarmworks.cli.starters.writing import starter_files, write_files
from swarmworks.wire.config import SwarmConfig
from swarmworks.wire.config_file import load_config
from tests.scenario.harness import git, repository

SPEC = "name: Book Shop\narchitecture:\n  framework: FastAPI\n  language: Python\n"


def run_init(*arguments: str) -> str:
    result = CliRunner().invoke(command, list(arguments), catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


def load(root: Path) -> SwarmConfig:
    return load_config((root / "swarm.toml").read_text(), name="swarm.toml", environment={})


def write(root: Path, **files: str) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_a_python_project_gets_gates_for_the_tools_it_uses(tmp_path):
    write(
        tmp_path,
        **{
            "pyproject.toml": '[project]\nname="x"\nversion="1"\n[tool.ruff]\n[tool.mypy]\nfiles=["x"]\n[tool.coverage.report]\nfail_under = 85\n',
            "requirements.txt": "pytest==9\ncoverage==7\nruff==1\nmypy==2\n",
            "tests/test_a.py": "",
            ".git/HEAD": "ref: refs/heads/trunk\n",
        },
    )
    output = run_init("--path", str(tmp_path))
    config = load(tmp_path)
    assert config.project.default_branch == "trunk"
    assert list(config.gates.commands) == ["syntax", "lint", "types", "tests", "coverage"]
    assert config.gates.commands["coverage"].floor == 85
    assert config.environment.lock_files == ("requirements.txt",)
    assert "--require-hashes" not in config.environment.setup[1]
    assert config.required_gates("refactor") >= {"scope", "secrets", "tests", "coverage"}
    assert "git add swarm.toml" in output


@pytest.mark.parametrize(
    ("files", "language", "gates", "setup"),
    [
        (
            {"uv.lock": "", "pyproject.toml": "[project]\nname='x'\n", "tests/a.py": ""},
            "python",
            ["syntax", "tests"],
            "uv",
        ),
        ({"poetry.lock": "", "pyproject.toml": "[tool.pytest]\n"}, "python", ["syntax", "tests"], "poetry"),
        ({"tox.ini": "[testenv]\ndeps=pytest\n", "setup.py": ""}, "python", ["syntax", "tests"], "pip"),
        (
            {"package.json": '{"scripts": {"lint": "eslint .", "test": "vitest run"}}', "tsconfig.json": "{}"},
            "typescript",
            ["lint", "types", "tests"],
            "npm install",
        ),
        ({"go.mod": "module x\n", "a/x_test.go": ""}, "go", ["lint", "tests"], "go mod download"),
        (
            {"Cargo.toml": "[package]\n", "src/lib.rs": "#[test]\nfn a() {}\n"},
            "rust",
            ["lint", "tests"],
            "cargo fetch",
        ),
    ],
)
def test_each_language_gets_a_file_that_loads(tmp_path, files, language, gates, setup):
    write(tmp_path, **files)
    run_init("--path", str(tmp_path))
    config = load(tmp_path)
    assert config.project.language == language
    assert list(config.gates.commands) == gates
    assert setup in " ".join(config.environment.setup)


def test_a_repository_without_anything_to_check_never_gets_gates_none_by_itself(tmp_path):
    write(tmp_path, **{"README.md": "hello"})
    assert "add gates" in run_init("--path", str(tmp_path))
    with pytest.raises(InvalidDocumentError, match="no gates are configured"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("files", "gate", "run", "reads"),
    [
        ({"setup.cfg": "[flake8]\nexclude=docs\n", "a.py": ""}, "lint", "flake8", "lines"),
        ({"pyproject.toml": "[tool.black]\n"}, "format", "black --check", "exit"),
        ({"pyproject.toml": "[tool.pyright]\n"}, "types", "pyright", "exit"),
        ({"setup.py": "", "tests/test_a.py": "import unittest\n"}, "tests", "python_files=test*.py", "junit"),
        ({"setup.py": "", "test_a.py": "import pytest\n"}, "tests", "pytest", "junit"),
        ({"setup.py": "", "tests/test_a.py": "def test_a(): pass\n"}, "tests", "pytest", "junit"),
        ({"package.json": '{"devDependencies": {"vitest": "1"}}'}, "tests", "vitest run", "junit"),
        ({"package.json": '{"scripts": {"test": "jest"}}'}, "tests", "npm test", "exit"),
        ({"package.json": '{"scripts": {"test": "mocha"}}'}, "tests", "--reporter xunit", "junit"),
        ({"package.json": '{"scripts": {"test": "node --test"}}'}, "tests", "--test-reporter=junit", "junit"),
        ({"package.json": "{}", "eslint.config.mjs": ""}, "lint", "eslint .", "exit"),
        ({"package.json": "{}", "biome.json": "{}"}, "lint", "biome ci", "exit"),
        ({"go.mod": "module x\n", ".golangci.yml": ""}, "golangci", "golangci-lint run", "lines"),
        ({"Cargo.toml": "", "rustfmt.toml": ""}, "format", "fmt --check", "exit"),
        ({"pom.xml": "", "mvnw": ""}, "tests", "./mvnw -o", "exit"),
        ({"build.gradle.kts": ""}, "tests", "gradle --offline", "exit"),
        ({"Makefile": "all:\ntest: all\n\tsh run.sh\n"}, "tests", "make test", "exit"),
    ],
)
def test_each_tool_becomes_a_gate_that_says_where_it_was_found(tmp_path, files, gate, run, reads):
    write(tmp_path, **files)
    output = run_init("--path", str(tmp_path))
    found = load(tmp_path).gates.commands[gate]
    assert run in (found.run or "")
    assert found.reads == reads
    assert f"  gate {gate}" in output
    assert "# found: " in (tmp_path / "swarm.toml").read_text()


def test_each_other_language_is_told_to_be_unchecked(tmp_path):
    write(tmp_path, **{"pyproject.toml": "[project]\nname='x'\n", "web/package.json": "{}", "a/b/go.mod": ""})
    write(tmp_path, **{"tests/data/Cargo.toml": "", "tests/test_a.py": ""})
    output = run_init("--path", str(tmp_path))
    assert "note: web/package.json: TypeScript and JavaScript changes are not checked" in output
    assert "note: a/b/go.mod: Go changes are not checked" in output
    assert "Rust" not in output


@pytest.mark.parametrize(
    ("sources", "language"),
    [({"main.go": "", "a_test.go": "", "tools/gen.py": ""}, "go"), ({"app/a.py": "", "app/b.py": ""}, "python")],
)
def test_requirements_are_python_only_where_python_is_most_of_it(tmp_path, sources, language):
    write(tmp_path, **{"go.mod": "module x\n", "requirements-docs.txt": "mkdocs\n", **sources})
    assert detect(tmp_path).language == language


ASSETS = {f"static/{number}.js": "" for number in range(8)}


@pytest.mark.parametrize(
    "sources",
    [
        {"app/views.py": "", "app/models.py": "", "test_app.py": "def test_a(): pass\n"},
        {"app/views.py": "", "tests/views.py": ""},
        {"manage.py": "", "shop/views.py": "", "shop/tests.py": "import unittest\n"},
    ],
)
def test_scripts_for_a_page_that_nothing_tests_do_not_outweigh_a_tested_program(tmp_path, sources):
    write(tmp_path, **{"requirements.txt": "flask\n", "package.json": "{}", **sources, **ASSETS})
    output = run_init("--path", str(tmp_path))
    assert load(tmp_path).project.language == "python"
    assert list(load(tmp_path).gates.commands) == ["syntax", "tests"]
    assert "note: package.json: TypeScript and JavaScript changes are not checked" in output


@pytest.mark.parametrize(
    "sources",
    [
        {"tests/fixtures/gen.py": "", "src/a.ts": ""},
        {"third_party/x/tests/test_a.py": "", "src/a.ts": ""},
        {"scripts/test_links.py": "", "packages/a/a.test.ts": ""},
        {"manage.py": "", "src/a.ts": ""},
    ],
)
def test_a_few_scripts_in_python_make_no_python_program(tmp_path, sources):
    write(tmp_path, **{"requirements.txt": "x\n", "package.json": '{"scripts": {"build": "tsc"}}', **sources, **ASSETS})
    assert detect(tmp_path).language == "javascript"


@pytest.mark.parametrize(
    ("files", "note"),
    [
        (
            {"package.json": '{"scripts": {"test": "jest"}}', "requirements.txt": "", "test_a.py": ""},
            "requirements.txt",
        ),
        ({"package.json": "{}", "requirements-dev.txt": "", "tools/gen.py": ""}, "requirements-dev.txt"),
        ({"package.json": "{}", "api/requirements.txt": "", "api/app.py": ""}, "api/requirements.txt"),
        ({"package.json": "{}", "requirements-docs.txt": "mkdocs\n"}, ""),
        ({"package.json": "{}", "docs/requirements.txt": "", "docs/conf.py": ""}, ""),
        ({"package.json": "{}", "requirements-\udcff.txt": "", "tools/gen.py": ""}, ""),
    ],
)
def test_python_beside_another_language_is_told_to_be_unchecked_by_its_requirements(tmp_path, files, note):
    write(tmp_path, **{**files, **ASSETS})
    found = detect(tmp_path)
    told = [each.partition(": ")[0] for each in found.notes if ": Python changes are not checked" in each]
    assert (found.language, told) == ("javascript", [note] if note else [])


def test_the_set_up_of_workspaces_has_all_their_manifests(tmp_path):
    found = {"workspaces": ["packages/*", "!packages/old"], "scripts": {"test": "node --test"}}
    write(tmp_path, **{"package.json": json.dumps(found), "package-lock.json": "{}", ".npmrc": ""})
    write(tmp_path, **{"packages/a/package.json": "{}", "packages/old/package.json": "{}", "other/package.json": "{}"})
    detected = detect(tmp_path)
    assert detected.lock_files == ("package.json", "package-lock.json", ".npmrc", "packages/a/package.json")
    assert f'cp --parents {" ".join(detected.lock_files)} "$SWARM_ENVIRONMENT/"' in detected.setup[0]
    assert any("workspaces" in note for note in detected.notes)


def test_pnpm_names_its_workspaces_in_a_file_of_its_own(tmp_path):
    write(tmp_path, **{"package.json": "{}", "pnpm-lock.yaml": "", "apps/web/ui/package.json": "{}"})
    write(tmp_path, **{"pnpm-workspace.yaml": "packages:\n  - 'apps/**'  \n  - libs/*\n"})
    locks = ("package.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "apps/web/ui/package.json")
    assert detect(tmp_path).lock_files == locks


@pytest.mark.parametrize(
    ("script", "runs", "reads"),
    [
        ("mocha -r ts-node/register --recursive 'test/**/*.spec.ts' && tsd", "npm test --silent", "exit"),
        ("mocha -r ts-node/register 'test/**/*.ts'", "npm test --silent -- --reporter xunit ", "junit"),
        ("mocha --reporter dot", "npm test --silent", "exit"),
        ("vitest run --config x", "npm test --silent -- --reporter=default ", "junit"),
        ("cross-env TZ=UTC vitest", "npm test --silent -- --run --reporter=default ", "junit"),
        ("c8 mocha", "npm test --silent", "exit"),
        ("node --import tsx --test 'src/*.ts'", "node --import tsx --test --test-reporter=spec ", "junit"),
        ("cross-env A=1 node --test", "npm test --silent", "exit"),
        ("node --test tests/ | tap-spec", "npm test --silent", "exit"),
        ("jest --config x", "npm test --silent", "exit"),
    ],
)
def test_the_arguments_of_a_test_script_are_kept(tmp_path, script, runs, reads):
    found = {"scripts": {"test": script}, "devDependencies": {"mocha": "1", "vitest": "1"}}
    write(tmp_path, **{"package.json": json.dumps(found)})
    gate = detect(tmp_path).tests
    assert gate is not None
    command = gate.run.partition("&& ")[2]
    assert gate.reads == reads
    assert command == runs if reads == "exit" else command.startswith(runs)


def test_the_flags_of_node_stand_before_its_paths(tmp_path):
    write(tmp_path, **{"package.json": json.dumps({"scripts": {"test": "node --test tests/"}})})
    gate = detect(tmp_path).tests
    assert gate is not None
    assert gate.run.endswith('--test-reporter-destination="$SWARM_REPORTS/junit.xml" tests/')
    write(tmp_path, **{"package.json": json.dumps({"scripts": {"pretest": "tsc", "test": "node --test tests/"}})})
    gate = detect(tmp_path).tests
    assert gate is not None
    assert (gate.run.partition("&& ")[2], gate.reads) == ("npm test --silent", "exit")


def test_a_cargo_workspace_is_checked_whole(tmp_path):
    manifest = '[package]\nname = "r"\n[workspace]\nmembers = ["crates/*"]\n'
    write(tmp_path, **{"Cargo.toml": manifest, "rustfmt.toml": "", "crates/a/tests/it.rs": ""})
    gates = {gate.name: gate for gate in detect(tmp_path).gates}
    assert "cargo test --offline --workspace" in gates["tests"].run
    assert "cargo clippy --offline --workspace" in gates["lint"].run
    assert "cargo fmt --all --check" in gates["format"].run


@pytest.mark.parametrize(
    ("source", "tested"),
    [
        ("fn main() {}\n// #[cfg(test)] comes later\n", False),
        ("#[tokio::test]\nasync fn a() {}\n", True),
        ("/// ```\n/// assert!(true);\n/// ```\npub fn a() {}\n", True),
    ],
)
def test_a_crate_without_a_test_is_told_so_loudly(tmp_path, source, tested):
    write(tmp_path, **{"Cargo.toml": "[package]\n", "src/main.rs": source})
    output = run_init("--path", str(tmp_path))
    assert ("tests" in load(tmp_path).gates.commands) is tested
    assert ("NO TESTS WERE FOUND" in output) is not tested


def test_what_runs_the_projects_own_code_gets_no_cache(tmp_path):
    write(tmp_path, **{"go/go.mod": "module x\n", "go/x_test.go": ""})
    write(tmp_path, **{"rust/Cargo.toml": "[package]\n", "rust/tests/a.rs": "", "rust/build.rs": ""})
    assert [gate.name for gate in detect(tmp_path / "go").gates if gate.cache] == ["lint"]
    assert [gate.name for gate in detect(tmp_path / "rust").gates if gate.cache] == []


@pytest.mark.parametrize(
    ("files", "said", "locks"),
    [
        ({"package.json": "{}", "pnpm-lock.yaml": ""}, "npx --yes pnpm install --frozen-lockfile", "pnpm-lock.yaml"),
        ({"package.json": "{}", "yarn.lock": ""}, "npx --yes yarn install --frozen-lockfile", "yarn.lock"),
        ({"package.json": "{}", "bun.lock": ""}, "npx --yes bun install --frozen-lockfile", "bun.lock"),
        ({"package.json": "{}", "package-lock.json": "{}"}, "npm ci", "package-lock.json"),
        ({"pyproject.toml": "", "pdm.lock": ""}, "bin/pdm", "pdm.lock"),
        ({"Pipfile": "", "Pipfile.lock": "{}"}, "bin/pipenv", "Pipfile.lock"),
        ({"requirements-dev.txt": "pytest\n", "a.py": ""}, "-r requirements-dev.txt", "requirements-dev.txt"),
        (
            {"pyproject.toml": '[project]\nname="x"\n[dependency-groups]\ntest=["pytest>=8"]\n'},
            'pip" install "pytest>=8"',
            "pyproject.toml",
        ),
        (
            {"pyproject.toml": '[project]\nname="x"\n[build-system]\nrequires=["hatch-vcs"]\n'},
            "SETUPTOOLS_SCM_PRETEND_VERSION",
            "pyproject.toml",
        ),
        ({"pom.xml": ""}, "mvn -B", "pom.xml"),
    ],
)
def test_the_environment_is_built_by_the_projects_own_package_manager(tmp_path, files, said, locks):
    write(tmp_path, **files)
    detected = detect(tmp_path)
    assert said in " ".join(detected.setup)
    assert locks in detected.lock_files


def test_tools_that_no_manifest_installs_are_installed_besides(tmp_path):
    write(tmp_path, **{"setup.py": "", "setup.cfg": "[flake8]\n[mypy]\n", "test_a.py": "import pytest\n"})
    run_init("--path", str(tmp_path))
    assert load(tmp_path).environment.setup[-1].endswith('pip" install pytest flake8 mypy')


@pytest.mark.parametrize("files", [{"README.md": ""}, {"setup.py": "", "a.py": ""}, {"package.json": "{}"}])
def test_that_there_are_no_tests_is_said_loudly_and_written_down(tmp_path, files):
    write(tmp_path, **files)
    assert "NO TESTS WERE FOUND" in run_init("--path", str(tmp_path))
    assert "MISSING  tests" in (tmp_path / "swarm.toml").read_text()


def test_the_default_branch_is_what_the_remote_says(tmp_path):
    write(tmp_path, **{".git/HEAD": "ref: refs/heads/work\n", "go.mod": ""})
    write(tmp_path, **{".git/refs/remotes/origin/HEAD": "ref: refs/remotes/origin/develop\n"})
    assert "branch develop, the default branch of origin" in run_init("--path", str(tmp_path))
    assert load(tmp_path).project.default_branch == "develop"


@pytest.mark.parametrize("place", ["worktree", "submodule", "detached"])
def test_the_branch_is_the_one_that_is_checked_out_wherever_in_a_repository(tmp_path, place):
    root = tmp_path / "repo"
    repository(root, {"README.md": "hello\n"})
    git(root, "checkout", "-q", "-b", "work")
    where = tmp_path / "tree"
    expected = "branch side, the branch you are on"
    if place == "worktree":
        git(root, "worktree", "add", "-q", "-b", "side", str(where))
    elif place == "submodule":
        git(tmp_path, "clone", "-q", "--separate-git-dir", str(tmp_path / "modules"), str(root), str(where))
        git(where, "checkout", "-q", "-b", "side")
        git(where, "remote", "remove", "origin")
    else:
        where, expected = root, "branch main, a guess: no branch is checked out"
        git(root, "checkout", "-q", "--detach")
    write(where, **{"go.mod": ""})
    assert expected in run_init("--path", str(where))
    assert load(where).project.default_branch == expected.split()[1].rstrip(",")


@pytest.mark.parametrize("options", [(), ("--force",), ("--verify",)])
def test_a_folder_of_a_repository_is_refused_with_the_mend(tmp_path, options):
    top, folder = tmp_path / "mono", tmp_path / "mono" / "packages" / "a"
    repository(top, {"packages/a/go.mod": "module a\n"})
    (tmp_path / "link").symlink_to(folder)
    for path in (folder, tmp_path / "link"):
        with pytest.raises(UsageError, match="belongs at its top") as refused:
            run_init("--path", str(path), *options)
        assert f"swarm init --path {top.resolve()}" in refused.value.mend
    assert not (folder / "swarm.toml").exists()


def test_a_worktree_goes_by_what_the_remote_calls_its_default_branch(tmp_path):
    repository(tmp_path / "origin", {"go.mod": ""})
    git(tmp_path, "clone", "-q", str(tmp_path / "origin"), str(tmp_path / "repo"))
    git(tmp_path / "repo", "worktree", "add", "-q", "-b", "side", str(tmp_path / "tree"))
    assert "the default branch of origin" in run_init("--path", str(tmp_path / "tree"))


def test_what_a_repository_says_cannot_become_configuration(tmp_path):
    script = "eslint\n[gates.tests]\nrun = 'true'"
    write(tmp_path, **{"package.json": json.dumps({"scripts": {"lint": script}})})
    run_init("--path", str(tmp_path))
    assert list(load(tmp_path).gates.commands) == ["lint"]


def test_a_broken_manifest_is_not_a_crash(tmp_path):
    write(tmp_path, **{"package.json": "{", "tsconfig.json": "{}"})
    run_init("--path", str(tmp_path))
    assert load(tmp_path).project.language == "typescript"


def test_it_refuses_to_overwrite_and_says_how(tmp_path):
    write(tmp_path, **{"swarm.toml": "mine", "go.mod": ""})
    with pytest.raises(UsageError) as caught:
        run_init("--path", str(tmp_path))
    assert "--force" in caught.value.mend
    assert (tmp_path / "swarm.toml").read_text() == "mine"
    run_init("--path", str(tmp_path), "--force")
    assert load(tmp_path).project.language == "go"


def test_a_folder_in_the_place_of_its_file_is_said(tmp_path):
    (tmp_path / "swarm.toml").mkdir()
    for force in ((), ("--force",)):
        with pytest.raises(UsageError, match="is a folder"):
            run_init("--path", str(tmp_path), *force)


def test_where_it_cannot_write_is_said(tmp_path, monkeypatch):
    def refuses(*_args, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkstemp", refuses)
    with pytest.raises(UsageError, match="cannot be written: Permission denied") as refused:
        run_init("--path", str(tmp_path))
    assert refused.value.where.endswith("swarm.toml")


def test_a_specification_starts_a_new_application(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC)
    run_init("--path", str(tmp_path), "--from", str(spec))
    assert {path.name for path in tmp_path.iterdir()} == {
        "spec.yaml",
        "swarm.toml",
        "pyproject.toml",
        "requirements.txt",
        ".gitignore",
    }
    config = load(tmp_path)
    assert config.project.name == "Book Shop"
    assert config.environment.registries is True
    tests = config.required_gates("write_tests")
    assert tests == {"scope", "secrets", "syntax", "lint", "types", "tests", "coverage"}
    assert config.required_gates("implement_database") >= {"smoke", "tests"}
    assert tomllib.loads((tmp_path / "pyproject.toml").read_text())["tool"]["mypy"]["strict"] is True


def test_a_new_application_does_not_land_on_existing_sources(tmp_path):
    write(tmp_path, **{"main.py": "", "spec.yaml": SPEC})
    with pytest.raises(UsageError, match="not empty"):
        run_init("--path", str(tmp_path), "--from", str(tmp_path / "spec.yaml"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("name: [", "not valid YAML"),
        ("name: x\n", "architecture.framework is missing"),
        ("name: x\narchitecture: {framework: django}\n", "no starter"),
    ],
)
def test_a_specification_it_cannot_use_is_refused_with_the_reason(tmp_path, text, error):
    write(tmp_path, **{"spec.yaml": text})
    with pytest.raises((UsageError, InvalidDocumentError), match=error) as caught:
        run_init("--path", str(tmp_path), "--from", str(tmp_path / "spec.yaml"))
    assert not isinstance(caught.value, click.ClickException)


def test_every_pinned_package_has_hashes_and_no_index_address_is_named():
    requirements = starter_files("fastapi", name="x", branch="main")["requirements.txt"]
    pins = [line for line in requirements.splitlines() if "==" in line]
    assert {pin.split("==")[0] for pin in pins} >= {
        "fastapi",
        "uvicorn",
        "pydantic",
        "httpx",
        "pytest",
        "coverage",
        "ruff",
        "mypy",
    }
    assert requirements.count("--hash=sha256:") >= len(pins)
    assert "://" not in requirements


def test_a_name_with_odd_letters_still_makes_a_file_that_loads(tmp_path):
    files = starter_files("fastapi", name='a "b" \\ c\n', branch="main")
    assert load_config(files["swarm.toml"], name="swarm.toml", environment={}).project.name == "a -b- - c"


def test_a_file_whose_name_is_no_text_costs_nobody_their_swarm_toml(tmp_path):
    write(tmp_path, **{"setup.py": "", "swarm.toml": "mine", "requirements.txt": "", "tests/test_\udcff.py": ""})
    write(tmp_path, **{"requirements-\udcff.txt": "pytest\n"})
    output = run_init("--path", str(tmp_path), "--force")
    assert "its name is no UTF-8" in output
    assert load(tmp_path).gates.commands["tests"].run
    assert load(tmp_path).environment.lock_files == ("requirements.txt",)


@pytest.mark.parametrize("before", [None, "mine"])
def test_what_cannot_be_written_leaves_the_files_as_they_were(tmp_path, before):
    if before is not None:
        write(tmp_path, **{"swarm.toml": before})
    with pytest.raises(UsageError, match="no text that can be written"):
        write_files(tmp_path, {"a": "good", "swarm.toml": "name = '\ud800'"}, force=True)
    with pytest.raises(UsageError, match="cannot be written: No such file"):
        write_files(tmp_path, {"swarm.toml": "new", "none/a": "good"}, force=True)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == ({"swarm.toml": before} if before else {})


def test_a_file_that_is_overwritten_keeps_its_permissions(tmp_path):
    write(tmp_path, **{"swarm.toml": "mine"})
    (tmp_path / "swarm.toml").chmod(0o640)
    write_files(tmp_path, {"swarm.toml": "new", "b": ""}, force=True)
    assert (tmp_path / "swarm.toml").stat().st_mode & 0o777 == 0o640
    (tmp_path / "c").touch()
    assert (tmp_path / "b").stat().st_mode == (tmp_path / "c").stat().st_mode


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pyproject.toml", "a = " + "[" * 5000 + "]" * 5000),
        ("pyproject.toml", "a = " + "9" * 5000),
        ("package.json", '{"a": ' + "9" * 5000 + "}"),
        ("package.json", "["),
    ],
)
def test_a_manifest_that_cannot_be_read_is_said(tmp_path, name, content):
    write(tmp_path, **{name: content})
    assert f"note: {name} was not read" in run_init("--path", str(tmp_path))


def test_a_dependency_group_that_is_no_list_is_an_empty_one(tmp_path):
    write(tmp_path, **{"pyproject.toml": '[project]\nname="x"\n[dependency-groups]\ndev = 5\n'})
    run_init("--path", str(tmp_path))
    assert load(tmp_path).environment.setup


def test_names_of_requirements_cannot_become_commands(tmp_path):
    names = ("dev requirements.txt", "requirements-$(touch pwned).txt", "requirements-`id`'.txt")
    write(tmp_path, **dict.fromkeys(names, "pytest\n"))
    run_init("--path", str(tmp_path))
    words = shlex.split(load(tmp_path).environment.setup[1])
    assert set(names) <= set(words)


def test_a_mark_at_the_start_of_a_manifest_does_not_empty_it(tmp_path):
    write(tmp_path, **{"package.json": '\ufeff{"scripts": {"test": "vitest run"}}'})
    assert "vitest" in (detect(tmp_path).tests or pytest.fail("none")).why


def test_the_projects_own_modules_are_no_part_of_its_environment(tmp_path):
    project, site, python = tmp_path / "repo", tmp_path / "site", tmp_path / "env" / "bin" / "python"
    record = "pkg/__init__.py,,\npkg/gone.py,,\npkg-1.dist-info/METADATA,,\npkg-1.dist-info/RECORD,,\n../bin/pkg,,\n"
    kept = {
        "pkg-1.dist-info/METADATA": "Name: pkg\nVersion: 1\n",
        "pkg-1.dist-info/RECORD": record,
        "dep/__init__.py": "",
    }
    kept |= {"pkg-1.dist-info/direct_url.json": '{"dir_info": {}, "url": "file:///tmp/project"}', "../bin/pkg": ""}
    kept |= {"dep-1.dist-info/METADATA": "Name: dep\nVersion: 1\n", "dep-1.dist-info/RECORD": "dep/__init__.py,,\n"}
    write(site, **kept, **{"pkg/__init__.py": "stale"})
    write(tmp_path, **{"env/bin/python": f'#!/bin/sh\nPYTHONPATH="{site}" exec "{sys.executable}" -S "$@"\n'})
    python.chmod(0o755)
    write(project, **{"pyproject.toml": '[project]\nname="pkg"\nversion="1"\n', "tests/test_a.py": "import pytest\n"})
    run_init("--path", str(project))

    (own,) = (command for command in load(project).environment.setup if "importlib" in command)
    subprocess.run(["sh", "-c", own], check=True, env={"SWARM_ENVIRONMENT": str(tmp_path / "env")}, timeout=60)

    assert not (site / "pkg/__init__.py").exists()
    assert all((site / name).exists() for name in kept)


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        ({"pyproject.toml": '[project]\nname="x"\n[tool.setuptools.packages.find]\nwhere=["lib", "src"]\n'}, "src lib"),
        ({"pyproject.toml": '[project]\nname="x"\n[tool.setuptools.package-dir]\n"" = "lib"\n'}, "src lib"),
        ({"setup.py": "setup(package_dir={'': 'lib'}, packages=find_packages('lib'))"}, "src lib"),
        ({"setup.py": "setup(packages=find_packages(where='lib'))"}, "src lib"),
        ({"setup.py": "", "setup.cfg": "[options]\npackage_dir =\n  = lib\n"}, "src lib"),
        ({"setup.py": "", "setup.cfg": "[options.packages.find]\nwhere = lib\n"}, "src lib"),
        ({"pyproject.toml": '[project]\nname="x"\n[tool.maturin]\npython-source = "lib"\n'}, "src lib"),
        ({"pyproject.toml": '[project]\nname="x"\n[tool.poetry]\npackages=[{include="x", from="lib"}]\n'}, "src lib"),
        (
            {"pyproject.toml": '[project]\nname="x"\n[tool.hatch.build.targets.wheel]\npackages=["lib/x", "x"]\n'},
            "src lib",
        ),
        ({"pyproject.toml": '[project]\nname="x"\n[tool.setuptools.package-dir]\n"" = "../$(id)"\n'}, "src"),
    ],
)
def test_tests_import_the_package_from_where_the_project_keeps_it(tmp_path, files, folders):
    write(tmp_path, **files, **{"lib/x.py": "", "src/y.py": "", "tests/test_a.py": "import pytest\n"})
    run_init("--path", str(tmp_path))
    run = load(tmp_path).gates.commands["tests"].run or ""
    assert run.startswith('PYTHONPATH="' + ":".join(f"$PWD/{each}" for each in folders.split()) + '" python -m ')


@pytest.mark.parametrize(
    ("files", "note"),
    [
        ({"pyproject.toml": '[project]\nname="x"\n[build-system]\nrequires=["maturin>=1"]\n'}, "compiled (maturin)"),
        ({"setup.py": "setup(ext_modules=[Extension('x', ['x.c'])])"}, "compiled (ext_modules)"),
        (
            {"pyproject.toml": '[project]\nname="x"\n[tool.setuptools.package-dir]\nx = "code"\n'},
            "the package x lies in a folder of another name",
        ),
    ],
)
def test_that_tests_may_judge_another_copy_is_said(tmp_path, files, note):
    write(tmp_path, **files, **{"tests/test_a.py": "import pytest\n"})
    assert note in run_init("--path", str(tmp_path))


@pytest.mark.parametrize(
    "place", ["tests/test_a.py", "test/test_a.py", "src/pkg/tests/test_a.py", "test_a.py", "testing.py"]
)
@pytest.mark.parametrize(("code", "expected"), [("pass", 0), ("self.fail()", 1), (None, 5)])
def test_tests_of_unittest_are_found_wherever_they_lie_and_none_are_no_success(tmp_path, place, code, expected):
    cases = f"class A(unittest.TestCase):\n    def test_a(self):\n        {code}\n" if code else ""
    write(tmp_path, **{"setup.py": "", "tests/test_b.py": "import unittest\n", place: f"import unittest\n{cases}"})
    write(tmp_path, **{"src/pkg/__init__.py": ""})
    run_init("--path", str(tmp_path))
    config = load(tmp_path)
    bin_folder = Path(sys.executable).parent
    environment = {"PATH": f"{bin_folder}:{os.defpath}", "SWARM_REPORTS": str(tmp_path / "reports")}
    (tmp_path / "reports").mkdir()
    run = config.gates.commands["tests"].run or ""
    ran = subprocess.run(["sh", "-c", run], cwd=tmp_path, env=environment, check=False, timeout=60, capture_output=True)
    assert ran.returncode == expected, ran.stdout
    assert "pytest" in config.environment.setup[-1]


PROJECT = '[project]\nname="x"\ndependencies=["flask"]\n'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"uv.lock": "", "pyproject.toml": PROJECT}, ["--no-install-project --all-extras --all-groups"]),
        (
            {
                "uv.lock": "",
                "pyproject.toml": PROJECT
                + "[project.optional-dependencies]\ndev=['pytest']\ngpu=[]\n[dependency-groups]\nlint=[]\n"
                + "[tool.uv]\nconflicts=[[{extra='gpu'},{extra='dev'}]]\n",
            },
            ["--no-install-project --extra dev --group lint"],
        ),
        ({"pyproject.toml": PROJECT, "requirements-dev.txt": "pytest\n"}, ["-r requirements-dev.txt", "/project"]),
        (
            {"setup.cfg": "[metadata]\nname=x\n[options]\ninstall_requires=flask\n", "a.py": ""},
            ['touch "$TMPDIR/project/pyproject.toml" && "$SWARM_ENVIRONMENT/bin/pip" install "$TMPDIR/project"'],
        ),
        (
            {"pyproject.toml": "[tool.poetry]\nname='x'\n[tool.poetry.group.test]\noptional=true\n"},
            ["install poetry", '"$SWARM_ENVIRONMENT/bin/poetry" install --no-root', "--with test"],
        ),
        (
            {
                "pyproject.toml": PROJECT
                + "[dependency-groups]\ndev=['a', {include-group='T.t'}]\nt_t=['b>1', {include-group='dev'}]\n"
            },
            ['install a "b>1"'],
        ),
        ({"pyproject.toml": "[dependency-groups]\ndev=['pytest']\n"}, ["install pytest"]),
        (
            {"pyproject.toml": PROJECT + "[project.optional-dependencies]\nci-tests=['pytest']\n"},
            ["/project[ci-tests]"],
        ),
        ({"pyproject.toml": PROJECT + "[project.optional-dependencies]\n'dev$(id)'=['a']\n"}, ['/project"']),
        ({"requirements.txt": "-e .[dev]\n", "setup.py": ""}, ['cd "$TMPDIR/project" && ', "importlib.metadata"]),
    ],
)
def test_everything_that_gates_need_is_installed(tmp_path, files, said):
    write(tmp_path, **files)
    run_init("--path", str(tmp_path))
    setup = "\n".join(load(tmp_path).environment.setup)
    assert [each for each in said if each not in setup] == []


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": PROJECT + "[project.optional-dependencies]\nall=['pytest']\n"},
        {"requirements.txt": "flask  # tested by pytest\n"},
        {"requirements.txt": "flask==1 --hash=sha256:00\n"},
        {"requirements.txt": "flask\n", "pyproject.toml": PROJECT + "[dependency-groups]\ndev=['pytest']\n"},
    ],
)
def test_a_tool_that_is_named_where_nothing_is_installed_from_is_installed_besides(tmp_path, files):
    write(tmp_path, **files, **{"tests/test_a.py": "import pytest\n"})
    run_init("--path", str(tmp_path))
    assert load(tmp_path).environment.setup[-1].endswith("install pytest")


def test_the_marker_of_a_requirement_reaches_the_installer(tmp_path):
    wanted = 'tomli>=2; python_version < "3.11"'
    write(tmp_path, **{"pyproject.toml": f"[project]\nname='x'\n[dependency-groups]\ndev = ['''{wanted}''']\n"})
    run_init("--path", str(tmp_path))
    assert shlex.split(load(tmp_path).environment.setup[-1])[-1] == wanted


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": '[project]\nname="x"\n[tool.isort]\nprofile = "black"\n'},
        {"pyproject.toml": '[project]\nname="x"\ndescription="like mypy or black"\nkeywords=["black", "mypy"]\n'},
        {
            "tox.ini": "[testenv]\ndeps = isort\ncommands =\n    isort --profile black .\n    # mypy\n[isort]\nprofile = black\n"
        },
        {"setup.cfg": "[metadata]\nkeywords = black\n[options]\ninstall_requires = blackjack\n"},
        {"requirements.txt": "isort # not black\n"},
    ],
)
def test_a_word_that_stands_somewhere_is_no_tool_in_use(tmp_path, files):
    write(tmp_path, **{"setup.py": "# formatted with black", **files})
    assert {gate.name for gate in detect(tmp_path).gates} == {"syntax"}


@pytest.mark.parametrize(
    ("files", "gate"),
    [
        ({"pyproject.toml": '[project]\nname="x"\n[project.optional-dependencies]\ndocs=["Black[d]>=1"]\n'}, "format"),
        ({"pyproject.toml": '[tool.poetry.group.dev.dependencies]\nmypy="*"\n'}, "types"),
        ({"pyproject.toml": '[tool.hatch.envs.x]\nextra-dependencies=["mypy"]\n'}, "types"),
        ({"pyproject.toml": '[tool.pdm.dev-dependencies]\na=["ruff"]\n'}, "lint"),
        ({"tox.ini": "[testenv:a]\ndeps = black==1\n"}, "format"),
        ({"tox.ini": "[testenv]\ncommands = python -m flake8 x\n"}, "lint"),
        ({"tox.ini": "[testenv]\ndeps =\n    lint: ruff\n"}, "lint"),
        ({"noxfile.py": 'session.run("mypy", "x")'}, "types"),
        ({"setup.py": "setup(extras_require={'dev': ['black>=22']})"}, "format"),
        ({"setup.cfg": "[options.extras_require]\ndev =\n  mypy>1\n"}, "types"),
        ({"Pipfile": '[dev-packages]\nblack = "*"\n'}, "format"),
        ({"requirements-dev.txt": "black==24.1 # newest\n"}, "format"),
    ],
)
def test_a_tool_in_a_list_of_dependencies_or_commands_is_in_use(tmp_path, files, gate):
    write(tmp_path, **{"setup.py": "", **files})
    assert gate in {each.name for each in detect(tmp_path).gates}


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": '[tool.pytest.ini_options]\naddopts = ["-q", "--cov=x"]\n'},
        {"pyproject.toml": '[dependency-groups]\ntest=["pytest-cov"]\n'},
        {"pytest.ini": "[pytest]\naddopts = --cov-fail-under=90\n"},
    ],
)
def test_coverage_is_measured_once(tmp_path, files):
    write(tmp_path, **{"setup.py": "", "tests/test_a.py": "import pytest\n"}, **files)
    detected = detect(tmp_path)
    assert " --no-cov" in (detected.tests or pytest.fail("none")).run
    assert "pytest-cov" in " ".join(detected.setup)


def test_what_several_processes_measured_is_put_together(tmp_path):
    write(tmp_path, **{"setup.py": "", "tests/test_a.py": "import pytest\n", ".coveragerc": "[run]\nparallel = true\n"})
    run = (detect(tmp_path).tests or pytest.fail("none")).run
    assert '|| { coverage combine -q --data-file "$SWARM_REPORTS/coverage.data"; coverage json' in run
