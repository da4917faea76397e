"""Paths a task may not write unless it owns them by name: what steers agents, tools, hooks, CI and the gates themselves.

How a pattern is read: see policy.patterns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.policy.patterns import matching_pattern

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


def protecting_pattern(path: str, patterns: Iterable[str]) -> str | None:
    """The first of `patterns` that protects `path`."""
    return matching_pattern(path, patterns)
