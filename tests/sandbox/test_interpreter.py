# ruff: noqa: ASYNC221 -- these tests look at the host between awaits, one at a time
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.sandbox.interpreter import python_mounts

pytestmark = pytest.mark.sandbox


async def _run(playground, executable, *arguments):
    return await playground.run(str(executable), *arguments, more_mounts=python_mounts(executable))


async def test_the_workers_interpreter_runs_inside(playground):
    outcome = await _run(
        playground, Path(sys.executable), "-S", "-E", "-c", "import json, sqlite3, ssl, sys; print(sys.executable)"
    )
    assert (outcome.stdout.strip(), outcome.stderr) == (sys.executable, "")


async def test_a_virtual_environment_runs_inside_with_its_packages(playground, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    executable = tmp_path / "venv" / "bin" / "python"
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    (packages / "mine.py").write_text("x = 42")
    outcome = await _run(playground, executable, "-c", "import mine, ssl, sys; print(mine.x, sys.prefix)")
    assert outcome.stdout.split() == ["42", str(tmp_path / "venv")]


async def test_an_interpreter_behind_a_chain_of_links_runs_inside(playground, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "first").symlink_to(sys.executable)
    (tmp_path / "links" / "second").symlink_to("first")
    outcome = await _run(playground, tmp_path / "links" / "second", "-S", "-c", "import sqlite3; print('ran')")
    assert outcome.stdout == "ran\n"


def test_what_is_no_interpreter_is_refused(tmp_path):
    with pytest.raises(SandboxUnavailableError, match="cannot be asked"):
        python_mounts(tmp_path / "missing")
