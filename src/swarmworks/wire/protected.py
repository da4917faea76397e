"""Paths a task may not write unless it owns them by name: what steers agents, tools, hooks, CI and the gates themselves.

A pattern is matched against repository paths with forward slashes, without regard to case, because a repository may be
checked out on a file system that has none. `*` and `?` stay within one part of a path, `**` spans parts; a pattern with
a slash inside or in front is anchored at the root, any other holds at every depth; a trailing slash means the folder and all in it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ALWAYS_PROTECTED: tuple[str, ...] = ("/swarm.toml", ".git", ".gitmodules")

DEFAULT_PROTECTED: tuple[str, ...] = (
    # git and hooks
    ".gitattributes",
    ".gitignore",
    ".githooks/",
    ".husky/",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    # continuous integration
    ".ci/",
    ".circleci/",
    ".github/",
    ".gitlab-ci.yml",
    "azure-pipelines.yml",
    "Jenkinsfile",
    # instructions and configuration of agents and their tools
    ".agents/",
    ".aider*",
    ".claude/",
    ".codex/",
    ".cursor/",
    ".cursorrules",
    ".gemini/",
    ".mcp.json",
    ".opencode/",
    ".windsurf/",
    ".windsurfrules",
    "AGENTS.md",
    "AGENTS.override.md",
    "CLAUDE.local.md",
    "CLAUDE.md",
    "GEMINI.md",
    "opencode.json",
    "opencode.jsonc",
    # what the gates run with
    ".coveragerc",
    ".envrc",
    ".flake8",
    ".mypy.ini",
    ".pylintrc",
    ".ruff.toml",
    ".vscode/",
    "*.pth",
    "GNUmakefile",
    "Makefile",
    "makefile",
    "mypy.ini",
    "noxfile.py",
    "pyproject.toml",
    "pyrightconfig.json",
    "pytest.ini",
    "ruff.toml",
    "setup.cfg",
    "setup.py",
    "sitecustomize.py",
    "tox.ini",
    "usercustomize.py",
    # dependencies
    "*.lock",
    "Cargo.toml",
    "go.mod",
    "go.sum",
    "package-lock.json",
    "package.json",
    "Pipfile",
    "pnpm-lock.yaml",
    "requirements*.txt",
    "/requirements/",
    "tsconfig*.json",
    "yarn.lock",
)


def normal_path(path: str) -> str:
    """The form in which two paths that one file system could take for the same are equal: case, composed letters,
    invisible characters (HFS+ ignores them), trailing dots and spaces (NTFS drops them).
    """
    visible = "".join(letter for letter in path if unicodedata.category(letter) != "Cf")
    return "/".join(part.rstrip(". ") or part for part in unicodedata.normalize("NFC", visible).casefold().split("/"))


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    anchored = "/" in pattern.rstrip("/")
    body = pattern.strip("/")
    parts: list[str] = []
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", unicodedata.normalize("NFC", body).casefold()):
        match piece:
            case "**/":
                parts.append("(?:.*/)?")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _:
                parts.append(re.escape(piece))
    start = "" if anchored else "(?:.*/)?"
    end = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return re.compile(f"{start}{''.join(parts)}{end}", re.DOTALL)


def protecting_pattern(path: str, patterns: Iterable[str]) -> str | None:
    """The first of `patterns` that protects `path`."""
    name = normal_path(path)
    return next((pattern for pattern in patterns if _compiled(pattern).fullmatch(name)), None)
