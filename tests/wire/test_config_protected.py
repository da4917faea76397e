from __future__ import annotations

import pytest

from swarmworks.base.errors import InvalidDocumentError
from swarmworks.cli.starters import compiled, detection, node, python_repository
from swarmworks.wire.config_file import load_config
from swarmworks.wire.protected import ALWAYS_PROTECTED, DEFAULT_PROTECTED, protecting_pattern

BASE = 'gates = "none"\n[project]\nname = "p"\n[files]\n'
ALL = (*ALWAYS_PROTECTED, *DEFAULT_PROTECTED)


def globs(files: str) -> tuple[str, ...]:
    return load_config(BASE + files, name="swarm.toml", environment={}).files.protected_globs


@pytest.mark.parametrize(
    "path",
    [
        "swarm.toml",
        "SWARM.TOML",
        ".git/config",
        "vendor/.Git/hooks/pre-commit",
        ".g\u200cit/config",
        ".git./config",
        "pyproject.toml",
        "sub/pyproject.toml",
        "requirements.txt",
        "requirements-dev.txt",
        "uv.lock",
        ".github/workflows/ci.yml",
        "claude.md",
        "docs/AGENTS.md",
        ".claude/settings.json",
        ".mcp.json",
        "Makefile",
        "a/evil.pth",
        "dev-requirements.txt",
        "web/eslint.config.mjs",
        "web/.eslintrc.json",
        "web/vitest.config.ts",
        "jest.config.js",
        ".mocharc.yml",
        "web/.npmrc",
        ".yarnrc.yml",
        "bun.lockb",
        "pnpm-workspace.yaml",
        "clippy.toml",
        ".cargo/config.toml",
        "service/pom.xml",
        "app/build.gradle.kts",
        "gradle/wrapper/gradle-wrapper.properties",
        "go.work",
    ],
)
def test_what_steers_agents_and_gates_is_protected(path):
    assert protecting_pattern(path, ALL)


@pytest.mark.parametrize(
    "path",
    [
        "app/main.py",
        "tests/requirements/test_latency.py",
        "swarm/toml.py",
        "docs/makefiles.md",
        "app/git.py",
        "x/swarm.toml",
        "src/eslint.ts",
        "src/jest/config.js",
        "docs/requirements.md",
        "src/main/java/gradle/Build.java",
    ],
)
def test_ordinary_files_are_not(path):
    assert protecting_pattern(path, ALL) is None


def test_patterns_of_the_project_are_added_and_built_in_ones_can_be_taken_out():
    found = globs('protected = ["infra/**/*.tf"]\nunprotected = ["Makefile", "makefile"]\n')
    assert protecting_pattern("infra/a/b/main.tf", found)
    assert protecting_pattern("infra/main.tf", found)
    assert protecting_pattern("CLAUDE.md", found)


def test_the_gates_themselves_cannot_be_unprotected():
    with pytest.raises(InvalidDocumentError, match="always protected"):
        globs('unprotected = ["/swarm.toml"]\n')
    with pytest.raises(InvalidDocumentError, match="not a pattern"):
        globs('unprotected = ["Makefil"]\n')


def starters_read():
    """What `swarm init` takes for the manifests, locks and configuration of tools; tests' own fixtures are not."""
    names = {name for language in detection.LANGUAGES for name in language.manifests}
    names |= {lock for lock, *_ in node._MANAGERS} | {*node._ESLINT, *node._BIOME, *node._SETTINGS}
    names |= {*compiled._GOLANGCI, *compiled._RUSTFMT}
    names |= {name for found in python_repository._FILES.values() for name in found if not name.endswith("conftest.py")}
    return sorted(names)


@pytest.mark.parametrize("name", starters_read())
def test_what_the_gates_were_found_by_is_protected_at_every_depth(name):
    assert protecting_pattern(name, ALL)
    assert protecting_pattern(f"packages/web/{name}", ALL)
