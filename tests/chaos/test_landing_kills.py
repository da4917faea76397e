"""The merge queue's process killed in the middle of landings, while people push: nothing lost, nothing twice, no tree on the branch
that was not judged, and a database that says what the branch says.

A short one by default; `SWARM_LANDING_PROOF=1000,100,2000` (kills, pushes, changes) for the long run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(6 * 3600)]

SHORT = "12,3,40"
NOTHING_WRONG = ("lost", "duplicated", "untested", "gaps", "pushes_lost", "bad", "database", "tasks", "open")


def test_kills_and_pushes_lose_nothing_and_land_nothing_twice_or_untested(tmp_path):
    kills, pushes, changes = os.environ.get("SWARM_LANDING_PROOF", SHORT).split(",")
    command = [sys.executable, "-m", "tests.chaos.landing", tmp_path, "7", kills, pushes, changes]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    sys.stderr.write(f"{found}\n")
    assert {name: found[name] for name in NOTHING_WRONG} == {name: [] for name in NOTHING_WRONG}
    assert (found["killed"], found["pushes"], found["landed"]) == (int(kills), int(pushes), int(changes))
