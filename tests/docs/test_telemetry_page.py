"""The commands of docs/telemetry.md, with a swarm that runs between them and the names that the page promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swarmworks.telemetry import names
from tests.docs.test_documented_commands import ROOT, blocks
from tests.scenario.driver import CALL_NANO_USD, CountedModel, Site, job
from tests.scenario.harness import plan
from tests.telemetry.collector import nobody

PAGE = (ROOT / "docs" / "telemetry.md").read_text()
METRICS = re.compile(r"^\| `((?:llm|telemetry)_\w+)`", re.MULTILINE)


@pytest.mark.sandbox
def test_the_commands_run_as_written(tmp_path):
    model = CountedModel()
    site = Site(tmp_path / "site", model.url, plan(job("t0", owns=("app/main.py",))))
    try:
        with nobody() as free:
            port = free.rpartition(":")[2]
        [block] = blocks(PAGE)
        assert "8700" in block
        block = block.replace("8700", port)
        script = f"set -e\n{block}\nswarm run {site.plan_file} > run.txt\n{block.splitlines()[-1]}\nkill %1\nwait %1"
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
        local = 'provider="local",model="writer",operation="chat"'
        assert f'llm_calls_total{{{local},outcome="answered"}} {model.calls}\n' in done.stdout
        dollars = f"0.{model.calls * CALL_NANO_USD:09}"
        assert f'llm_cost_dollars{{{local},estimated="false"}} {dollars}\n' in done.stdout
        shown = set(re.findall(r"^# TYPE (\w+)", done.stdout, re.MULTILINE))
        assert shown == set(METRICS.findall(PAGE)) - {names.UNTOLD_TOTAL}
    finally:
        site.close()
        model.close()


def test_the_page_names_what_there_is_and_nothing_else():
    written = set(re.findall(r"`((?:gen_ai|swarm)\.[a-z_.]+)`", PAGE))
    there = {value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    assert written - {"swarm.toml"} <= there
    for name in (names.COST, names.RESERVED, names.SESSION, names.INPUT_MESSAGES, names.DURATION_METRIC):
        assert name in written
    assert set(METRICS.findall(PAGE)) <= there
