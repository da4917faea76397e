"""A real run tells its person that its budget stopped it, and that it landed in the end."""

from __future__ import annotations

import json

import pytest

from tests.scenario.driver import Site, twelve
from tests.scenario.test_whole_run_budget import SMALL_ANSWERS, model  # noqa: F401 - a fixture

CHANNEL = """
[[notify.channels]]
name = "log"
kind = "command"
severity = "info"
argv = ["sh", "-c", "cat >> notices; echo >> notices"]
"""

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


async def test_a_run_tells_that_it_was_stopped_and_that_it_landed(tmp_path, model):  # noqa: F811
    site = Site(tmp_path / "site", model.url, twelve(14), more=SMALL_ANSWERS + CHANNEL)
    try:
        stopped = site.run("run", str(site.plan_file), "--json", "--budget", "0.075")
        assert stopped.code == 3, stopped
        resumed = site.run("resume", "--json", "--budget", "10")
        assert resumed.code == 0, resumed
    finally:
        site.close()
    rows = [json.loads(line) for line in (site.root / "notices").read_text().splitlines()]
    told = [notice["kind"] for row in rows for notice in row["notices"]]
    assert [one for one in told if one != "budget.warning"] == ["swarm.stopped", "swarm.landed"]
    assert len({row["id"] for row in rows}) == len(rows)
