# ruff: noqa: ASYNC240 -- these tests look at the host between awaits, one at a time
"""What is peculiar to the level without namespaces."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from swarmworks.base.errors import SandboxUnavailableError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox import contained as back_end
from swarmworks.sandbox import landlock, leftovers
from swarmworks.sandbox import programs as looking
from swarmworks.sandbox.contained import ContainedSandbox
from swarmworks.sandbox.elf import loader_of
from swarmworks.sandbox.protocol import Mount, Network, ProcessLimits
from tests.base.test_removal import nested
from tests.sandbox.playground import Playground

pytestmark = pytest.mark.sandbox


@pytest.fixture
def inside(contained, tmp_path):
    return Playground(contained, tmp_path)


def test_the_network_is_not_said_to_hold_and_the_mend_is_named(tmp_path, contained):
    assert Property.NETWORK not in contained.probe().properties
    assert "any other address" in contained.probe().missing[Property.NETWORK]
    why = {Property.NETWORK: "bubblewrap is not installed; mend: apt-get install bubblewrap"}
    assert ContainedSandbox(tmp_path, why=why).probe().missing[Property.NETWORK] == why[Property.NETWORK]


async def test_nothing_listens_not_even_at_a_port_that_nobody_chose(inside, unused_port):
    script = """
import socket
for family in (socket.AF_INET, socket.AF_INET6):
    with socket.socket(family) as listening:
        try:
            listening.listen()
            print("listens", listening.getsockname())
        except PermissionError:
            print("refused")
"""
    outcome = await inside.python(script, network=Network.LISTENER, listener_port=unused_port)
    assert (outcome.stdout, outcome.stderr) == ("refused\n" * 2, "")


async def test_pairs_are_there_but_for_those_that_send_anywhere(inside):
    script = """
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM):
    try:
        one, other = socket.socketpair(socket.AF_UNIX, kind)
        one.send(b"x")
        print(kind.name, other.recv(1))
    except PermissionError:
        print(kind.name, "refused")
"""
    outcome = await inside.python(script)
    assert outcome.stdout == "SOCK_STREAM b'x'\nSOCK_SEQPACKET b'x'\nSOCK_DGRAM refused\n", outcome.stderr


async def test_what_its_user_runs_already_takes_nothing_from_the_processes_of_a_sandbox(inside):
    script = "for n in $(seq 150); do sleep 60 & done; echo up; wait"
    limits = ProcessLimits(processes=250)  # others of this user may come and go meanwhile
    async with asyncio.timeout(60), inside.running("/bin/sh", "-c", script, limits=limits) as one:
        assert await one.stdout.readline() == b"up\n"
        async with inside.running("/bin/sh", "-c", script, limits=limits) as two:
            assert await two.stdout.readline() == b"up\n"


async def test_shared_memory_of_the_host_is_neither_made_nor_reached(inside):
    script = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
made = libc.shmget(0, 4096, 0o1600), libc.msgget(0, 0o1600), libc.semget(0, 1, 0o1600)
print(*made)
libc.shmctl(made[0], 0, None), libc.msgctl(made[1], 0, None), libc.semctl(made[2], 0, 0)
"""
    assert (await inside.python(script)).stdout == "-1 -1 -1\n"


async def test_a_program_sets_its_own_limits_and_priority_and_nobody_elses(inside):
    script = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (50, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], os.nice(3), len(os.sched_getaffinity(0)) > 0)
for attempt in (
    lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE),
    lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
    lambda: os.setpriority(os.PRIO_USER, 0, 19),
    lambda: os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0)),
):
    try:
        attempt()
        print("reached")
    except PermissionError: pass
"""
    outcome = await inside.python(script)
    assert (outcome.stdout, outcome.stderr) == ("50 3 True\n", "")


async def test_the_home_of_a_program_is_its_own_and_gone_afterwards(inside):
    script = "cd; pwd; echo kept > file; ls"
    outcome = await inside.shell(script)
    home, listed = outcome.stdout.split()
    assert listed == "file"
    assert not Path(home).exists()


async def test_a_program_that_lies_among_the_libraries_can_neither_be_read_nor_run(inside, tmp_path, monkeypatch):
    deep = tmp_path / "lib" / "python3" / "deep"
    deep.mkdir(parents=True)
    shutil.copy("/usr/bin/uname", deep / "first")
    (deep / "library.so").write_text("a library\n")
    (deep / "led.so").symlink_to("first")
    monkeypatch.setattr(looking, "_LIBRARY_FOLDERS", (*looking._LIBRARY_FOLDERS, str(tmp_path / "lib")))
    monkeypatch.setattr(looking, "_found", looking._Found())
    script = (
        f"cd {deep}; ls; cat library.so; {loader_of('/usr/bin/uname')} ./first; cat led.so; ./first; echo new > new; "
        "python3 -c 'import ssl'"
    )
    outcome = await inside.shell(script, programs=("sh", "ls", "cat", "python3"))
    assert outcome.stdout == "first\nled.so\nlibrary.so\na library\n", outcome.stderr
    assert outcome.stderr.count("ermission denied") == 4, outcome.stderr


LEAVING = """
import os
for place in (os.environ["TMPDIR"], os.environ["HOME"]):
    os.makedirs(place + "/closed/inner")
    os.chmod(place + "/closed/inner", 0), os.chmod(place + "/closed", 0)
    os.chdir(place)
    for _ in range(1200): os.mkdir("d"); os.chdir("d")
"""


async def test_what_a_program_leaves_however_deep_or_closed_is_gone_afterwards(inside, contained):
    outcome = await inside.python(LEAVING)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert list(contained._places.iterdir()) == []


def test_what_killed_workers_left_however_deep_is_gone_at_the_next_start(contained):
    left = contained._places / f"{_number_of_nobody()}-left"
    (left / "closed").mkdir(parents=True)
    nested(left)
    (left / "closed").chmod(0)
    back_end._sweep(contained._places)
    assert list(contained._places.iterdir()) == []


def _number_of_nobody():
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return process.pid


async def test_what_cannot_be_deleted_fails_neither_the_end_nor_a_start(inside, monkeypatch, caplog):
    def resisting(place):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(place))

    monkeypatch.setattr(leftovers, "remove_tree", resisting)
    assert (await inside.shell("exit 3")).status == 3
    with pytest.raises(SandboxUnavailableError, match="nowhere"):
        await inside.start("true", workdir="/nowhere")
    places = inside.sandbox._places
    (places / f"{_number_of_nobody()}-left").mkdir()
    back_end._sweep(places)
    assert caplog.text.count("could not be deleted") == 3
    monkeypatch.undo()
    for place in places.iterdir():
        leftovers.discard(place)


async def test_a_home_that_was_given_is_taken(inside, tmp_path):
    (tmp_path / "given").mkdir()
    mount = Mount(tmp_path / "given", "/home/agent", writable=True)
    outcome = await inside.shell("echo kept > ~/file; pwd", more_mounts=(mount,))
    assert outcome.status == 0, outcome.stderr
    assert (tmp_path / "given" / "file").read_text() == "kept\n"


def test_a_kernel_that_is_too_old_is_told_from_which_on_it_works(tmp_path, monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 3)
    reasons = set(ContainedSandbox(tmp_path).probe().missing.values())
    assert ["Linux 6.7" in reason and "6.12" in reason for reason in reasons] == [True]


def test_signals_are_the_reason_that_processes_do_not_hold_before_linux_6_12():
    assert "Linux 6.12" in back_end._reasons(5)[Property.PROCESSES]
    assert Property.PROCESSES not in back_end._reasons(6)


async def test_a_floor_with_the_network_is_refused_with_the_reason(inside):
    with pytest.raises(SandboxUnavailableError, match=r"lacks `network`(?s:.)*any other address"):
        await inside.start("true", network=Network.LISTENER, floor=frozenset({Property.NETWORK}))
