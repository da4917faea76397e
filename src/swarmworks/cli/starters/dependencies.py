"""What a Python repository's manifests depend on, list by list: no word that stands elsewhere in them is a dependency."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from swarmworks.cli.starters.manifests import ini, strings, table, text, toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST_INCLUSIONS = 50
_FOR_DEVELOPMENT = re.compile(
    r"(^|[-_.])(dev|develop|development|tests?|testing|lint|linting|linters|typing|types?|ci|qa|checks?)($|[-_.])",
    re.IGNORECASE,
)


def for_development(names: Iterable[str]) -> list[str]:
    """Of the names of extras or groups, those that gates need."""
    return [name for name in names if _FOR_DEVELOPMENT.search(name) and re.fullmatch(r"\w[\w.-]*", name, re.ASCII)]


def extras(project: dict[str, Any]) -> dict[str, list[str]]:
    return {name: strings(each) for name, each in table(project, "project", "optional-dependencies").items()}


def groups(project: dict[str, Any]) -> dict[str, list[str]]:
    """Of `[dependency-groups]`, each with what it includes."""
    written = table(project, "dependency-groups")
    return {name: list(dict.fromkeys(_entries(written, name, set()))) for name in written}


def project_dependencies(project: dict[str, Any]) -> list[str]:
    return strings(table(project, "project").get("dependencies"))


def poetry_dependencies(project: dict[str, Any]) -> list[str]:
    poetry = table(project, "tool", "poetry")
    named = [*table(poetry, "dependencies"), *table(poetry, "dev-dependencies")]
    return named + [name for group in table(poetry, "group").values() for name in table(group, "dependencies")]


def requirement_lines(path: Path) -> list[str]:
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text(path).splitlines())
    return [line for line in lines if line]


def names_tool(path: Path, tool: str) -> bool:
    """Whether that manifest depends on `tool`, or runs it."""
    if path.suffix == ".py":
        return re.search(rf"""["']{re.escape(tool)}\s*(\[[^"']*|[<>=!~;][^"']*)?["']""", text(path)) is not None
    if path.name == "tox.ini":
        return any(_runs(line, tool) for line in _tox_lines(path))
    return tool in {_name(each) for each in _listed(path)}


def _listed(path: Path) -> Iterator[str]:
    if path.name == "pyproject.toml":
        yield from _pyproject(toml(path))
    elif path.name == "Pipfile":
        pipfile = toml(path)
        yield from (*table(pipfile, "packages"), *table(pipfile, "dev-packages"))
    elif path.name == "setup.cfg":
        cfg = ini(path)
        options = cfg.get("options", {})
        lists = [options.get(key, "") for key in ("install_requires", "tests_require", "setup_requires")]
        for each in (*lists, *cfg.get("options.extras_require", {}).values()):
            yield from each.splitlines()
    else:
        yield from requirement_lines(path)


def _pyproject(project: dict[str, Any]) -> Iterator[str]:
    yield from project_dependencies(project)
    yield from poetry_dependencies(project)
    tool = table(project, "tool")
    yield from strings(table(tool, "uv").get("dev-dependencies"))
    environments = [table(each) for each in table(tool, "hatch", "envs").values()]
    hatch = [strings(each.get(key)) for each in environments for key in ("dependencies", "extra-dependencies")]
    pdm = [strings(each) for each in table(tool, "pdm", "dev-dependencies").values()]
    for listed in (*extras(project).values(), *groups(project).values(), *pdm, *hatch):
        yield from listed


def _entries(written: dict[str, Any], name: str, seen: set[str]) -> Iterator[str]:
    listed = written.get(name)
    if not isinstance(listed, list) or name in seen or len(seen) > MOST_INCLUSIONS:
        return
    seen.add(name)
    for each in cast("list[Any]", listed):
        included = table(each).get("include-group")
        if isinstance(each, str):
            yield each
        elif isinstance(included, str):
            same = (other for other in written if _normal(other) == _normal(included))
            yield from _entries(written, next(same, included), seen)


def _tox_lines(path: Path) -> Iterator[str]:
    for name, section in ini(path).items():
        if name.startswith("testenv"):
            for key in ("deps", "commands", "commands_pre"):
                yield from (line for line in section.get(key, "").splitlines() if not line.strip().startswith("#"))


def _runs(line: str, tool: str) -> bool:
    """`line` names one dependency or one command, which may come behind the names of environments and a colon."""
    word = re.escape(tool)
    return re.search(rf"(^[\s-]*|^\s*[\w,!{{}}-]+:\s*|-m\s+|\brun\s+){word}(?![\w.-])", line) is not None


def _name(requirement: str) -> str:
    found = re.match(r"\s*([A-Za-z0-9][\w.-]*)", requirement)
    return _normal(found[1]) if found else ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
