from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.cli.app import COMMANDS
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher

ROOT = Path(__file__).parents[2]


def test_the_reference_is_what_the_commands_say():
    """In a process of its own: click keeps the help option a command was first asked for."""
    command = [sys.executable, "-m", "swarmworks.cli.reference"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "docs" / "commands.md").read_text() == said, (
        "run: python -m swarmworks.cli.reference > docs/commands.md"
    )


def test_the_list_of_commands_loads_none_of_them():
    program = (
        "import sys; from swarmworks.cli.app import run; code = run(None);"
        "print(code, *sorted(name for name in sys.modules if name.startswith('swarmworks.')))"
    )
    done = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True)
    assert "Run a plan with a swarm of agents." in done.stdout
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded == ["0", "swarmworks.base", "swarmworks.base.errors", "swarmworks.cli", "swarmworks.cli.app"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_within_a_hundred_columns(tmp_path, swarm: Swarm, name):
    ran = swarm(FakeLauncher(tmp_path), name, "--help")
    assert ran.code == 0
    assert max(len(line) for line in ran.out.splitlines()) <= 100


@pytest.mark.parametrize(("arguments", "said"), [(["bake"], "No such command 'bake'"), (["run"], "what is wanted?")])
def test_a_wrong_command_line_is_explained(tmp_path, swarm: Swarm, arguments, said):
    ran = swarm(FakeLauncher(tmp_path), *arguments)
    assert ran.code == 2
    assert said in ran.err
