"""The commands of docs/prices.md, on the list and the provider that the page shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.wire.config_file import load_config
from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import SOURCE
from tests.scenario.harness import repository

PAGE = (ROOT / "docs" / "prices.md").read_text()
LIST, PLAN = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CONFIG = 'gates = "none"\n[project]\nname = "shop"\n[models]\ndefault = "example:qwen3-coder-480b"\n'
PROVIDER = '[providers.example]\nkind = "openai"\nbase_url = "https://models.example.com/v1"\n'


@pytest.fixture
def shell(tmp_path):
    repository(tmp_path, {"swarm.toml": CONFIG + PROVIDER, "prices.toml": LIST})

    def run(script):
        programs = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(SOURCE)}
        return subprocess.run(
            ["bash", "-c", f"set -e\n{script}"],
            cwd=tmp_path,
            env={**os.environ, **programs, "SWARM_PERSON": "Ada"},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run


def test_the_commands_run_as_written(shell):
    first, second = blocks(PAGE)
    done = shell(first)
    assert done.returncode == 0, done
    assert "example:qwen3-coder-480b  UNPRICED" in done.stdout
    assert "now  unpriced" in done.stdout
    assert "then $0.4 in, $1.6 out, cache $0.04 read, $0.5 write; above 128,000 tokens $0.8 in" in done.stdout
    assert "waiting for your approval:" in done.stdout
    done = shell(second)
    assert done.returncode == 0, done
    assert done.stdout.startswith("approved: prl_")
    [model] = json.loads(done.stdout[done.stdout.index("{") :])["models"]
    assert (model["price"]["origin"], model["price"]["rates"]["output"]) == ("approved", 1_600_000_000)
    assert "contract 2026-117, page 4, valid from 2026-11-01" in model["price"]["source"]
    again = shell("swarm prices import prices.toml")
    assert again.returncode == 2
    assert "every price in it holds already" in again.stderr
    twice = shell("swarm prices reject prl_ --reason no")
    assert "there is no price list" in twice.stderr


def test_the_subscription_it_shows_is_a_valid_one():
    config = load_config(CONFIG + PROVIDER + PLAN, name="swarm.toml", environment={})
    assert [window.window_s for window in config.providers["plan"].throughput] == [3_600, 18_000]


def test_a_wrong_list_is_refused_with_the_place_of_each_error(shell):
    wrong = LIST.replace("input_usd_per_mtok = 0.40 ", "input_usd_per_mtok = -1 ").replace("host =", "hots =")
    done = shell(f"cat > wrong.toml <<'END'\n{wrong}\nEND\nswarm prices import wrong.toml")
    assert done.returncode == 2
    line = 1 + wrong[: wrong.index("input_usd")].count("\n")
    assert f"wrong.toml:{line}: input_usd_per_mtok" in done.stderr
    assert "hots is no key of a price" in done.stderr
    assert json.loads(shell("swarm prices list --json").stdout)["lists"] == []
