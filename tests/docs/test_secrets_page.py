"""The commands of docs/secrets.md, with the provider the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import SOURCE
from tests.scenario.harness import repository

PAGE = (ROOT / "docs" / "secrets.md").read_text()
[PROVIDER] = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CONFIG = 'gates = "none"\n[project]\nname = "shop"\n'
CANARY = "sk-canary-5d204c68"


def test_the_commands_run_as_written(tmp_path):
    root = tmp_path / "repo"
    repository(root, {"swarm.toml": CONFIG + PROVIDER})
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(SOURCE),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "THE_KEY": CANARY,
        "SWARM_PERSON": "Ada",
    }

    def shell(script):
        return subprocess.run(
            ["bash", "-c", f"set -e\n{script}"],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    first, second = blocks(PAGE)
    done = shell(first)
    assert done.returncode == 0, done
    assert "openai  set by Ada on " in done.stdout
    assert "DOES NOT OPEN" not in done.stdout
    assert CANARY not in done.stdout + done.stderr
    key_file = tmp_path / "config" / "swarmworks" / "secrets.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    again, unforced = shell("swarm secret init"), shell("swarm secret rm openai")
    assert (again.returncode, "already" in again.stderr) == (2, True)
    assert (unforced.returncode, "the key of openai is this secret" in unforced.stderr) == (2, True)
    done = shell(second)
    assert done.returncode == 0, done
    assert "1 secret sealed with the new key" in done.stdout
    assert len(key_file.read_text().split()) == 2
    assert "there are no secrets" in shell("swarm secret list").stdout
    inside = shell("sed -i '$ a [secrets]\\nkey_file = \".swarm/keys\"' swarm.toml; swarm secret init")
    assert "may not lie beside the database" in inside.stderr
