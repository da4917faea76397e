from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import threading
import uuid
from pathlib import Path

import psutil
import pytest

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.sandbox import launch
from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.protocol import Mount, SandboxSpec
from tests.sandbox.playground import host_processes_with

pytestmark = pytest.mark.sandbox


def test_a_sandbox_outlives_the_thread_that_started_it(bubblewrap):
    loop = asyncio.new_event_loop()
    started = []

    def start():
        spec = SandboxSpec(argv=("/bin/sh", "-c", "read line; echo $line; exit 4"), workdir="/")
        started.append(loop.run_until_complete(bubblewrap.start(spec)))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    async def finish():
        started[0].stdin.write(b"still here\n")
        return await asyncio.wait_for(started[0].wait(), 20), await started[0].stdout.read()

    assert loop.run_until_complete(finish()) == (4, b"still here\n")
    loop.close()


async def test_a_start_for_which_there_are_no_more_descriptors_leaves_none_open(playground):
    await playground.shell("true")
    gc.collect()
    before, limits = _descriptors(), resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = _highest_descriptor()
    filling = [os.open("/", os.O_RDONLY)]
    while filling[-1] < highest + 1:
        filling.append(os.open("/", os.O_RDONLY))
    for more in range(1, 25):
        resource.setrlimit(resource.RLIMIT_NOFILE, (filling[-1] + more, limits[1]))
        try:
            with contextlib.suppress(SandboxUnavailableError, OSError):
                process = await playground.start("true")
                await process.wait()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for fd in filling:
        os.close(fd)
    gc.collect()
    assert _descriptors() == before
    assert (await playground.shell("echo again")).stdout == "again\n"


async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing(playground):
    await playground.shell("true")
    children = set(
        psutil.Process().children(recursive=True)
    )  # the starter, and what earlier tests of this process started
    before = _descriptors()
    for milliseconds in range(0, 30, 2):
        try:
            async with asyncio.timeout(milliseconds / 1000):
                process = await playground.start("sleep", "600")
        except TimeoutError:
            continue
        process.kill()
        await process.wait()
    gc.collect()
    assert _descriptors() == before
    assert set(psutil.Process().children(recursive=True)) <= children


async def test_a_launcher_that_is_killed_takes_the_sandbox_along(playground):
    process = await playground.start("sleep", "600")
    inside = psutil.Process(process.pid).children(recursive=True)
    psutil.Process(process.pid).kill()
    assert await process.wait() == 137
    assert psutil.wait_procs(inside, timeout=10)[1] == []


async def test_a_start_that_fails_late_leaves_nothing_that_slipped_away(unsandboxed, tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "said")
    slipped = []

    async def failing(control):
        slipped.append(int(await asyncio.to_thread((tmp_path / "said").read_text)))
        raise SandboxUnavailableError("too late")

    monkeypatch.setattr(launch, "_receive_started", failing)
    script = f"setsid sh -c 'echo $$ > {tmp_path}/said; exec sleep 600' & wait"
    with pytest.raises(SandboxUnavailableError, match="too late"):
        await unsandboxed.start(SandboxSpec(argv=("/bin/sh", "-c", script), workdir="/"))
    assert not psutil.pid_exists(slipped[0])


def test_a_launcher_that_does_not_end_by_itself_is_killed(unsandboxed):
    spec = SandboxSpec(argv=("sleep", "600"), workdir="/")
    channels = launch.spawn(unsandboxed._order(spec), [], spec.limits)
    psutil.Process(channels.launcher_pid).suspend()
    channels.abandon()
    assert not psutil.pid_exists(channels.launcher_pid)


@pytest.mark.parametrize("moment", ["at once", "later"])
async def test_a_launcher_whose_descriptors_were_taken_still_ends_what_is_left(unsandboxed, moment):
    mark = str(500_000 + uuid.uuid4().int % 100_000)
    script = f"(setsid sh -c 'setsid sleep {mark} >/dev/null 2>&1 & sleep {mark}' &); sleep 0.1; echo up; read line"
    process = await unsandboxed.start(SandboxSpec(argv=("/bin/sh", "-c", script), workdir="/"))
    if moment == "at once":
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (0, 0))
    async with asyncio.timeout(20):
        if moment == "later":
            assert await process.stdout.readline() == b"up\n"
            assert len(host_processes_with(mark)) == 2
            resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (0, 0))
        process.stdin.close()
        await process.wait()
    assert host_processes_with(mark) == []


async def test_a_starter_that_is_killed_costs_no_sandbox_and_is_started_anew(playground):
    async with playground.running("/bin/sh", "-c", "read line; echo $line") as process:
        starter = psutil.Process(process.pid).parent()
        assert starter.parent().pid == os.getpid()
        starter.kill()
        psutil.wait_procs([starter], timeout=10)
        assert (await playground.shell("echo next")).stdout == "next\n"
        process.stdin.write(b"still here\n")
        assert await process.wait() == 0
        assert await process.stdout.read() == b"still here\n"


async def test_a_starter_keeps_nothing_of_the_sandboxes_it_started(playground):
    async with playground.running("sleep", "600") as process:
        starter = psutil.Process(process.pid).parent()
        before = starter.num_fds()
    for _ in range(3):
        await playground.shell("true")
    assert starter.num_fds() == before
    assert starter.children() == []


async def test_a_hundred_started_at_once_all_run(playground):
    outcomes = await asyncio.gather(
        *(playground.run("echo", str(n), programs=("echo",), timeout_s=120) for n in range(100))
    )
    assert [(outcome.status, outcome.stdout, outcome.stderr) for outcome in outcomes] == [
        (0, f"{n}\n", "") for n in range(100)
    ]


async def test_mounts_are_reached_below_directories_closed_to_others(bubblewrap, tmp_path):
    closed = tmp_path / "closed"
    (closed / "copy").mkdir(parents=True)
    (closed / "file").write_text("shown")
    closed.chmod(0o700)
    sandbox = BubblewrapSandbox(closed / "state")
    sandbox.own(closed / "copy")
    spec = SandboxSpec(
        argv=("/bin/sh", "-c", "cat /file > made; id -u"),
        workdir="/copy",
        mounts=(Mount(closed / "copy", "/copy", writable=True), Mount(closed / "file", "/file")),
    )
    process = await sandbox.start(spec)
    assert await process.wait() == 0
    assert (closed / "copy" / "made").read_text() == "shown"
    assert int(await process.stdout.read()) == (closed / "copy" / "made").stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: an ordinary user owns what it mounts")
class TestOwn:
    def test_hands_over_the_tree_without_following_links(self, bubblewrap, tmp_path):
        (tmp_path / "tree" / "deep").mkdir(parents=True)
        (tmp_path / "tree" / "deep" / "file").touch()
        (tmp_path / "outside").touch()
        (tmp_path / "tree" / "link").symlink_to(tmp_path / "outside")
        bubblewrap.own(tmp_path / "tree")
        for path in (tmp_path / "tree", *(tmp_path / "tree").rglob("*")):
            assert path.lstat().st_uid == bubblewrap._uid
        assert (tmp_path / "outside").stat().st_uid == 0

    async def test_a_writable_mount_that_was_not_handed_over_is_refused(self, playground):
        with pytest.raises(SandboxUnavailableError, match=r"belongs to uid 0(?s:.)*Sandbox\.own"):
            await playground.sandbox.start(playground.spec("true"))


def _highest_descriptor():
    return max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())


def _descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
