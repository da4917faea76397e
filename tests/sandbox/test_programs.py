"""The allowlist: what an agent needs goes on working, and what was not named is not there."""

from __future__ import annotations

import shutil

import pytest

from swarmworks.domain.isolation import Property
from swarmworks.sandbox.protocol import Mount
from tests.sandbox.playground import PYTHON

pytestmark = pytest.mark.sandbox


async def test_only_what_was_named_is_there(playground):
    outcome = await playground.shell("ls /usr/bin /usr/sbin; touch new", programs=("sh", "ls"))
    assert outcome.stdout.split() == ["/usr/bin:", "ls", "sh", "/usr/sbin:"]
    assert "touch: not found" in outcome.stderr


async def test_a_program_of_the_system_may_be_named_by_its_path(playground):
    outcome = await playground.run("/usr/bin/env", "/bin/uname", programs=("/usr/bin/env", "/bin/uname"))
    assert outcome.stdout == "Linux\n", outcome.stderr


async def test_git_works_with_all_its_helpers(playground):
    script = "git init -q . && git add -A && git -c user.name=x -c user.email=x@x commit -qm x --allow-empty && git log --format=%s"
    outcome = await playground.shell(script, programs=("sh", "git"), noexec=True)
    assert (outcome.stdout, outcome.status) == ("x\n", 0), outcome.stderr


async def test_a_python_of_the_host_runs_its_libraries(playground):
    script = "import ssl, sqlite3, ctypes, subprocess, multiprocessing; print(subprocess.run(['true']).returncode)"
    outcome = await playground.python(script, programs=(PYTHON, "true"), noexec=True)
    assert outcome.stdout == "0\n", outcome.stderr


async def test_a_folder_of_tools_may_be_run_and_nothing_beside_it(playground, tmp_path):
    for name in ("tools/bin", "others"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "say").write_text("#!/bin/sh\necho said\n")
        (tmp_path / name / "say").chmod(0o755)
    mounts = (Mount(tmp_path / "tools", "/opt/tools"), Mount(tmp_path / "others", "/opt/others"))
    outcome = await playground.shell(
        "/opt/tools/bin/say; cat /opt/others/say; /opt/others/say",
        programs=("sh", "cat", "/opt/tools"),
        more_mounts=mounts,
    )
    assert outcome.stdout == "said\n#!/bin/sh\necho said\n"
    assert outcome.status == 126


async def test_tools_shown_below_tmp_run_although_nothing_written_there_does(playground, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "say").write_text("#!/bin/sh\necho said\n")
    (tools / "say").chmod(0o755)
    script = "cp /tmp/tools/say /tmp/own; /tmp/tools/say; /tmp/own"
    mounts = (Mount(tools, "/tmp/tools"),)
    outcome = await playground.shell(script, programs=("sh", "cp", "/tmp/tools"), more_mounts=mounts)
    assert (outcome.stdout, outcome.status) == ("said\n", 126), outcome.stderr


async def test_what_was_written_runs_from_the_copy_unless_that_is_noexec(playground):
    script = "printf '#!/bin/sh\\necho ran\\n' > own; chmod +x own; ./own; cp own /tmp/own; /tmp/own"
    assert (await playground.shell(script, programs=("sh", "chmod", "cp"))).stdout == "ran\n"
    strict = await playground.shell(script, programs=("sh", "chmod", "cp"), noexec=True)
    assert (strict.stdout, strict.status) == ("", 126)


async def test_without_an_allowlist_everything_runs_but_for_what_was_written_where_it_is_noexec(playground):
    script = "printf '#!/bin/sh\\necho ran\\n' > own; chmod +x own; ./own; uname"
    outcome = await playground.shell(script, noexec=True)
    assert outcome.stdout == "Linux\n"


@pytest.mark.skipif(shutil.which("java") is None, reason="needs a program that lies in a folder of its own")
async def test_a_program_with_a_folder_of_its_own_finds_what_lies_beside_it(playground):
    outcome = await playground.run("java", "-version", programs=("java",))
    assert outcome.status == 0, outcome.stderr
    outcome = await playground.shell("cat /usr/lib/jvm/*/bin/java", programs=("sh", "cat"))
    assert outcome.stdout == ""


async def test_a_process_says_what_held_around_it(playground):
    async with playground.running("sleep", "60") as process:
        assert process.held == frozenset(Property) - {Property.EXEC, Property.NOEXEC}
    async with playground.running("sleep", "60", programs=("sleep",), noexec=True) as process:
        assert process.held == frozenset(Property)


async def test_the_anchor_is_neither_seen_nor_reached(playground):
    outcome = await playground.shell(
        "cat /.anchor/sh /proc/2/environ; cat /proc/2/fd/0; kill -9 2 1; readlink /proc/2/exe; echo end"
    )
    assert outcome.stdout == "end\n"
