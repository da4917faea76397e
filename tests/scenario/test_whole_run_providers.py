"""Providers that limit the rate, through the real command, worker and sandbox: tasks land, and no attempt is charged."""

from __future__ import annotations

import pytest

from tests.scenario.driver import CountedModel, Site, ended, job
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


async def landed(site, done):
    assert done.code == 0, done.err
    truth = await site.truth()
    assert {task.attempts for task in truth.tasks} == {0}
    assert {session.outcome for session in truth.sessions} == {"submitted"}
    return truth


async def test_a_provider_that_says_429_for_a_while_is_waited_for_and_no_attempt_is_charged(tmp_path):
    model = LimitedModel("sk-not-a-secret", "1", times=3)
    site = site_of(tmp_path / "site", model, 'default = "local:writer"', "")
    try:
        done = site.run("run", str(site.plan_file), "--json", "--allow-dirty")
        await landed(site, done)
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
        done = site.run("run", str(site.plan_file), "--json", "--allow-dirty", environment=keys)
        await landed(site, done)
        assert ("sk-not-a-secret", 200) not in model.keys
        assert [status for key, status in model.keys if key == "sk-not-a-secret"] == [429]
        told = site.run("report", "--json", environment=keys).json
        assert [row["model"] for row in told["models"]] == ["spare:writer"]
        assert "spare:writer (asked for: mid)" in site.run("why", "t1", environment=keys).out
    finally:
        site.close()
        model.close()


class StrictModel(CountedModel):
    """Takes one key alone."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.keys: list[str] = []
        super().__init__()

    def refusal(self, authorization):
        self.keys.append(authorization.removeprefix("Bearer "))
        return (200 if self.keys[-1] == self._key else 401), []


async def test_a_sealed_key_that_is_set_anew_while_a_run_stands_still_for_it_lets_the_run_go_on(tmp_path):
    model = StrictModel("sk-the-new-key")
    site = site_of(tmp_path / "site", model, 'default = "local:writer"', "")
    file, environment = site.root / "swarm.toml", {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    file.write_text(file.read_text().replace('kind = "openai"\n', 'kind = "openai"\nkey_secret = "odd"\n', 1))

    def put(key):
        setting = site.start("secret", "set", "odd", environment=environment, stdin=-1)
        _out, err = setting.communicate(f"{key}\n", timeout=60)
        assert setting.returncode == 0, err

    try:
        assert site.run("secret", "init", environment=environment).code == 0
        put("sk-the-old-key")
        arguments = ("run", str(site.plan_file), "--json", "--allow-dirty")
        run = site.start(*arguments, environment=environment)
        assert model.reached(1)
        await site.event(run, lambda row: row.kind == "provider.unavailable")
        put("sk-the-new-key")
        done = ended(run)
        assert done.code == 0, done.err
        assert {task.attempts for task in (await site.truth()).tasks} == {0}
        assert model.keys[0] == "sk-the-old-key"
        assert set(model.keys[1:]) == {"sk-the-new-key"}
    finally:
        site.close()
        model.close()
