"""The commands that build the environment of a Python repository, by its own package manager, and what they install."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.cli.starters.dependencies import (
    extras,
    for_development,
    groups,
    poetry_dependencies,
    project_dependencies,
    requirement_lines,
)
from swarmworks.cli.starters.manifests import ini, table, text

if TYPE_CHECKING:
    from swarmworks.cli.starters.python_repository import Repository

PIP = '"$SWARM_ENVIRONMENT/bin/pip" install'
VENV = '"$SWARM_PYTHON" -m venv "$SWARM_ENVIRONMENT"'
TAGS = ("setuptools_scm", "setuptools-scm", "hatch-vcs")
_IN = '"$SWARM_ENVIRONMENT/bin/{0}" '
_ALL = f"{PIP} -r all.txt"
_COPY = 'cp -R . "$TMPDIR/project" && '
_WITHOUT_OWN = (
    '"$SWARM_ENVIRONMENT/bin/python" -c \'import importlib.metadata as m; [f.locate().unlink(True) '
    'for d in m.distributions() if "/project" + chr(34) in (d.read_text("direct_url.json") or "") '
    'for f in d.files if f.parts[0] != ".." and not f.parts[0].endswith(".dist-info")]\''
)
_UV = f'UV_PROJECT_ENVIRONMENT="$SWARM_ENVIRONMENT" {_IN}sync --inexact --frozen --no-install-project'
_POETRY = f'VIRTUAL_ENV="$SWARM_ENVIRONMENT" {_IN}install --no-root --no-interaction --all-extras'
_PDM = f'cp pyproject.toml pdm.lock "$TMPDIR/" && cd "$TMPDIR" && {_IN}export --dev -o all.txt && {_ALL}'
_PIPENV = f'cp Pipfile Pipfile.lock "$TMPDIR/" && cd "$TMPDIR" && {_IN}requirements --dev > all.txt && {_ALL}'
_LOCKED = (
    ("uv", ("uv.lock", "pyproject.toml"), _UV),
    ("poetry", ("poetry.lock", "pyproject.toml"), _POETRY),
    ("pdm", ("pdm.lock", "pyproject.toml"), _PDM),
    ("pipenv", ("Pipfile.lock", "Pipfile"), _PIPENV),
)
_RUNTIME = re.compile(r"(^|/)(requirements|base|main|prod|production|common|core|runtime)\.txt$")
_ITSELF = re.compile(r"(-e\s*|--editable[ =]\s*)?\.(\[[^\]]*\])?/?")


@dataclass(frozen=True, slots=True)
class PythonEnvironment:
    """`installed` is the text of what gets installed, to look for tools in. `why` says what it was guessed from."""

    setup: tuple[str, ...] = ()
    lock_files: tuple[str, ...] = ()
    why: str = ""
    installed: str = ""


def environment_of(repository: Repository) -> PythonEnvironment:
    for manager, locks, install in _LOCKED:
        if (repository.root / locks[0]).is_file():
            command = install.format(manager) + _options(repository, manager)
            named = text(repository.root / locks[0]) if not _conflicts(repository, manager) else _named(repository)
            return PythonEnvironment((VENV, f"{PIP} {manager}", command), locks, manager, named)
    if repository.requirements:
        return _listed(repository)
    if table(repository.project, "tool", "poetry"):
        return _unlocked_poetry(repository)
    if _is_built(repository):
        return _built(repository)
    return _groups_alone(repository)


def with_tools(environment: PythonEnvironment, tools: list[str]) -> PythonEnvironment:
    """The same with `tools`, words for the shell, installed besides."""
    if not tools:
        return environment
    setup = environment.setup or (VENV,)
    why = environment.why or "no manifest: only the tools of the gates"
    return PythonEnvironment((*setup, f"{PIP} {' '.join(tools)}"), environment.lock_files, why, environment.installed)


def is_text(name: str) -> bool:
    """Whether a file's name is text: one that is not cannot stand in swarm.toml."""
    return not re.search(r"[\ud800-\udfff]", name)


def _options(repository: Repository, manager: str) -> str:
    """So that everything that is locked gets installed, as far as it goes together."""
    if manager == "uv":
        if not _conflicts(repository, manager):
            return " --all-extras --all-groups"
        chosen = [f" --extra {name}" for name in for_development(extras(repository.project))]
        return "".join((*chosen, *(f" --group {name}" for name in for_development(groups(repository.project)))))
    if manager == "poetry":
        written = table(repository.project, "tool", "poetry", "group")
        optional = [name for name in for_development(written) if table(written, name).get("optional") is True]
        return f" --with {','.join(optional)}" if optional else ""
    return ""


def _conflicts(repository: Repository, manager: str) -> bool:
    """Refused by uv: to install extras or groups together of which the table says that they conflict."""
    return manager == "uv" and bool(table(repository.project, "tool", "uv").get("conflicts"))


def _listed(repository: Repository) -> PythonEnvironment:
    names = repository.requirements
    lines = [line for name in names for line in requirement_lines(repository.root / name)]
    hashed = all("--hash=" in text(repository.root / name) for name in names)
    command = f"{PIP} {'--require-hashes ' if hashed else ''}{' '.join(f'-r {_quoted(name)}' for name in names)}"
    installed = "\n".join(lines)
    if any(_ITSELF.fullmatch(line) for line in lines):
        inside = f'{_COPY}cd "$TMPDIR/project" && {_version(repository)}{command}'
        installed = f"{installed}\n{_named(repository)}"
        return PythonEnvironment((VENV, inside, *_own(repository)), names, "requirements", installed)
    if _is_built(repository) and not any(_RUNTIME.search(name) for name in names):
        built = _built(repository)
        setup, locks = (VENV, command, *built.setup[1:]), (*names, *built.lock_files)
        return PythonEnvironment(setup, locks, f"requirements, {built.why}", f"{installed}\n{built.installed}")
    return PythonEnvironment((VENV, command), names, "requirements", installed)


def _unlocked_poetry(repository: Repository) -> PythonEnvironment:
    """In a copy: poetry locks first, and writes that down."""
    install = f'{_COPY}cd "$TMPDIR/project" && {_POETRY.format("poetry")}{_options(repository, "poetry")}'
    named = "\n".join((*poetry_dependencies(repository.project), _named(repository)))
    return PythonEnvironment(
        (VENV, f"{PIP} poetry", install), ("pyproject.toml",), "poetry, without a lock file", named
    )


def _is_built(repository: Repository) -> bool:
    if "project" in repository.project or (repository.root / "setup.py").is_file():
        return True
    return not {"metadata", "options"}.isdisjoint(ini(repository.root / "setup.cfg"))


def _built(repository: Repository) -> PythonEnvironment:
    """The project itself is installed for what it depends on. Its own modules are taken out again, its metadata stays: gates
    and agents run the working copy's files, and tests that found those of the base commit would judge the wrong code.
    """
    root = repository.root
    chosen = ",".join(for_development(extras(repository.project)))
    suffix = f"[{chosen}]" if chosen else ""
    manifests = tuple(name for name in ("pyproject.toml", "setup.cfg", "setup.py") if (root / name).is_file())
    # pip takes a folder for a project only where it sees one of the two
    bare = "" if {"pyproject.toml", "setup.py"} & {*manifests} else 'touch "$TMPDIR/project/pyproject.toml" && '
    install = f'{_COPY}{bare}{_version(repository)}{PIP} "$TMPDIR/project{suffix}"'
    declared = "project" in repository.project
    way = "pyproject.toml" if declared else "setup.py" if "setup.py" in manifests else "setup.cfg"
    setup = (VENV, install, *_own(repository), *_of_groups(repository))
    return PythonEnvironment(setup, manifests, way, _named(repository))


def _groups_alone(repository: Repository) -> PythonEnvironment:
    listed = _of_groups(repository)
    if not listed:
        return PythonEnvironment()
    return PythonEnvironment((VENV, *listed), ("pyproject.toml",), "pyproject.toml", _named(repository))


def _of_groups(repository: Repository) -> tuple[str, ...]:
    written = groups(repository.project)
    wanted = dict.fromkeys(each for name in for_development(written) for each in written[name] if each[:1] != "-")
    return (f"{PIP} {' '.join(_quoted(each) for each in wanted)}",) if wanted else ()


def _own(repository: Repository) -> tuple[str, ...]:
    return () if repository.compiled_by else (_WITHOUT_OWN,)


def _version(repository: Repository) -> str:
    return "SETUPTOOLS_SCM_PRETEND_VERSION=0.0.1 " if any(word in repository.declared for word in TAGS) else ""


def _named(repository: Repository) -> str:
    """What the project and its extras and groups for development name."""
    extra, group = extras(repository.project), groups(repository.project)
    listed = [each for name in for_development(extra) for each in extra[name]]
    listed += [each for name in for_development(group) for each in group[name]]
    return "\n".join((*project_dependencies(repository.project), *listed))


def _quoted(word: str) -> str:
    """One word for the shell, in double quotes where they are enough: in TOML they need no escape."""
    if re.fullmatch(r"[\w./@%+=:,-]+", word, re.ASCII):
        return word
    return shlex.quote(word) if re.search(r'["$`\\]', word) else f'"{word}"'
