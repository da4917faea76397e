"""What every back end promises, isolating or not."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from pathlib import Path

import pytest

from swarmworks.base.errors import SandboxUnavailableError, UsageError
from swarmworks.domain.isolation import Property
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Network, ProcessLimits
from tests.sandbox.playground import PYTHON, host_processes_with, python_argv

pytestmark = pytest.mark.sandbox


async def test_streams_and_exit_status_arrive(any_playground):
    process = await any_playground.start("/bin/sh", "-c", "read line; echo got $line; echo bad >&2; exit 7")
    process.stdin.write(b"hello\n")
    process.stdin.close()
    assert await process.wait() == 7
    assert await process.stdout.read() == b"got hello\n"
    assert await process.stderr.read() == b"bad\n"


async def test_a_signal_is_reported_as_128_and_its_number(any_playground):
    assert (await any_playground.shell("kill -TERM $$")).status == 143


async def test_a_program_that_is_not_there_is_127_and_not_the_sandboxes_failure(any_playground):
    outcome = await any_playground.run("no-such-program")
    assert outcome.status == 127
    assert "no-such-program" in outcome.stderr


@pytest.mark.parametrize("argv", [(), ("echo", "a\0b")])
async def test_a_command_no_kernel_could_run_is_the_callers_mistake(any_playground, argv):
    with pytest.raises(UsageError):
        await any_playground.start(*argv)


async def test_words_that_are_no_text_arrive_as_they_are(any_playground):
    word = os.fsdecode(b"\xff\xfe")
    process = await any_playground.start("/bin/sh", "-c", 'printf %s "$1$X"', "sh", word, environment={"X": word})
    await process.wait()
    assert await process.stdout.read() == b"\xff\xfe" * 2


async def test_a_setup_that_fails_is_the_sandboxes_failure_and_not_an_exit_status(any_playground):
    with pytest.raises(SandboxUnavailableError, match="nowhere"):
        await any_playground.start("true", workdir="/nowhere")


async def test_a_working_copy_is_written_and_readable_outside(any_playground):
    (any_playground.copy / "given").write_text("from outside")
    outcome = await any_playground.shell("cat given; echo made > made")
    assert outcome.stdout == "from outside"
    assert (any_playground.copy / "made").read_text() == "made\n"


async def test_only_the_given_variables_are_there(any_playground, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cr3t")
    outcome = await any_playground.shell("env", environment={"GIVEN": "yes"})
    names = {line.partition("=")[0] for line in outcome.stdout.splitlines()}
    assert "GIVEN=yes" in outcome.stdout
    assert names - {"TMPDIR"} <= {"GIVEN", "PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}


async def test_no_descriptor_of_the_worker_is_open_inside(any_playground):
    with socket.socket() as held:
        os.set_inheritable(held.fileno(), True)
        outcome = await any_playground.shell("exec ls /proc/self/fd")
    assert set(outcome.stdout.split()) <= {"0", "1", "2", "3"}  # 3 is the directory ls reads


async def test_a_daemon_left_behind_by_a_double_fork_is_gone_when_wait_returns(any_playground):
    mark = str(300_000 + uuid.uuid4().int % 100_000)
    outcome = await any_playground.shell(f"(setsid sh -c 'setsid sleep {mark} >/dev/null 2>&1 &' &); sleep 0.2; exit 3")
    assert outcome.status == 3
    assert host_processes_with(mark) == []


async def test_kill_ends_the_whole_tree_and_wait_returns(any_playground):
    mark = str(400_000 + uuid.uuid4().int % 100_000)
    script = f"trap '' TERM INT HUP; setsid sleep {mark} & echo up; sleep {mark}"
    process = await any_playground.start("/bin/sh", "-c", script)
    assert await process.stdout.readline() == b"up\n"
    assert process.memory_bytes() > 0
    process.kill()
    process.kill()
    assert await process.wait() == 137
    assert host_processes_with(mark) == []
    assert process.memory_bytes() == 0
    process.kill()


async def test_a_port_inside_can_be_used_again_at_once(any_playground, unused_port):
    for _ in range(2):
        async with any_playground.running("true", network=Network.LISTENER, listener_port=unused_port) as process:
            process.listener.close()


@pytest.mark.parametrize("stream", [1, 2])
async def test_endless_output_is_cut_and_ends_the_tree_though_nobody_reads(any_playground, stream):
    process = await any_playground.start(
        "/bin/sh", "-c", f"while :; do echo 0123456789; done >&{stream}", limits=ProcessLimits(output_bytes=200_000)
    )
    async with asyncio.timeout(20):
        assert await process.wait() == 137
    kept = await (process.stdout if stream == 1 else process.stderr).read()
    assert len(kept) == 200_000


async def test_the_listener_inside_arrives_at_the_worker(any_playground, unused_port):
    script = (
        f"import socket; s = socket.create_connection(('127.0.0.1', {unused_port})); s.sendall(b'ping'); "
        "print(s.recv(4).decode(), end='')"
    )
    process = await any_playground.start(
        *python_argv(script),
        more_mounts=python_mounts(Path(PYTHON)),
        network=Network.LISTENER,
        listener_port=unused_port,
    )

    async def answer(reader, writer):
        assert await reader.readexactly(4) == b"ping"
        writer.write(b"pong")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, sock=process.listener):
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    assert await process.stdout.read() == b"pong"


async def test_limits_hold_inside(any_playground):
    limits = ProcessLimits(open_files=77, file_bytes=5000, memory_bytes=256 << 20)
    outcome = await any_playground.shell(
        "ulimit -n; ulimit -c; head -c 9000 /dev/zero > big; wc -c < big", limits=limits
    )
    assert outcome.stdout.split() == ["77", "0", "5000"]


async def test_a_memory_hog_fails_at_its_limit(any_playground):
    outcome = await any_playground.python("bytearray(400 << 20)", limits=ProcessLimits(memory_bytes=200 << 20))
    assert outcome.status == 1
    assert "MemoryError" in outcome.stderr


async def test_memory_of_many_processes_is_summed(any_playground):
    script = (
        "import os, time\nchildren = [os.fork() for _ in range(2)]\nheld = bytearray(os.urandom(40 << 20))\n"
        "os.write(1, b'x')\ntime.sleep(60)"
    )
    async with any_playground.running(*python_argv(script), more_mounts=python_mounts(Path(PYTHON))) as process:
        await process.stdout.readexactly(4)
        assert 160 << 20 < process.memory_bytes() < 240 << 20


async def test_sigpipe_is_what_programs_expect(any_playground):
    assert (await any_playground.shell("yes | head -1")).stdout == "y\n"


async def test_a_floor_that_does_not_hold_is_refused_by_name(any_playground):
    missing = any_playground.sandbox.probe().missing
    assert set(missing) | any_playground.sandbox.probe().properties == set(Property)
    for name in (Property.EXEC, Property.NOEXEC):  # what nobody asked for holds nowhere
        with pytest.raises(SandboxUnavailableError, match=f"`{name}`"):
            await any_playground.start("true", floor=frozenset({name}))
    with pytest.raises(SandboxUnavailableError, match="`network`"):
        await any_playground.start("true", floor=frozenset({Property.NETWORK}), network=Network.HOST)


async def test_cancelling_wait_leaves_the_program_running(any_playground):
    async with any_playground.running("/bin/sh", "-c", "read x; exit 5") as process:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.01)
        process.stdin.write(b"\n")
        assert await process.wait() == 5


async def test_many_starts_leak_nothing(any_playground):
    await any_playground.shell("true")
    fds = _descriptor_count()
    for _ in range(5):
        await asyncio.gather(*(any_playground.run("true") for _ in range(4)))
    assert _descriptor_count() == fds
    mounts = _mounts()
    assert str(any_playground.directory) not in mounts
    assert " - tmpfs stage " not in mounts


def _descriptor_count():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _mounts():
    return Path("/proc/self/mountinfo").read_text()
