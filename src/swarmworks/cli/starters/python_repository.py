"""What a Python repository shows of itself, read once for the gates and the environment that are proposed for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from swarmworks.cli.starters.dependencies import names_tool
from swarmworks.cli.starters.manifests import files, ini, present, strings, table, text, toml
from swarmworks.cli.starters.python_environment import is_text
from swarmworks.cli.starters.sources import compiled_by, source_folders

if TYPE_CHECKING:
    from pathlib import Path

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


@dataclass(frozen=True)
class Repository:
    root: Path

    @cached_property
    def project(self) -> dict[str, Any]:
        return toml(self.root / "pyproject.toml")

    @cached_property
    def requirements(self) -> tuple[str, ...]:
        found = [*self.root.glob("*requirements*.txt"), *self.root.glob("requirements/*.txt")]
        names = sorted(path.relative_to(self.root).as_posix() for path in found)
        return tuple(name for name in names if "doc" not in name and is_text(name))

    @cached_property
    def declared(self) -> str:
        """Everything that names dependencies, as text."""
        names = ("pyproject.toml", "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "Pipfile", *self.requirements)
        return "\n".join(text(self.root / name) for name in names)

    @cached_property
    def added_options(self) -> str:
        """What its configuration adds to every command line of pytest."""
        options = table(self.project, "tool", "pytest", "ini_options"), table(self.project, "tool", "pytest")
        written = [" ".join(strings(each.get("addopts"))) for each in options]
        for name, section in (("pytest.ini", "pytest"), ("setup.cfg", "tool:pytest"), ("tox.ini", "pytest")):
            written.append(ini(self.root / name).get(section, {}).get("addopts", ""))
        return " ".join(written)

    @cached_property
    def measures_in_parallel(self) -> bool:
        """Whether coverage.py leaves one file for each process."""
        if table(self.project, "tool", "coverage", "run").get("parallel") is True:
            return True
        places = ((".coveragerc", "run"), ("setup.cfg", "coverage:run"), ("tox.ini", "coverage:run"))
        written = (ini(self.root / name).get(section, {}).get("parallel", "") for name, section in places)
        return any(each.strip().lower() in {"true", "1", "yes", "on"} for each in written)

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
        return self._configured(tool) or self._depended_on(tool)

    def _configured(self, tool: str) -> str:
        if tool in table(self.project, "tool"):
            return f"pyproject.toml: [tool.{tool}]"
        if name := present(self.root, *_FILES.get(tool, ())):
            return name
        for name in ("setup.cfg", "tox.ini"):
            words = text(self.root / name)
            for pattern in _SECTIONS.get(tool, ()):
                if match := re.search(pattern, words, re.MULTILINE):
                    return f"{name}: {match.group().rstrip(':')}{']' if not match.group().endswith(']') else ''}"
        return ""

    def _depended_on(self, tool: str) -> str:
        for name in ("pyproject.toml", *self.requirements, "setup.cfg", "setup.py", "tox.ini", "noxfile.py", "Pipfile"):
            if names_tool(self.root / name, tool):
                return f"{name} names it"
        if tool == "pytest-cov" and "--cov" in self.added_options:
            return "the options added to pytest have --cov"
        if tool in _HOOKS and _HOOKS[tool] in text(self.root / ".pre-commit-config.yaml").lower():
            return ".pre-commit-config.yaml"
        return ""
