"""Python: uv, poetry, pdm, pipenv, requirements or a build; pytest, which runs unittest's too; ruff, flake8, black, mypy, pyright."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from swarmworks.cli.starters.detected import Detected, ProposedGate
from swarmworks.cli.starters.manifests import files, names_word, present, table, text, toml
from swarmworks.cli.starters.sources import compiled_by, renamed_packages, source_folders

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = ("pytest", "ruff", "flake8", "black", "mypy", "pyright", "coverage", "pytest-cov")
PYTEST = 'pytest -q -p no:cacheprovider -o junit_family=xunit1 --junitxml "$SWARM_REPORTS/junit.xml"'
UNITTEST = '-o "python_files=test*.py *_test.py"'
DATA = '--data-file "$SWARM_REPORTS/coverage.data"'
COVERED = (
    f"python -m ${{SWARM_READ_BY:+coverage run {DATA} -m}} {PYTEST}; code=$?; "
    f'[ -z "$SWARM_READ_BY" ] || coverage json -q {DATA} -o "$SWARM_REPORTS/coverage.json"; exit $code'
)
PIP = '"$SWARM_ENVIRONMENT/bin/pip" install'
VENV = '"$SWARM_PYTHON" -m venv "$SWARM_ENVIRONMENT"'
_SECTIONS = {
    "pytest": (r"^\[tool:pytest\]", r"^\[pytest\]"),
    "flake8": (r"^\[flake8\]",),
    "mypy": (r"^\[mypy\]",),
    "coverage": (r"^\[coverage:", r"^\[run\]"),
}
_FILES = {
    "pytest": ("pytest.ini", "conftest.py", "tests/conftest.py"),
    "ruff": ("ruff.toml", ".ruff.toml"),
    "flake8": (".flake8",),
    "mypy": ("mypy.ini", ".mypy.ini"),
    "pyright": ("pyrightconfig.json",),
    "coverage": (".coveragerc",),
}
_HOOKS = {"ruff": "ruff-pre-commit", "flake8": "pycqa/flake8", "black": "psf/black", "mypy": "mirrors-mypy"}
_TEST_FILE = re.compile(r"(^|/)(test_[^/]*|[^/]*_test|tests?)\.py$")
_TAGS = ("setuptools_scm", "setuptools-scm", "hatch-vcs")
_EXTRAS = ("dev", "test", "tests", "testing", "lint")


@dataclass(frozen=True)
class _Repository:
    root: Path

    @cached_property
    def project(self) -> dict[str, Any]:
        return toml(self.root / "pyproject.toml")

    @cached_property
    def requirements(self) -> tuple[str, ...]:
        found = [*self.root.glob("*requirements*.txt"), *self.root.glob("requirements/*.txt")]
        names = sorted(path.relative_to(self.root).as_posix() for path in found)
        return tuple(name for name in names if "doc" not in name and _written(name))

    @cached_property
    def declared(self) -> str:
        """Everything that names dependencies, as text."""
        names = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "Pipfile", *self.requirements)
        return "\n".join(text(self.root / name) for name in names)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        return source_folders(self.root, self.project)

    @cached_property
    def compiled_by(self) -> str:
        return compiled_by(self.root, self.project)

    @cached_property
    def test_files(self) -> tuple[str, ...]:
        return tuple(path for path in files(self.root) if _TEST_FILE.search(path))

    def why(self, tool: str) -> str:
        """Where the repository shows that it uses `tool`, empty when nothing does."""
        section = "pytest" if tool == "pytest-cov" else tool
        if tool in table(self.project, "tool"):
            return f"pyproject.toml: [tool.{tool}]"
        if name := present(self.root, *_FILES.get(tool, ())):
            return name
        for name in ("setup.cfg", "tox.ini"):
            words = text(self.root / name)
            for pattern in _SECTIONS.get(section, ()) if tool == section else ():
                if match := re.search(pattern, words, re.MULTILINE):
                    return f"{name}: {match.group().rstrip(':')}{']' if not match.group().endswith(']') else ''}"
        for name in ("pyproject.toml", *self.requirements, "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "Pipfile"):
            if names_word(text(self.root / name), tool):
                return f"{name} names it"
        if tool in _HOOKS and _HOOKS[tool] in text(self.root / ".pre-commit-config.yaml").lower():
            return ".pre-commit-config.yaml"
        return ""


def detect_python(root: Path) -> Detected:
    repository = _Repository(root)
    found = {tool: repository.why(tool) for tool in TOOLS}
    if not found["pytest"]:
        found["pytest"] = _uses_pytest(repository)
    unittest = "" if found["pytest"] else _uses_unittest(repository)
    found["pytest"] = found["pytest"] or unittest
    setup, locks, why = _setup(repository)
    installed = _installed(repository, found)
    if installed and setup and "--require-hashes" not in setup[-1]:
        setup = (*setup, f"{PIP} {' '.join(installed)}")
    elif installed and not setup:
        setup = (VENV, f"{PIP} {' '.join(installed)}")
        why = "no manifest: only the tools of the gates"
    gates = (*_checks(repository, found), *_tests(repository, found, UNITTEST if unittest else ""))
    used = tuple(tool for tool in TOOLS if found[tool])
    return Detected(
        "python",
        setup,
        locks,
        gates,
        evidence=(why, *used) if why else used,
        setup_why=why,
        missing=_missing(gates),
        notes=tuple(_notes(repository)),
    )


def _uses_pytest(repository: _Repository) -> str:
    """Test files that unittest alone would not find or understand."""
    for path in repository.test_files[:50]:
        words = text(repository.root / path)
        if re.search(r"^\s*(import|from) pytest\b", words, re.MULTILINE) or re.search(
            r"^def test_", words, re.MULTILINE
        ):
            return f"{path} is written for it"
    return ""


def _uses_unittest(repository: _Repository) -> str:
    """Run by pytest all the same: unittest finds nothing below folders that are no packages, and calls that a success."""
    if repository.test_files:
        return f"{repository.test_files[0]}: pytest runs the tests of unittest too"
    return "tests/: pytest runs the tests of unittest too" if (repository.root / "tests").is_dir() else ""


def _installed(repository: _Repository, found: dict[str, str]) -> list[str]:
    """Tools that are used and named by no manifest that the set-up installs."""
    named = _installed_words(repository)
    wanted = [tool for tool in ("pytest", "ruff", "flake8", "black", "mypy") if found[tool]]
    if found["flake8"] and found["ruff"]:
        wanted.remove("flake8")
    wanted += ["coverage"] if found["coverage"] or found["pytest-cov"] else []
    missing = [tool for tool in wanted if not names_word(named, tool)]
    if found["pyright"] and not names_word(named, "pyright"):
        missing.append('"pyright[nodejs]"')
    return missing


def _installed_words(repository: _Repository) -> str:
    """The manifests whose whole content gets installed: configuration in them names tools too, and is no dependency."""
    if present(repository.root, "uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"):
        return "\n".join(text(repository.root / n) for n in ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"))
    if repository.requirements:
        return "\n".join(text(repository.root / name) for name in repository.requirements)
    return " ".join((*_strings(table(repository.project, "project")), *_group(repository)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        yield from _strings([inner.get("dependencies"), *table(inner, "optional-dependencies").values()])
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            yield from _strings(each)


def _group(repository: _Repository) -> list[str]:
    """Of `[dependency-groups]`: what is written in those for development; inclusions are theirs too."""
    groups = table(repository.project, "dependency-groups")
    lists = [cast("list[Any]", groups[name]) for name in _EXTRAS if isinstance(groups.get(name), list)]
    return [each for entries in lists for each in entries if isinstance(each, str)]


_IN = '"$SWARM_ENVIRONMENT/bin/{0}" '
_ALL = f"{PIP} -r all.txt"
_WITHOUT_OWN = (
    '"$SWARM_ENVIRONMENT/bin/python" -c \'import importlib.metadata as m; [f.locate().unlink(True) '
    'for d in m.distributions() if "/project" + chr(34) in (d.read_text("direct_url.json") or "") '
    'for f in d.files if f.parts[0] != ".." and not f.parts[0].endswith(".dist-info")]\''
)
_UV = f'UV_PROJECT_ENVIRONMENT="$SWARM_ENVIRONMENT" {_IN}sync --inexact --frozen --no-install-project'
_POETRY = f'VIRTUAL_ENV="$SWARM_ENVIRONMENT" {_IN}install --no-root --no-interaction'
_PDM = f'cp pyproject.toml pdm.lock "$TMPDIR/" && cd "$TMPDIR" && {_IN}export --dev -o all.txt && {_ALL}'
_PIPENV = f'cp Pipfile Pipfile.lock "$TMPDIR/" && cd "$TMPDIR" && {_IN}requirements --dev > all.txt && {_ALL}'
_LOCKED = (
    ("uv", ("uv.lock", "pyproject.toml"), _UV),
    ("poetry", ("poetry.lock", "pyproject.toml"), _POETRY),
    ("pdm", ("pdm.lock", "pyproject.toml"), _PDM),
    ("pipenv", ("Pipfile.lock", "Pipfile"), _PIPENV),
)


def _setup(repository: _Repository) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    root = repository.root
    for manager, locks, install in _LOCKED:
        if (root / locks[0]).is_file():
            return (VENV, f"{PIP} {manager}", install.format(manager)), locks, manager
    if repository.requirements:
        hashed = all("--hash=" in text(root / name) for name in repository.requirements)
        flags = "--require-hashes " if hashed else ""
        listed = " ".join(f"-r {_quoted(name)}" for name in repository.requirements)
        return (VENV, f"{PIP} {flags}{listed}"), repository.requirements, "requirements"
    if "project" in repository.project or (root / "setup.py").is_file():
        return _built(repository)
    return (), (), ""


def _built(repository: _Repository) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """The project itself is installed for what it depends on. Its own modules are taken out again, its metadata stays: gates
    and agents run the working copy's files, and tests that found those of the base commit would judge the wrong code.
    """
    root = repository.root
    extras = table(repository.project, "project", "optional-dependencies")
    chosen = ",".join(name for name in _EXTRAS if name in extras)
    tagged = any(word in repository.declared for word in _TAGS)
    version = "SETUPTOOLS_SCM_PRETEND_VERSION=0.0.1 " if tagged else ""
    suffix = f"[{chosen}]" if chosen else ""
    install = f'cp -R . "$TMPDIR/project" && {version}{PIP} "$TMPDIR/project{suffix}"'
    group = _group(repository)
    more = (f"{PIP} {' '.join(_quoted(each) for each in group)}",) if group else ()
    manifests = tuple(name for name in ("pyproject.toml", "setup.cfg", "setup.py") if (root / name).is_file())
    way = "pyproject.toml" if "project" in repository.project else "setup.py"
    own = () if repository.compiled_by else (_WITHOUT_OWN,)
    return (VENV, install, *own, *more), manifests, way


def _quoted(word: str) -> str:
    """One word for the shell, in double quotes where they are enough: in TOML they need no escape."""
    if re.fullmatch(r"[\w./@%+=:,-]+", word, re.ASCII):
        return word
    return shlex.quote(word) if re.search(r'["$`\\]', word) else f'"{word}"'


def _written(name: str) -> bool:
    """Whether a file's name is text: one that is not cannot stand in swarm.toml."""
    return not re.search(r"[\ud800-\udfff]", name)


def _checks(repository: _Repository, found: dict[str, str]) -> Iterator[ProposedGate]:
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


def _tests(repository: _Repository, found: dict[str, str], options: str) -> Iterator[ProposedGate]:
    if not found["pytest"]:
        return
    folders = ":".join(f"$PWD/{each}" for each in repository.sources)
    path = f'PYTHONPATH="{folders}" ' if folders else ""
    measured = bool(found["coverage"] or found["pytest-cov"])
    pytest = f"{PYTEST} {options}".rstrip()
    run = path + (COVERED.replace(PYTEST, pytest) if measured else f"python -m {pytest}")
    yield ProposedGate("tests", run, "junit", found["pytest"], nothing=(5,))
    floor = table(repository.project, "tool", "coverage", "report").get("fail_under")
    if measured and isinstance(floor, int | float):
        why = "pyproject.toml: fail_under of [tool.coverage.report]"
        yield ProposedGate("coverage", "", "coverage", why, source="tests", floor=float(floor))


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


def _notes(repository: _Repository) -> Iterator[str]:
    for path in repository.root.glob("*requirements*.txt"):
        if not _written(path.name):
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
    if any(word in repository.declared for word in _TAGS):
        yield "the version comes from git tags, which builds do not see: it is set to 0.0.1 there"
