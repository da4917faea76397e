"""Python: uv, poetry, pdm, pipenv, requirements or a build; pytest, which runs unittest's too; ruff, flake8, black, mypy, pyright."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import names_word, table, text
from swarmworks.cli.starters.python_environment import TAGS, environment_of, is_text, with_tools
from swarmworks.cli.starters.python_repository import Repository
from swarmworks.cli.starters.sources import renamed_packages

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = ("pytest", "ruff", "flake8", "black", "mypy", "pyright", "coverage", "pytest-cov")
PYTEST = 'pytest -q -p no:cacheprovider -o junit_family=xunit1 --junitxml "$SWARM_REPORTS/junit.xml"'
UNITTEST = '-o "python_files=test*.py *_test.py"'
DATA = '--data-file "$SWARM_REPORTS/coverage.data"'


def detect_python(root: Path) -> Detected:
    repository = Repository(root)
    found = {tool: repository.why(tool) for tool in TOOLS}
    if not found["pytest"]:
        found["pytest"] = _uses_pytest(repository)
    unittest = "" if found["pytest"] else _uses_unittest(repository)
    found["pytest"] = found["pytest"] or unittest
    environment = environment_of(repository)
    environment = with_tools(environment, _lacking(environment.installed, found))
    gates = (*_checks(repository, found), *_tests(repository, found, UNITTEST if unittest else ""))
    used = tuple(tool for tool in TOOLS if found[tool])
    return Detected(
        "python",
        environment.setup,
        environment.lock_files,
        gates,
        evidence=(environment.why, *used) if environment.why else used,
        setup_why=environment.why,
        missing=_missing(gates),
        notes=tuple(_notes(repository)),
    )


def _uses_pytest(repository: Repository) -> str:
    """Test files that unittest alone would not find or understand."""
    for path in repository.test_files[:50]:
        words = text(repository.root / path)
        if re.search(r"^\s*(import|from) pytest\b", words, re.MULTILINE) or re.search(
            r"^def test_", words, re.MULTILINE
        ):
            return f"{path} is written for it"
    return ""


def _uses_unittest(repository: Repository) -> str:
    """Run by pytest all the same: unittest finds nothing below folders that are no packages, and calls that a success."""
    if repository.test_files:
        return f"{repository.test_files[0]}: pytest runs the tests of unittest too"
    return "tests/: pytest runs the tests of unittest too" if (repository.root / "tests").is_dir() else ""


def _lacking(named: str, found: dict[str, str]) -> list[str]:
    """Tools that are used, and that nothing which the set-up installs names."""
    wanted = [tool for tool in ("pytest", "ruff", "flake8", "black", "mypy") if found[tool]]
    if found["flake8"] and found["ruff"]:
        wanted.remove("flake8")
    wanted += ["coverage"] if found["coverage"] or found["pytest-cov"] else []
    wanted += ["pytest-cov"] if found["pytest-cov"] else []
    missing = [tool for tool in wanted if not names_word(named, tool)]
    if found["pyright"] and not names_word(named, "pyright"):
        missing.append('"pyright[nodejs]"')
    return missing


def _checks(repository: Repository, found: dict[str, str]) -> Iterator[ProposedGate]:
    syntax = 'python "$SWARM_CHECKS/python_syntax.py"'
    yield ProposedGate(
        "syntax", syntax, "lines", "comes with Swarmworks: every file compiles", early=True, nothing=(5,)
    )
    if found["ruff"]:
        run = "ruff check --no-cache --output-format json ."
        yield ProposedGate("lint", run, "ruff", found["ruff"], early=True)
    elif found["flake8"]:
        yield ProposedGate("lint", "python -m flake8", "lines", found["flake8"], early=True)
    if found["black"]:
        yield ProposedGate("format", "python -m black --check -q .", "exit", found["black"], early=True)
    if found["mypy"]:
        target = "" if "files" in table(repository.project, "tool", "mypy") else " ."
        run = f'mypy --output json --cache-dir "$SWARM_CACHE"{target}'
        yield ProposedGate("types", run, "mypy", found["mypy"], cache=True)
    if found["pyright"]:
        yield ProposedGate("pyright" if found["mypy"] else "types", "pyright", "exit", found["pyright"])


def _tests(repository: Repository, found: dict[str, str], options: str) -> Iterator[ProposedGate]:
    if not found["pytest"]:
        return
    folders = ":".join(f"$PWD/{each}" for each in repository.sources)
    path = f'PYTHONPATH="{folders}" ' if folders else ""
    measured = bool(found["coverage"] or found["pytest-cov"])
    alone = "--no-cov" if found["pytest-cov"] else ""  # it would measure too, and fail below a floor of its own
    pytest = " ".join(each for each in (PYTEST, alone, options) if each)
    run = path + (_covered(pytest, parallel=repository.measures_in_parallel) if measured else f"python -m {pytest}")
    yield ProposedGate("tests", run, "junit", found["pytest"], nothing=(5,))
    floor = table(repository.project, "tool", "coverage", "report").get("fail_under")
    if measured and isinstance(floor, int | float) and 0 <= floor <= 100:
        why = "pyproject.toml: fail_under of [tool.coverage.report]"
        yield ProposedGate("coverage", "", "coverage", why, source="tests", floor=float(floor))


def _covered(pytest: str, *, parallel: bool) -> str:
    """Measured only when another gate reads it."""
    report = f'coverage json -q {DATA} -o "$SWARM_REPORTS/coverage.json"'
    if parallel:
        report = f"{{ coverage combine -q {DATA}; {report}; }}"
    measured = f"${{SWARM_READ_BY:+coverage run {DATA} -m}}"
    return f'python -m {measured} {pytest}; code=$?; [ -z "$SWARM_READ_BY" ] || {report}; exit $code'


def _missing(gates: tuple[ProposedGate, ...]) -> tuple[str, ...]:
    names = {gate.name for gate in gates}
    lacks: list[str] = []
    if "tests" not in names:
        lacks.append('tests: write some, then add [gates.tests] with run = "python -m pytest ..." and reads = "junit"')
    if "lint" not in names:
        lacks.append(
            'a linter: such as ruff, with [gates.lint] run = "ruff check --output-format json ." reads = "ruff"'
        )
    return tuple(lacks)


def _notes(repository: Repository) -> Iterator[str]:
    for path in repository.root.glob("*requirements*.txt"):
        if not is_text(path.name):
            yield f"{path.name!a} is left out: its name is no UTF-8"
    for name in ("tox.ini", "noxfile.py"):
        if (repository.root / name).is_file():
            yield f"{name}: gates run the tools themselves, since they have no network to build environments with"
    if tool := repository.compiled_by:
        yield (
            f"a part of the packages is compiled ({tool}), once, from the commit the environment is built from: until the "
            "gate of the tests builds the change's own, it judges that one or does not find it"
        )
    for package in renamed_packages(repository.root, repository.project):
        yield f"the package {package} lies in a folder of another name: the gate of the tests will not find it"
    if any(word in repository.declared for word in TAGS):
        yield "the version comes from git tags, which builds do not see: it is set to 0.0.1 there"
