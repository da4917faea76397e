"""Whole runs whose model calls are told to a collector, or to nobody."""

from __future__ import annotations

import pytest

from tests.scenario.driver import CountedModel, Site, job
from tests.scenario.harness import plan
from tests.telemetry.collector import attributes, collecting, nobody, points

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]


@pytest.fixture
def model():
    found = CountedModel()
    yield found
    found.close()


@pytest.fixture
def site_of(tmp_path, model):
    made = []

    def site(endpoint):
        tasks = plan(job("t0", owns=("app/a.py",)), job("t1", owns=("app/b.py",)))
        made.append(Site(tmp_path / "site", model.url, tasks, more=f'[telemetry]\notlp_endpoint = "{endpoint}"\n'))
        return made[-1]

    yield site
    for each in made:
        each.close()


async def test_a_collector_is_told_of_every_call_of_a_run_at_what_the_ledger_booked(model, site_of):
    with collecting() as there:
        site = site_of(there.url)
        done = site.run("run", str(site.plan_file), "--json")
        assert done.code == 0, done
        truth = await site.truth()
        spans = [attributes(span) for span in there.spans]
        assert len(spans) == model.calls > 0
        assert sum(span["swarm.cost.nano_usd"] for span in spans) == truth.totals.spent.nano_usd > 0
        assert {span["swarm.session.id"] for span in spans} == {one.id for one in truth.sessions}
        assert {span["swarm.task.id"] for span in spans} == {"t0", "t1"}
        assert {span["swarm.swarm.id"] for span in spans} == {truth.swarm.id}
        assert sum(point.as_int for point in points(there.metrics["swarm.gateway.cost"])) == truth.totals.spent.nano_usd
        for secret in (b"swk_", b"sk-not-a-secret", b"gen_ai.input.messages"):
            assert secret not in there.bytes


def test_a_collector_that_is_away_is_a_line_in_the_log_and_nothing_else(site_of):
    with nobody() as url:
        site = site_of(url)
        done = site.run("run", str(site.plan_file))
        assert done.code == 0, done
        assert url not in done.out + done.err
        assert "opentelemetry" not in done.out + done.err
        log = (site.state / "control-plane.log").read_text()
        assert f"the collector at {url}" in log
        assert len([line for line in log.splitlines() if url in line]) <= 3
