"""Providers that limit the rate, through the real command, worker and sandbox: tasks land, and no attempt is charged."""

from __future__ import annotations

import pytest

from tests.scenario.driver import CountedModel, Site, job
from tests.scenario.harness import plan

pytestmark = [pytest.mark.sandbox]


class LimitedModel(CountedModel):
    """Refuses the first `times` calls that show `key`, or all of them, and asks to wait `retry_after` seconds."""

    def __init__(self, key: str, retry_after: str, times: int | None = None) -> None:
        self._key, self._retry_after, self._left = key, retry_after, times
        self.keys: list[tuple[str, int]] = []
        super().__init__()

    def refusal(self, authorization):
        status, headers = 200, []
        if authorization == f"Bearer {self._key}" and self._left != 0:
            self._left = None if self._left is None else self._left - 1
            status, headers = 429, [("retry-after", self._retry_after)]
        self.keys.append((authorization.removeprefix("Bearer "), status))
        return status, headers


def site_of(root, model, models, providers):
    site = Site(root, model.url, plan(job("t1"), job("t2", after=("t1",))), agents=2)
    file = site.root / "swarm.toml"
    file.write_text(file.read_text().replace('default = "local:writer"', models) + providers)
    return site


async def landed(site, ended):
    assert ended.code == 0, ended.err
    truth = await site.truth()
    assert {task.attempts for task in truth.tasks} == {0}
    assert {session.outcome for session in truth.sessions} == {"submitted"}
    return truth


async def test_a_provider_that_says_429_for_a_while_is_waited_for_and_no_attempt_is_charged(tmp_path):
    model = LimitedModel("sk-not-a-secret", "1", times=3)
    site = site_of(tmp_path / "site", model, 'default = "local:writer"', "")
    try:
        ended = site.run("run", str(site.plan_file), "--json", "--allow-dirty")
        await landed(site, ended)
        assert [status for _key, status in model.keys][:4] == [429, 429, 429, 200]
    finally:
        site.close()
        model.close()


async def test_the_next_model_of_the_tier_answers_at_once_and_is_on_record(tmp_path):
    model = LimitedModel("sk-not-a-secret", "600")
    spare = f'[providers.spare]\nkind = "openai"\nbase_url = "{model.url}"\nkey_env = "SPARE_KEY"\n'
    price = '[prices."spare:writer"]\ninput_usd_per_mtok = 1\noutput_usd_per_mtok = 10\n'
    tiers = 'default = "mid"\nmid = ["local:writer", "spare:writer"]'
    site = site_of(tmp_path / "site", model, tiers, spare + price)
    try:
        keys = {"SPARE_KEY": "sk-spare"}
        ended = site.run("run", str(site.plan_file), "--json", "--allow-dirty", environment=keys)
        await landed(site, ended)
        assert ("sk-not-a-secret", 200) not in model.keys
        assert [status for key, status in model.keys if key == "sk-not-a-secret"] == [429]
        told = site.run("report", "--json", environment=keys).json
        assert [row["model"] for row in told["models"]] == ["spare:writer"]
        assert "spare:writer (asked for: mid)" in site.run("why", "t1", environment=keys).out
    finally:
        site.close()
        model.close()
