"""Where gates have no mounts, they run in the state folder, below the user's repository."""

from __future__ import annotations

import subprocess
import sys

from swarmworks.worker.gates.copies import scratch_folder


def run(folder, *command):
    return subprocess.run([*command], check=False, cwd=folder, capture_output=True, text=True)


def test_neither_the_users_repository_nor_its_rules_reach_into_it(tmp_path):
    """A linter that reads ignore files found no file at all: the state folder hides itself from git."""
    run(tmp_path, "git", "init", "-q", ".")
    state = tmp_path / ".swarm"
    state.mkdir()
    (state / ".gitignore").write_text("*\n")
    tree = scratch_folder(state / "scratch") / "runs" / "lint" / "tree"
    tree.mkdir(parents=True)
    (tree / "a.py").write_text("import os\n")
    linted = run(tree, sys.executable, "-m", "ruff", "check", "--no-cache", ".")
    assert "F401" in linted.stdout, linted
    asked = run(tree, "git", "rev-parse", "--show-toplevel")
    assert (asked.returncode, "not a git repository" in asked.stderr) == (128, True)


def test_each_is_its_own(tmp_path):
    one, other = scratch_folder(tmp_path / "scratch"), scratch_folder(tmp_path / "scratch")
    assert one != other
    assert one.parent == other.parent == tmp_path / "scratch"
