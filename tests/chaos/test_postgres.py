"""Swarms whose database breaks under them: a server restarted hard, connections cut. Nothing is lost, nothing twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from tests.chaos.on_postgres import OnPostgres, a_server
from tests.chaos.test_full_disk import MOUNT, ROOT
from tests.postgres import needs_postgres
from tests.scenario.driver import CALL_NANO_USD, ended, twelve

pytestmark = [pytest.mark.chaos, pytest.mark.sandbox, pytest.mark.slow, needs_postgres]

BREAKS = 5


@pytest.fixture
def server():
    with a_server() as made:
        yield made


@pytest.fixture
def site(tmp_path, model, server):
    made = OnPostgres(tmp_path / "site", model.url, twelve(), server)
    yield made
    made.close()


async def assert_landed(site, model, done) -> None:
    assert (done.code, done.json["state"]) == (0, "landed"), done
    assert site.left_behind() == []
    truth = await site.truth()
    assert set(truth.states().values()) == {"landed"}
    truth.assert_sound(cost_nano_usd=model.calls * CALL_NANO_USD)


async def test_connections_that_break_at_random_points_cost_nothing(site, model):
    rng = random.Random(7)
    process = site.start_run()
    for _ in range(BREAKS):
        assert model.reached_or_ended(model.calls + 2, process), ended(process)
        threading.Event().wait(rng.uniform(0, 0.2))
        assert site.cable.snap() > 0
    await assert_landed(site, model, ended(process))


async def test_a_server_that_is_restarted_hard_in_the_middle_costs_nothing(site, model, server):
    process = site.start_run()
    for _ in range(2):
        assert model.reached_or_ended(model.calls + 4, process), ended(process)
        server.stop()
        server.start()
    await assert_landed(site, model, ended(process))


@pytest.mark.parametrize("away_s", [2.0, 8.0])
async def test_a_database_that_cannot_be_reached_for_seconds_is_waited_for_and_ends_no_session(site, model, away_s):
    process = site.start_run()
    assert model.reached_or_ended(4, process), ended(process)
    site.cable.cut()
    threading.Event().wait(away_s)
    site.cable.mend()
    await assert_landed(site, model, ended(process))
    truth = await site.truth()
    assert {str(session.outcome) for session in truth.sessions} == {"submitted"}


def told(processes, what) -> None:
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            what(one)


async def test_a_machine_that_stands_still_for_seconds_ends_no_session(site, model):
    process = site.start_run()
    assert model.reached_or_ended(4, process), ended(process)
    standing = site.marked()
    told(standing, psutil.Process.suspend)
    threading.Event().wait(8.0)
    told(standing, psutil.Process.resume)
    await assert_landed(site, model, ended(process))
    truth = await site.truth()
    assert {str(session.outcome) for session in truth.sessions} == {"submitted"}


async def test_clocks_that_are_set_an_hour_forward_and_back_cost_nothing(site, model):
    process = site.start_run()
    for offset_s in (3600, -3600, 0):
        assert model.reached_or_ended(model.calls + 4, process), ended(process)
        site.set_clocks(offset_s)
    await assert_landed(site, model, ended(process))
    truth = await site.truth()
    assert {str(session.outcome) for session in truth.sessions} == {"submitted"}


@pytest.mark.skipif(os.geteuid() != 0, reason="LEFT OUT: a small disk can be mounted by root only")
def test_a_full_disk_of_the_database_holds_the_run_up_or_ends_it_in_words_and_everything_lands():
    with tempfile.TemporaryDirectory(prefix="swarm-pg-") as disk:
        Path(disk).chmod(0o755)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", MOUNT, "sh", disk, sys.executable, "tests.chaos.full_database"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "Traceback" not in told["full"]["err"] + told["full"]["out"]
    if told["resumed"] is not None:
        assert told["full"]["code"] == 4, told
        assert "swarm resume" in told["full"]["err"], told
        assert told["resumed"]["code"] == 0, told
    assert told["states"] == ["landed"]
