"""Control groups: both versions of the interface as files, and the real one where this machine lets us make groups."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from swarmworks.sandbox import cgroups
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import ProcessLimits
from swarmworks.sandbox.watchdog import Watchdog
from tests.sandbox.playground import PYTHON, python_argv

LIMITS = ProcessLimits(tree_memory_bytes=120 << 20, processes=40)


def second_version(tmp_path, controllers="cpu memory pids"):
    (tmp_path / "own").write_text("0::/user/session\n")
    (tmp_path / "user" / "session").mkdir(parents=True)
    (tmp_path / "user" / "cgroup.subtree_control").write_text(f"{controllers}\n")
    (tmp_path / "user" / "session" / "cgroup.subtree_control").write_text("\n")
    return {"root": tmp_path, "own": tmp_path / "own"}


def test_in_the_second_version_a_group_is_made_beside_the_workers_own(tmp_path):
    group = cgroups.make(LIMITS, **second_version(tmp_path))
    assert [folder.parent for folder in group.folders] == [tmp_path / "user"]
    group.take(os.getpid())
    joined = group.folders[0] / "cgroup.procs"
    assert joined.read_text() == str(os.getpid())
    for file in group.folders[0].iterdir():  # of the kernel's, such files go with their folder
        file.unlink()
    group.remove()
    assert not group.folders[0].exists()


def test_without_the_controllers_there_is_no_group(tmp_path):
    assert cgroups.make(LIMITS, **second_version(tmp_path, controllers="cpu")) is None


def test_in_the_first_version_there_is_one_for_each_controller(tmp_path):
    (tmp_path / "own").write_text("4:memory:/here\n3:cpu,cpuacct:/\n2:pids:/\n0::/\n")
    (tmp_path / "memory" / "here").mkdir(parents=True)
    (tmp_path / "pids").mkdir()
    group = cgroups.make(LIMITS, root=tmp_path, own=tmp_path / "own")
    assert {folder.parent for folder in group.folders} == {tmp_path / "memory" / "here", tmp_path / "pids"}


def test_what_a_worker_left_that_is_gone_is_removed(tmp_path):
    machine = second_version(tmp_path)
    (tmp_path / "user" / "swarmworks-99999999-0").mkdir()
    mine = cgroups.make(LIMITS, **machine)
    cgroups.sweep(**machine)
    assert not (tmp_path / "user" / "swarmworks-99999999-0").exists()
    assert mine.folders[0].exists()


@pytest.mark.parametrize(
    ("kills", "peak", "before"),
    [
        ("memory.events", "memory.peak", "low 0\noom 1\n"),
        ("memory.oom_control", "memory.max_usage_in_bytes", "under_oom 0\n"),
    ],
)
def test_what_the_kernel_killed_in_a_group_is_told_with_the_most_it_used(tmp_path, kills, peak, before):
    group = cgroups.Cgroup((tmp_path / "pids", tmp_path))
    assert group.memory_kill() is None
    (tmp_path / peak).write_text(f"{130 << 20}\n")
    (tmp_path / kills).write_text(f"{before}oom_kill 0\n")
    assert group.memory_kill() is None
    (tmp_path / kills).write_text(f"{before}oom_kill 2\n")
    assert group.memory_kill() == cgroups.MemoryKill(130 << 20)


@pytest.mark.parametrize(
    ("peak_mb", "says", "of_machine"),
    [(60, "the machine had no more memory", True), (130, "memory limit of 120 MB exceeded", False)],
)
def test_what_is_killed_below_its_limit_was_killed_for_the_machine(tmp_path, peak_mb, says, of_machine):
    (tmp_path / "memory.peak").write_text(f"{peak_mb << 20}\n")
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    watchdog = Watchdog(os.getpid(), LIMITS, [], cgroups.Cgroup((tmp_path,)))
    breach = watchdog.killed()
    assert says in breach.reason
    assert breach.of_machine is of_machine


@pytest.mark.sandbox
async def test_a_program_that_goes_on_when_the_kernel_has_killed_a_part_of_it_is_ended(playground, monkeypatch):
    if (group := cgroups.make(LIMITS)) is None:
        pytest.skip("no control group can be made here, as is usual for an ordinary user")
    group.remove()
    monkeypatch.setattr("swarmworks.sandbox.watchdog.exceeds", lambda *_: False)  # the kernel always comes first
    script = (
        "import os, time\npid = os.fork()\nif pid == 0:\n    held = bytearray(os.urandom(1 << 20) * 200)\n"
        "os.waitpid(pid, 0)\nprint('goes on', flush=True)\ntime.sleep(600)"
    )
    limits = replace(LIMITS, tree_memory_bytes=60 << 20)
    async with playground.running(
        *python_argv(script), more_mounts=python_mounts(Path(PYTHON)), limits=limits
    ) as process:
        assert await process.wait() == 128 + signal.SIGKILL
        assert process.exceeded == "memory limit of 60 MB exceeded"


@pytest.mark.sandbox
async def test_a_machine_that_lets_us_holds_the_sum_of_memory_by_itself(playground, monkeypatch):
    if (group := cgroups.make(LIMITS)) is None:
        pytest.skip("no control group can be made here, as is usual for an ordinary user")
    group.remove()
    monkeypatch.setattr("swarmworks.sandbox.watchdog.LOOK_S", 3600.0)
    script = (
        "import os\npids = []\nfor _ in range(3):\n    pid = os.fork()\n    if pid == 0:\n"
        "        held = bytearray(os.urandom(1 << 20) * 60)\n        os.read(0, 1); os._exit(0)\n    pids.append(pid)\n"
        "print(os.waitpid(-1, 0)[1], flush=True)"
    )
    mounts = python_mounts(Path(PYTHON))
    async with playground.running(*python_argv(script), more_mounts=mounts, limits=LIMITS) as process:
        assert await process.stdout.readline() in {b"9\n", b""}  # one of them, or the whole, killed by the kernel
        await process.wait()
        assert process.exceeded == "memory limit of 120 MB exceeded"


@pytest.mark.sandbox
async def test_a_group_goes_with_its_sandbox(playground):
    before = set(_groups())
    async with playground.running("sleep", "60"):
        assert cgroups.make(LIMITS) is None or len(_groups()) > len(before)
    for folder in set(_groups()) - before:
        folder.rmdir()  # the one that was made just now to see whether it can be


def _groups() -> list[Path]:
    """This process's own: another one's tests run at the same time."""
    return [
        folder
        for parent in cgroups._parents(cgroups._ROOT, cgroups._OWN)
        for folder in parent.glob(f"swarmworks-{os.getpid()}-*")
    ]
