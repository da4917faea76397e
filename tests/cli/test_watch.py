"""watch and pause, and what becomes of a swarm when its terminal goes away."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from swarmworks.cli.view.dashboard_app import DashboardApp
from swarmworks.cli.view.live import LiveProgress
from tests.cli import sample
from tests.cli.conftest import Swarm
from tests.cli.fakes import FakeLauncher, FakePlane
from tests.cli.view.test_dashboard_app import Hands

ROOT = Path(__file__).parents[2]
MOST_S = 30.0


def hang_up():
    os.kill(os.getpid(), signal.SIGHUP)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_watch_follows_to_the_end_and_tells_how_it_ended(tmp_path, swarm: Swarm):
    events = [sample.event(1, "change.landed", "a", commit="abc", agent="p/api-1")]
    plane = FakePlane([sample.status(), sample.status("landed")], events)
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "watch")
    assert ran.code == 0
    assert "a: landed as abc, by api-1" in ran.out
    assert "swarm report" in ran.out


def test_watch_needs_something_that_runs(tmp_path, swarm: Swarm):
    ran = swarm(FakeLauncher(tmp_path, FakePlane([sample.status()])), "watch")
    assert ran.code == 2
    assert "nothing is running" in ran.err


def test_leaving_a_watch_stops_nothing(tmp_path, swarm: Swarm):
    plane = FakePlane([sample.status()], on_wait=[interrupt])
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "watch")
    assert ran.code == 130
    assert "The swarm goes on" in ran.out
    assert plane.bodies("/stop") == []


def test_pause_says_how_to_go_on(tmp_path, swarm: Swarm):
    plane = FakePlane([sample.status()])
    ran = swarm(FakeLauncher(tmp_path, plane, running=True), "pause")
    assert ran.code == 0
    assert f"{sample.SWARM} is paused; go on with: swarm resume {sample.SWARM}" in ran.out


def test_a_hang_up_stops_in_order(tmp_path, swarm: Swarm, plan):
    plane = FakePlane([sample.status()], after_stop=[sample.status("stopped", reason="person")], on_wait=[hang_up])
    ran = swarm(FakeLauncher(tmp_path, plane), "run", plan)
    assert (ran.code, len(plane.bodies("/stop"))) == (130, 1)


def test_a_hang_up_that_is_ignored_stays_ignored(tmp_path, swarm: Swarm, plan):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stopped = sample.status("stopped", reason="person")
        plane = FakePlane([sample.status()], after_stop=[stopped], on_wait=[hang_up, interrupt])
        ran = swarm(FakeLauncher(tmp_path, plane), "run", plan)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert "Leaving now" not in ran.out
    assert len(plane.bodies("/stop")) == 1


def test_a_terminal_that_is_closed_stops_the_swarm_in_order(tmp_path, plan):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cli.at_terminal", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "TERM": "xterm-256color"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        seen = b""
        while b"Task Management" not in seen:
            assert select.select([ours], [], [], MOST_S)[0], seen
            seen += os.read(ours, 1 << 16)
        os.close(ours)
        assert process.wait(MOST_S) == 130
    finally:
        process.kill()
        process.wait()
    told = json.loads((tmp_path / "asked").read_text())
    assert told["code"] == 130
    assert told["asked"][-1].endswith("/stop")


async def test_plain_lines_go_on_where_the_dashboard_fails(monkeypatch, capsys):
    async def fail(self, **options):
        raise RuntimeError("a fault of the dashboard's own")

    monkeypatch.setattr(DashboardApp, "run_async", fail)
    display = LiveProgress(lambda: False)
    display.steered_by(Hands())
    async with display:
        running = display._running
        with pytest.raises(RuntimeError):
            await running
        display.show(sample.status(), [sample.event(1, "change.landed", "a", commit="abc")])
    assert "a: landed as abc" in capsys.readouterr().out
