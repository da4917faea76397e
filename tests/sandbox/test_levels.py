"""Every attack at every level this machine can reach, and the table in docs/sandbox.md, which says what each one stops."""

from __future__ import annotations

import _ctypes
import asyncio
import contextlib
import os
import platform
import pty
import shutil
import socket
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from swarmworks.domain.isolation import LEVELS, Property, level_of
from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.contained import ContainedSandbox
from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.none import NoSandbox, free_port
from swarmworks.sandbox.protocol import Network, ProcessLimits
from tests.sandbox import attacks
from tests.sandbox.playground import PYTHON, Playground, host_processes_with, python_argv
from tests.sandbox.results import left_by
from tests.sandbox.table import PAGE, parts, table

pytestmark = pytest.mark.sandbox

CEILING = 8 << 20


class WithoutLandlock(BubblewrapSandbox):
    """What a kernel without Landlock leaves."""

    _landlock = False


ASKED = {
    "strict": {"programs": attacks.ALLOWED, "noexec": True},
    "full": {"programs": attacks.ALLOWED},
    "namespaces": {},
    "contained": {"programs": attacks.ALLOWED},
    "none": {},
}


@pytest.fixture(scope="module", params=LEVELS)
def level(request):
    return request.param


@pytest.fixture
def ground(level, bubblewrap, tmp_path, tmp_path_factory):
    if level == "contained" and os.geteuid() == 0:
        pytest.skip("the back end contained is for ordinary users: test_started_as_a_user runs this as one")
    state = tmp_path_factory.mktemp("state")
    sandbox = {
        "strict": lambda: bubblewrap,
        "full": lambda: bubblewrap,
        "namespaces": lambda: WithoutLandlock(state),
        "contained": lambda: ContainedSandbox(state),
        "none": lambda: NoSandbox(state),
    }[level]()
    return Playground(sandbox, tmp_path)


async def test_a_level_holds_what_its_name_says(level, ground):
    async with ground.running("sleep", "60", **ASKED[level]) as process:
        assert level_of(process.held) == level


def test_every_name_is_weaker_than_the_one_before_and_the_first_is_everything():
    assert LEVELS["strict"] == frozenset(Property)
    assert [level_of(held) for held in LEVELS.values()] == list(LEVELS)
    assert level_of(frozenset()) == ""


async def test_the_attacks_are_stopped_as_the_table_says(level, ground, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", attacks.SECRET)
    through = await _attacked(ground, level) | await _exhausted(ground, level) | await left_by(ground, level)
    said_to_be_stopped = {title for title in attacks.TITLES if attacks.is_stopped(title, level)}
    assert through & said_to_be_stopped == set()
    missed = set(attacks.TITLES) - said_to_be_stopped - through - attacks.DEPENDING
    assert missed == set(), "more is stopped than the table says"


def test_the_page_has_the_table_of_the_attacks():
    assert parts(PAGE.read_text(encoding="utf-8"))[1] == table(), "python -m tests.sandbox.table writes it anew"


def test_the_strictest_level_stops_every_attack():
    assert all(attacks.is_stopped(title, "strict") for title in attacks.TITLES)


async def _attacked(ground: Playground, level: str) -> set[str]:
    """The titles of those that got through."""
    outside = ground.directory / "outside"
    outside.mkdir(mode=0o777)
    outside.chmod(0o777)
    _prepare(ground.copy, outside)
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        stack.enter_context(socket.create_server(("127.0.0.2", tcp.getsockname()[1])))
        port = free_port()
        stack.enter_context(socket.create_server(("127.0.0.2", port)))
        udp, dns = stack.enter_context(_datagrams()), stack.enter_context(_datagrams())
        name = f"swarmworks-{uuid.uuid4()}"
        for address in (f"\0{name}", str(outside / "docker.sock")):
            unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            unix.bind(address)
            unix.listen()
        log = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        log.bind(str(outside / "log.sock"))
        for place in ("docker.sock", "log.sock"):
            (outside / place).chmod(0o777)
        with _victim(ground) as victim:
            facts = {
                "OUTSIDE": str(outside),
                "SECRET": attacks.SECRET,
                "FORBIDDEN": attacks.FORBIDDEN,
                "LOADER": attacks.LOADER,
                "VICTIM": victim.pid,
                "TERMINAL": stack.enter_context(_terminal()),
                "LISTENER": port,
                "TCP": tcp.getsockname()[1],
                "UDP": udp.getsockname()[1],
                "DNS": dns.getsockname()[1],
                "ABSTRACT": name,
            }
            outcome = await _python(ground, level, attacks.batch(attacks.ATTACKS, facts), port)
        said = {line.removeprefix("got ") for line in outcome.stdout.splitlines()}
        proven = {path.name.removeprefix("proof-") for path in ground.copy.glob("proof-*")}
        through = {attack.title for attack in attacks.ATTACKS if attack.key in said | proven}
        through |= {title for title, arrived in ((attacks.DATAGRAM, udp), (attacks.QUERY, dns)) if _received(arrived)}
    assert outcome.status == 0, outcome.stderr
    return through


@contextlib.contextmanager
def _terminal():
    """The name of one of the user's."""
    ends = pty.openpty()
    try:
        yield os.ttyname(ends[1])
    finally:
        for end in ends:
            os.close(end)


def _datagrams() -> socket.socket:
    receiving = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiving.bind(("127.0.0.1", 0))
    receiving.setblocking(False)
    return receiving


def _received(receiving: socket.socket) -> bool:
    try:
        return bool(receiving.recv(64))
    except BlockingIOError:
        return False


def _prepare(copy: Path, outside: Path) -> None:
    (outside / ".ssh").mkdir(mode=0o777)
    (outside / ".ssh").chmod(0o777)
    (outside / ".ssh" / "id_rsa").write_text(attacks.SECRET)
    (outside / ".ssh" / "id_rsa").chmod(0o666)
    for folder in (".git/hooks", ".github"):
        (copy / folder).mkdir(parents=True)
    for name in ("AGENTS.md", ".mcp.json", ".git/config", ".github/ci.yml"):
        (copy / name).write_text("")
    shutil.copyfile(attacks.FORBIDDEN, copy / "given")
    shutil.copyfile(_some_library(), copy / "library")
    static = next(attack.key for attack in attacks.ATTACKS if "static" in attack.title)
    (copy / "static").write_bytes(attacks.static_program(f"proof-{static}"))


def _some_library() -> Path:
    """Any shared library that can be loaded by itself: an extension of the interpreter's."""
    return Path(_ctypes.__file__)


@contextlib.contextmanager
def _victim(ground: Playground):
    """A process of the host, of the very user that programs inside are."""
    identity = {}
    if os.geteuid() == 0 and (uid := getattr(ground.sandbox, "_uid", 0)):
        identity = {"user": uid, "group": uid, "extra_groups": []}
    variables = {"TOKEN": attacks.SECRET}
    with subprocess.Popen(["/bin/sleep", "600"], env=variables, **identity) as process:
        try:
            yield process
        finally:
            process.kill()


async def _python(ground: Playground, level: str, script: str, port: int):
    changes = {"protected": attacks.PROTECTED, **ASKED[level]}
    return await ground.python(script, network=Network.LISTENER, listener_port=port, timeout_s=60, **changes)


@contextlib.asynccontextmanager
async def _running(ground: Playground, level: str, script: str, limits: ProcessLimits):
    mounts = python_mounts(Path(PYTHON))
    async with ground.running(*python_argv(script), more_mounts=mounts, limits=limits, **ASKED[level]) as process:
        yield process


LIMITS = ProcessLimits(
    memory_bytes=200 << 20,
    tree_memory_bytes=120 << 20,
    disk_bytes=CEILING,
    file_bytes=CEILING,
    processes=40,
    output_bytes=100_000,
)
FORKING = "import os, time\nfor _ in range(60):\n    try:\n        if os.fork() == 0: time.sleep(60)\n    except OSError: break\nos.write(1, b'full'); time.sleep(60)"
HOGGING = "held = bytearray(300 << 20)\nprint('got')"
TOGETHER = """
import os, select, time
said, say = os.pipe()
first = os.getpid()
for _ in range(3):
    if os.getpid() == first: os.fork()
held = bytearray(os.urandom(1 << 20) * 60)
if os.getpid() != first:
    os.write(say, b"x"); time.sleep(60)
held_by = 0
while held_by < 3 and os.waitpid(-1, os.WNOHANG) == (0, 0):  # the kernel may have ended one of them
    if select.select([said], [], [], 0.1)[0]: held_by += len(os.read(said, 3))
time.sleep(4)
if held_by == 3: print("got")
"""
IN_FILES = """
import os, time
kept = [os.memfd_create("filler", 8) for _ in range(30)]
for fd in kept:
    for _ in range(7): os.write(fd, bytes(1 << 20))
    time.sleep(0.02)
time.sleep(4)
print('got')
"""
HIDING = "import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)"
OUTLIVING = f"""
import ctypes, os, threading, time
def go():
    held = bytearray(os.urandom(1 << 20) * 180)
    time.sleep(4)
    os.write(1, b"got")
threading.Thread(target=go).start()
ctypes.CDLL(None).syscall({93 if platform.machine() == "aarch64" else 60}, 0)
"""
PRINTING = "import os\nwhile True: os.write(1, bytes(4096))"
FILL = """
import os, time
def fill(place, count=6, *, named=True):
    kept = []
    for number in range(count):
        path = f"{place}/filler-{os.getpid()}-{number}"
        file = open(path, "wb", buffering=0)
        kept.append(file)
        if not named: os.unlink(path)
        for _ in range(7):
            file.write(bytes(1 << 20)); time.sleep(0.02)
    for file in kept:
        file.close()
        if named: os.unlink(file.name)
"""


async def _exhausted(ground: Playground, level: str) -> set[str]:
    forks, hog, together, in_files, hidden, outliving, printing = attacks.LIMITED
    tried = {
        hog: _said(ground, level, HOGGING),
        together: _said(ground, level, TOGETHER),
        in_files: _said(ground, level, IN_FILES),
        hidden: _said(ground, level, HIDING + IN_FILES),
        outliving: _said(ground, level, OUTLIVING),
        printing: _said(ground, level, PRINTING),
        attacks.FILLING[0]: _said(ground, level, f"{FILL}\nfill('.')\nprint('got')"),
        attacks.FILLING[1]: _said(ground, level, f"{FILL}\nfill('.', named=False)\nprint('got')"),
        attacks.FILLING[2]: _said(ground, level, f"{FILL}\nfill(os.environ.get('TMPDIR', '/tmp'))\nprint('got')"),
        attacks.FILLING[3]: _said(ground, level, f"{FILL}\nfill(os.environ['HOME'])\nprint('got')"),
        forks: _forked(ground, level),
        attacks.LEFT_BEHIND[0]: _left_behind(ground, level),
        attacks.LEFT_BEHIND[1]: _left_behind(ground, level, TAKING),
    }
    through = set()
    for title, attempt in tried.items():
        if await attempt:
            through.add(title)
    return through


async def _said(ground: Playground, level: str, script: str) -> bool:
    """Whether it got to its end."""
    for left in ground.copy.glob("filler-*"):
        left.unlink()
    async with _running(ground, level, script, LIMITS) as process:
        process.stdin.close()
        try:
            async with asyncio.timeout(20):
                await process.wait()
        except TimeoutError:
            return True
        return b"got" in await process.stdout.read()


async def _forked(ground: Playground, level: str) -> bool:
    async with _running(ground, level, FORKING, replace(LIMITS, tree_memory_bytes=4 << 30)) as process:
        await process.stdout.readexactly(4)
        return len(psutil.Process(process.pid).children(recursive=True)) > LIMITS.processes


TAKING = """
import resource
if os.getppid() > 1: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (0, 0))
"""


async def _left_behind(ground: Playground, level: str, then: str = "") -> bool:
    mark = str(600_000 + uuid.uuid4().int % 100_000)
    script = (
        "import os, time\n"
        f"if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: os.execv('{PYTHON}', ['{PYTHON}', '-ISc', "
        f"'import time; time.sleep({mark})', '{mark}'])\n    os._exit(0)\ntime.sleep(0.3)\n{then}"
    )
    async with _running(ground, level, script, replace(LIMITS, processes=512)) as process:
        await process.wait()
        return bool(host_processes_with(mark))
