"""docs/inbox.md and docs/reviews.md: the commands are run on a swarm whose change waits, the examples are read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.wire.config_file import load_config
from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import MARK, SOURCE, CountedModel, Site, job
from tests.scenario.harness import plan

GATE = '\n[[review]]\nname = "owner"\nquestion = "Do you want it?"\non = "change"\n'
REST = '[project]\nname = "a"\n[gates.tests]\nrun = "true"\n'


@pytest.mark.sandbox
def test_the_commands_of_the_inbox_run_as_written(tmp_path):
    model = CountedModel()
    site = Site(tmp_path / "site", model.url, plan(job("t0")), more=GATE)
    try:
        waits = site.run("run", str(site.plan_file))
        assert waits.code == 1, waits
        assert "swarm inbox" in waits.out
        script = "set -e\n" + "\n".join(blocks((ROOT / "docs" / "inbox.md").read_text()))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=site.root,
            env={
                **os.environ,
                "PATH": path,
                "PYTHONPATH": str(SOURCE),
                MARK: site.mark,
                "OPENAI_API_KEY": "x",
                "SWARM_PERSON": "Ana",
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done
        assert "owner: Do you want it?" in done.stdout
        assert "person:Ana: say who wrote it" in done.stdout
        assert "the next attempt waits in the inbox" in done.stdout
        assert "landed in" in done.stdout
    finally:
        site.close()
        model.close()


def test_the_examples_of_reviews_are_read():
    first, second = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "docs" / "reviews.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert load_config(first + REST, name="swarm.toml", environment={}).review.all_gates() == ()
    gates = load_config(REST + second, name="swarm.toml", environment={}).review.all_gates()
    assert [gate.name for gate in gates] == ["documentation", "security", "large", "delivery"]
