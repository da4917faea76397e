"""The commands of docs/delivery.md, one after the other, on a swarm that has landed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import MARK, SOURCE, CountedModel, Site, job
from tests.scenario.harness import git, plan

pytestmark = [pytest.mark.sandbox]


def test_the_commands_run_as_written(tmp_path):
    model = CountedModel()
    site = Site(tmp_path / "site", model.url, plan(job("t0")))
    try:
        assert site.run("run", str(site.plan_file)).code == 0
        base = git(site.root, "rev-parse", "main")
        script = "set -e\n" + "\n".join(blocks((ROOT / "docs" / "delivery.md").read_text()))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(SOURCE), MARK: site.mark, "OPENAI_API_KEY": "x"}
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=site.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done
        assert "delivered: main is at" in done.stdout
        assert "delivered to review/the-result" in done.stdout
        assert git(site.root, "rev-parse", "main") == base
        assert git(site.root, "show", "review/the-result:t0.txt") == "written for t0.txt"
    finally:
        site.close()
        model.close()
