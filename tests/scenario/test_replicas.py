"""Three control planes on one PostgreSQL database while a swarm runs: killed, ended one after the other, started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess

import httpx
import pytest

from swarmworks.client.control_plane import ControlPlaneClient
from tests import stores
from tests.postgres import needs_postgres
from tests.scenario.driver import CALL_NANO_USD, CountedModel, Site, ended, kill, twelve

pytestmark = [pytest.mark.sandbox, needs_postgres, pytest.mark.timeout(900)]

TASKS, AGENTS = 12, 4
TOKENS = {"SWARM_OPERATOR_TOKEN": "operator-of-the-tests-only", "SWARM_WORKER_TOKEN": "worker-of-the-tests-only"}


@pytest.fixture
def model():
    made = CountedModel()
    yield made
    made.close()


@pytest.fixture
def site(tmp_path, model, monkeypatch):
    monkeypatch.setattr(stores, "ON_POSTGRES", True)
    made = Site(tmp_path / "site", model.url, twelve(TASKS, AGENTS), agents=AGENTS)
    yield made
    made.close()


class Serving:
    """A `swarm serve` that answers."""

    def __init__(self, site: Site) -> None:
        self.process: subprocess.Popen[str] = site.start("serve", environment=TOKENS)
        said = self.process.stdout.readline()
        assert "control plane of site on http://" in said, (said, ended(self.process) if not said else "")
        self.url = said.split()[-1]

    def client(self) -> ControlPlaneClient:
        return ControlPlaneClient(self.url, TOKENS["SWARM_OPERATOR_TOKEN"])

    def replicas(self) -> list[dict]:
        bearer = {"Authorization": f"Bearer {TOKENS['SWARM_WORKER_TOKEN']}"}
        answer = httpx.get(f"{self.url}/api/v1/replicas", headers=bearer, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


async def landed(plane: Serving) -> None:
    """Until the newest swarm has ended, whatever happens to the command that follows it."""
    async with plane.client() as client:
        swarm = (await client.swarms())[0].id
        version = -1
        while (status := await client.status(swarm, after=version, wait_s=20)).state == "running":
            version = status.version
    assert status.state == "landed", status


async def assert_nothing_lost(site: Site, model: CountedModel) -> None:
    truth = await site.truth()
    assert set(truth.states().values()) == {"landed"}
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)


async def gone(plane: Serving, url: str) -> None:
    """Until `plane` no longer names the replica at `url`."""
    async with plane.client() as client:
        while url in {one["api_url"] for one in plane.replicas()}:
            with contextlib.suppress(IndexError):
                await client.status((await client.swarms())[0].id, after=1 << 60, wait_s=0.2)


async def test_any_of_them_serves_and_one_does_each_chore(site, model):
    planes = [Serving(site) for _ in range(3)]
    listed = planes[2].replicas()
    assert {one["api_url"] for one in listed} == {plane.url for plane in planes}
    assert [one["api_url"] for one in listed if one["me"]] == [planes[2].url]
    chores = [chore for one in listed for chore in one["chores"]]
    assert {"merge queue", "swarms", "telling"} <= set(chores)
    assert len(chores) == len(set(chores))
    done = ended(site.start_run(), 120)
    assert done.code == 0, done
    for plane in planes:
        async with plane.client() as client:
            assert [one.state for one in await client.swarms()] == ["landed"]
    assert [plane.end() for plane in planes] == [0, 0, 0]
    await assert_nothing_lost(site, model)
    assert site.left_behind() == []


async def test_one_that_is_killed_is_replaced_by_the_others(site, model):
    planes = [Serving(site) for _ in range(3)]
    run = site.start_run()
    assert model.reached(4)
    planes[0].kill()  # the first: it does every chore, and its worker has the state folder
    await gone(planes[1], planes[0].url)
    assert {chore for one in planes[1].replicas() for chore in one["chores"]} >= {"merge queue", "swarms"}
    await landed(planes[2])
    ended(run, 60)
    assert [plane.end() for plane in planes[1:]] == [0, 0]
    await assert_nothing_lost(site, model)
    assert site.left_behind() == []


async def test_a_rolling_restart_loses_nothing(site, model):
    planes = [Serving(site) for _ in range(3)]
    run = site.start_run()
    for number in range(3):
        assert model.reached(2 + 5 * number)
        assert planes[number].end() == 0
        planes[number] = Serving(site)
    await landed(planes[0])
    ended(run, 60)
    assert [plane.end() for plane in planes] == [0, 0, 0]
    await assert_nothing_lost(site, model)
    assert site.left_behind() == []


async def test_one_that_was_paused_for_too_long_ends_and_says_why(site, model):
    planes = [Serving(site) for _ in range(2)]
    os.kill(planes[0].process.pid, signal.SIGSTOP)
    await gone(planes[1], planes[0].url)
    os.kill(planes[0].process.pid, signal.SIGCONT)
    done = ended(planes[0].process, 60)
    assert done.code == 4, done
    assert "given up by the others" in done.err
    assert planes[1].end() == 0
    for worker in site.workers():
        kill(worker)
