from __future__ import annotations

import pytest

from swarmworks.wire.protected import ALWAYS_PROTECTED, DEFAULT_PROTECTED
from swarmworks.worker.protecting import protected_paths

PATTERNS = (*ALWAYS_PROTECTED, *DEFAULT_PROTECTED, "/infra/")
FILES = (
    *(
        ".git/config",
        ".git/HEAD",
        ".git/hooks/x",
        "swarm.toml",
        "AGENTS.md",
        ".github/ci.yml",
        ".github/workflows/a.yml",
    ),
    *("requirements/dev.txt", "infra/main.tf", "app/main.py", "app/pyproject.toml", "poetry.lock", "README.md"),
)


@pytest.fixture
def copy(tmp_path):
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "CLAUDE.md").symlink_to("AGENTS.md")
    return tmp_path


OF_GIT = {".git/config", ".git/hooks"}
AT_THE_TOP = {"swarm.toml", "AGENTS.md", ".github", "requirements", "infra", "poetry.lock"}


@pytest.mark.parametrize(
    ("owns", "found"),
    [
        ((), AT_THE_TOP),
        (("app/", "README.md"), AT_THE_TOP),
        (("AGENTS.md",), AT_THE_TOP - {"AGENTS.md"}),
        ((".github/",), AT_THE_TOP - {".github"}),
        ((".github/ci.yml",), AT_THE_TOP - {".github"} | {".github/workflows"}),
        ((".github/workflows/",), AT_THE_TOP - {".github"} | {".github/ci.yml"}),
        ((".github/workflows/new.yml",), AT_THE_TOP - {".github"} | {".github/ci.yml", ".github/workflows/a.yml"}),
    ],
)
def test_what_is_protected_is_mounted_but_for_what_the_task_owns_by_name(copy, owns, found):
    assert set(protected_paths(copy, PATTERNS, owns)) == OF_GIT | found


def test_a_copy_without_git_has_nothing_of_git_to_protect(tmp_path):
    (tmp_path / "setup.py").write_text("")
    assert list(protected_paths(tmp_path, PATTERNS, ())) == ["setup.py"]
