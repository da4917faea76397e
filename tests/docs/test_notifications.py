"""The page about notifications: its configuration is read, and its commands are run, as they are written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from swarmworks.policy.notices import KINDS
from tests.docs.test_documented_commands import ROOT, blocks

PAGE = (ROOT / "docs" / "notifications.md").read_text()


def test_its_configuration_and_commands_work_as_written(tmp_path):
    (configuration,) = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "swarm.toml").write_text(configuration)
    done = subprocess.run(
        ["bash", "-c", "set -e\n" + "\n".join(blocks(PAGE))],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sent   oncall" in done.stdout
    assert len((tmp_path / "notices.jsonl").read_text().replace("}{", "}\n{").splitlines()) == 2
    assert (tmp_path / "oncall.txt").read_text() == "A test notice: this channel works\n"
    assert json.loads(done.stdout[done.stdout.index("{") :])["ok"] is True


def test_it_names_every_event_that_is_told():
    told = set(re.findall(r"`([a-z]+\.[a-z]+)`", PAGE.partition("## What is told")[2].partition("## Channels")[0]))
    assert told == KINDS
