"""A disk that fills up in the middle of a run: a clear end, and nothing lost once there is room again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOUNT = 'mount --make-rprivate / && mount -t tmpfs -o size=64m tmpfs "$1" && exec "$2" -m "$3" "$1"'


@pytest.mark.chaos
@pytest.mark.sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="LEFT OUT: a small disk can be mounted by root only")
def test_a_full_disk_ends_the_run_in_words_and_a_resume_lands_everything(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNT, "sh", disk, sys.executable, "tests.chaos.full_disk"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["full"]["code"] == 4
    assert "is full" in told["full"]["err"] + told["full"]["out"]
    assert "swarm resume" in told["full"]["err"]
    assert "Traceback" not in told["full"]["err"] + told["full"]["out"]
    assert told["resumed"]["code"] == 0, told["resumed"]
    assert "6 of 6 tasks done" in told["resumed"]["out"]
