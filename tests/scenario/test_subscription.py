"""A swarm on a subscription: no money, and never more than its throughput, whatever the number of agents."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.scenario.driver import CountedModel, Site, ended, twelve

pytestmark = [pytest.mark.sandbox]

PLAN = """billing = "subscription"
throughput = [{ window_s = 3600, requests = REQUESTS }]
"""


@pytest.fixture
def model():
    found = CountedModel()
    yield found
    found.close()


def site_of(tmp_path, model, requests):
    site = Site(tmp_path / "site", model.url, twelve(3))
    file = site.root / "swarm.toml"
    provider = 'kind = "openai"\n'
    file.write_text(file.read_text().replace(provider, provider + PLAN.replace("REQUESTS", str(requests)), 1))
    return site


def test_a_swarm_lands_without_a_dollar_and_its_calls_say_why(tmp_path, model):
    site = site_of(tmp_path, model, 100)
    try:
        done = site.run("run", str(site.plan_file), "--json", "--budget", "0.01", "--allow-dirty")
        assert done.code == 0, done
        truth = asyncio.run(site.truth())
        assert (truth.totals.spent.nano_usd, truth.totals.spent.tokens > 0) == (0, True)
        used = site.run("prices", "used")
        assert f"{model.calls} calls" in used.out
        assert "$" not in used.out
        assert "subscription at local: limited by throughput" in used.out
    finally:
        site.close()


def test_no_session_starts_while_the_throughput_is_used_up_and_no_attempt_is_charged(tmp_path, model):
    """Two calls are what the first task needs; the others wait, and are not even begun."""
    site = site_of(tmp_path, model, 2)
    try:
        run = site.start_run("--agents", "1", "--allow-dirty")
        assert model.reached(2)
        landed = asyncio.run(site.event(run, lambda row: row.kind == "change.landed"))
        assert landed.task_id is not None
        assert site.run("stop").code == 0
        assert ended(run).code == 130
        truth = asyncio.run(site.truth())
        assert model.calls == 2
        assert [one.outcome for one in truth.sessions].count("submitted") == 1
        assert sum(task.attempts for task in truth.tasks) == 0
        assert len(truth.sessions) == 1
    finally:
        site.close()


def test_where_a_tier_has_another_model_a_subscription_that_is_used_up_stops_nothing(tmp_path, model):
    site = site_of(tmp_path, model, 1)
    file = site.root / "swarm.toml"
    spare = f'[providers.spare]\nkind = "openai"\nbase_url = "{model.url}"\nkey_env = "SPARE_KEY"\n'
    price = '[prices."spare:writer"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 10\n'
    tier = 'default = "mid"\nmid = ["local:writer", "spare:writer"]'
    file.write_text(file.read_text().replace('default = "local:writer"', tier) + spare + price)
    environment = {"SPARE_KEY": "sk-spare"}
    try:
        done = site.run("run", str(site.plan_file), "--json", "--allow-dirty", environment=environment)
        assert done.code == 0, done
        used = json.loads(site.run("prices", "used", "--json", environment=environment).out)
        calls = {use["model"]: use["calls"] for use in used["uses"]}
        assert calls == {"local:writer": 1, "spare:writer": model.calls - 1}
    finally:
        site.close()
