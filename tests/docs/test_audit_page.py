"""The commands of docs/audit.md, one after the other, after a swarm has landed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import CountedModel, Site, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox]


def test_the_commands_run_as_written(tmp_path):
    model = CountedModel()
    site = Site(tmp_path / "site", model.url, plan(job("t0", owns=("app/main.py",))))
    try:
        assert site.run("run", str(site.plan_file)).code == 0
        script = "set -e\n" + "\n".join(blocks((ROOT / "docs" / "audit.md").read_text()))
        environment = {**site.environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=site.root,
            env={**environment, "OPENAI_API_KEY": "x"},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done
        lines = (site.root / "events.jsonl").read_text().splitlines()
        assert json.loads(lines[0])["kind"] == "swarm.created"
        assert f"{len(lines)} events of 1 swarms: intact" in done.stdout
        assert f"intact: {len(lines)} events of 1 swarm" in done.stdout
        assert f"{len(lines)} events; anchored up to {len(lines)}\n" in done.stdout
        assert len((site.state / "audit.key").read_text().splitlines()) == 2
    finally:
        site.close()
        model.close()
