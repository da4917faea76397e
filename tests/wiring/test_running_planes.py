"""Several control planes in one folder: what run.json says of them, and how the command line finds one that answers."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from swarmworks.cli.context import OpenProject
from swarmworks.settings import RunFile, read_run_file, remove_run_file, write_run_file
from swarmworks.wire.config_file import load_config
from swarmworks.wiring.launcher import ProcessLauncher
from tests.client.fake_plane import FakePlane

CONFIG = '[project]\nname = "site"\n[gates.tests]\nrun = "true"\n'


@pytest.fixture
def pids():
    """Processes that live as long as the test."""
    made = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(3)]
    yield [process.pid for process in made]
    for process in made:
        process.communicate(b"\n")


def dead():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def run(pid, url=None, token="token"):
    return RunFile(pid=pid, url=url or f"http://{pid}", token=token)


def urls(state):
    found = read_run_file(state)
    return [] if found is None else [one.url for one in (found, *found.others)]


@pytest.fixture
def project(tmp_path):
    config = load_config(CONFIG, name="swarm.toml", environment={})
    return OpenProject(root=tmp_path, name="site", config=config, state=tmp_path)


def test_each_control_plane_adds_itself_and_takes_only_itself_away(tmp_path, pids):
    for pid in pids:
        write_run_file(tmp_path, run(pid))
    assert urls(tmp_path) == [f"http://{pid}" for pid in reversed(pids)]
    remove_run_file(tmp_path, pids[2])
    assert urls(tmp_path) == [f"http://{pids[1]}", f"http://{pids[0]}"]
    remove_run_file(tmp_path, pids[0])
    remove_run_file(tmp_path, pids[0])
    assert urls(tmp_path) == [f"http://{pids[1]}"]
    remove_run_file(tmp_path, pids[1])
    assert read_run_file(tmp_path) is None
    assert not (tmp_path / "run.json").exists()


def test_the_file_is_for_its_owner_only(tmp_path):
    write_run_file(tmp_path, run(os.getpid(), token="a-secret"))
    assert (tmp_path / "run.json").stat().st_mode & 0o777 == 0o600
    assert "a-secret" not in repr(read_run_file(tmp_path))


def test_those_that_were_killed_are_passed_over_and_forgotten(tmp_path, pids):
    write_run_file(tmp_path, run(pids[0]))
    write_run_file(tmp_path, run(dead()))
    assert urls(tmp_path) == [f"http://{pids[0]}"]
    write_run_file(tmp_path, run(pids[1]))
    assert (tmp_path / "run.json").read_text().count("http://") == 2


def test_control_planes_that_start_at_the_same_moment_do_not_overwrite_each_other(tmp_path, pids):
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda pid: write_run_file(tmp_path, run(pid)), pids))
    assert set(urls(tmp_path)) == {f"http://{pid}" for pid in pids}


async def test_the_command_line_goes_to_a_control_plane_that_answers(tmp_path, project, pids):
    async with FakePlane() as one, FakePlane() as two:
        write_run_file(tmp_path, run(pids[0], one.url))
        write_run_file(tmp_path, run(pids[1], two.url))
        await two.end()
        async with ProcessLauncher().connect(project) as live:
            assert live is not None
            assert live.url == one.url
            await live.client.swarms()


async def test_a_command_that_watches_follows_when_one_after_the_other_is_replaced(tmp_path, project, pids):
    async with FakePlane() as old, FakePlane() as new:
        write_run_file(tmp_path, run(pids[0], old.url))
        async with ProcessLauncher().connect(project) as live:
            assert live is not None
            write_run_file(tmp_path, run(pids[1], new.url))
            await old.end()
            await live.client.swarms()
            assert new.asked


async def test_a_control_plane_of_another_state_is_not_asked(tmp_path, project, pids):
    async with FakePlane() as other:
        write_run_file(tmp_path, run(pids[0], other.url, token="another"))
        write_run_file(tmp_path, run(pids[1], "http://127.0.0.1:9"))
        async with ProcessLauncher().connect(project) as live:
            assert live is None
        assert other.asked == []


async def test_without_any_there_is_none(tmp_path, project):
    write_run_file(tmp_path, run(dead()))
    async with ProcessLauncher().connect(project) as live:
        assert live is None
