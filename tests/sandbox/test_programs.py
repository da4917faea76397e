"""The allowlist: what an agent needs goes on working, and what was not named is not there."""

from __future__ import annotations

import _ctypes
import os
import shutil
from pathlib import Path

import pytest

from swarmworks.domain.isolation import Property
from swarmworks.sandbox import programs as looking
from swarmworks.sandbox.elf import loader_of, loaders
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


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    folder = tmp_path / "lib" / "python3" / "deep"
    folder.mkdir(parents=True)
    monkeypatch.setattr(looking, "_LIBRARY_FOLDERS", (str(tmp_path / "lib"),))
    monkeypatch.setattr(looking, "_found", looking._Found())
    return folder


def _program(path):
    shutil.copyfile("/bin/sh", path)
    path.chmod(0o755)
    return str(path)


def test_a_program_that_is_installed_later_among_the_libraries_is_masked_at_the_next_start(libraries):
    first = _program(libraries / "first")
    assert looking.allowed(("sh",)).masks == (first,)
    assert looking.allowed(("sh",)) is looking.allowed(("sh",))
    before = libraries.stat()
    second = _program(libraries / "second")
    os.utime(libraries, ns=(before.st_atime_ns, before.st_mtime_ns))  # as an unpacked archive leaves it
    assert set(looking.allowed(("sh",)).masks) == {first, second}


def test_a_program_that_is_removed_from_the_libraries_is_masked_no_more(libraries):
    first, second = _program(libraries / "first"), _program(libraries / "second")
    assert set(looking.allowed(("sh",)).masks) == {first, second}
    (libraries / "first").unlink()
    assert looking.allowed(("sh",)).masks == (second,)


def test_a_program_with_a_dot_in_its_name_is_masked_and_libraries_and_scripts_are_not(libraries):
    program = _program(libraries / "gtk-query-immodules-2.0")
    for name in ("libx.so", "libx.so.1", "libx.so.1.2"):
        _program(libraries / name)
    (libraries / "run.py").write_text("#!/bin/sh\n")
    (libraries / "run.py").chmod(0o755)
    shutil.copyfile(_ctypes.__file__, libraries / "plugin.0")
    (libraries / "plugin.0").chmod(0o755)
    (libraries / "led.1").symlink_to("/bin/sh")
    assert looking.allowed(("sh",)).masks == (program,)


def test_without_mounts_folders_with_programs_among_libraries_are_listed_and_what_else_lies_there_is_read(libraries):
    program = _program(libraries / "first")
    beside = libraries.parent / "beside"
    beside.mkdir()
    for path in (libraries / "libx.so", libraries.parent / "module.py", beside / "libz.so"):
        path.touch()
    (libraries / "led").symlink_to(program)
    (libraries / "out").symlink_to("/")
    found = looking.allowed(("sh",))
    assert set(found.listed) == {str(libraries), str(libraries.parent)}
    assert set(found.parts) - set(looking._WHOLE) == {
        *(str(libraries / "libx.so"), str(libraries.parent / "module.py"), str(beside))
    }
    (libraries / "liby.so").touch()
    assert str(libraries / "liby.so") in looking.allowed(("sh",)).parts


def _with_loader_at(place: Path, target: str) -> None:
    """A program of the system's that asks for a loader beside it, and that loader."""
    program = Path("/usr/bin/uname").read_bytes()
    loader = loader_of("/usr/bin/uname")
    new = f"{target}/ld.so".encode()
    assert len(new) <= len(loader)
    shutil.copy(loader, place / "ld.so")
    (place / "say").write_bytes(program.replace(loader.encode(), new.ljust(len(loader), b"\0"), 1))
    (place / "say").chmod(0o755)


async def test_a_program_runs_whose_loader_lies_in_a_mount(playground, tmp_path):
    (tmp_path / "tools").mkdir()
    _with_loader_at(tmp_path / "tools", "/opt/tools")
    mounts = (Mount(tmp_path / "tools", "/opt/tools"),)
    outcome = await playground.run("/opt/tools/say", programs=("/opt/tools/say",), more_mounts=mounts)
    assert (outcome.stdout, outcome.status) == ("Linux\n", 0), outcome.stderr


async def test_a_program_that_can_be_written_does_not_choose_what_else_may_run(playground, tmp_path):
    _with_loader_at(playground.copy, "/opt/tools")
    (playground.copy / "ld.so").unlink()
    (tmp_path / "tools").mkdir()
    shutil.copy(loader_of("/usr/bin/uname"), tmp_path / "tools" / "ld.so")
    mounts = (Mount(tmp_path / "tools", "/opt/tools"),)
    outcome = await playground.shell("/opt/tools/ld.so --version", programs=("sh", "/work/say"), more_mounts=mounts)
    assert outcome.status == 126, outcome.stdout


async def test_a_loader_that_is_named_by_a_way_up_is_not_allowed(playground, tmp_path):
    (tmp_path / "tools").mkdir()
    _with_loader_at(tmp_path / "tools", "/opt/t/../u")
    mounts = (Mount(tmp_path / "tools", "/opt/t"), Mount(tmp_path / "tools", "/opt/u"))
    outcome = await playground.run("/opt/u/ld.so", "--version", programs=("/opt/t/say",), more_mounts=mounts)
    assert outcome.status == 126, outcome.stdout
    shown = ["/opt/t", "/opt/u"]
    assert loaders([str(tmp_path / "tools" / "say")], shown) == []
    assert loaders(["/usr/bin/uname"], ["/lib", "/lib64"]) == [loader_of("/usr/bin/uname")]


def test_only_a_whole_program_names_its_loader(tmp_path):
    whole = Path("/usr/bin/uname").read_bytes()
    for name, content in (("script", b"#!/bin/sh\n"), ("empty", b""), ("head", whole[:64]), ("cut", whole[:100])):
        (tmp_path / name).write_bytes(content)
        assert loader_of(str(tmp_path / name)) == ""
    os.mkfifo(tmp_path / "pipe")
    assert loader_of(str(tmp_path / "pipe")) == loader_of(str(tmp_path)) == loader_of(str(tmp_path / "missing")) == ""
    assert loader_of("/usr/bin/uname").startswith("/lib")
