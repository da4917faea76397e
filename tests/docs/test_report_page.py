"""The commands of docs/report.md, one after the other, on a swarm whose work was delivered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import MARK, SOURCE, CountedModel, Site, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox]


def test_the_commands_run_as_written(tmp_path):
    model = CountedModel()
    site = Site(tmp_path / "site", model.url, plan(job("t0", owns=("app/main.py",))))
    try:
        assert site.run("run", str(site.plan_file)).code == 0
        assert site.run("deliver", "--approve", "for the test").code == 0
        script = "set -e\n" + "\n".join(blocks((ROOT / "docs" / "report.md").read_text()))
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
        assert "on the tree that landed" in done.stdout
        assert "chain intact: nothing was changed since" in done.stdout
        assert (site.root / "report.html").read_text().startswith("<!doctype html>")
        assert "## Rejections, and what they taught" in (site.root / "report.md").read_text()
        report = json.loads(site.run("report", "--json").out)
        assert next(one["what"] for one in report["interventions"]).startswith("asked for delivery to main")
    finally:
        site.close()
        model.close()
