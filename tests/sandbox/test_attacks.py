# ruff: noqa: ASYNC220, ASYNC240 -- these tests look at the host between awaits, one at a time
"""What a hostile program tries, inside; whether it worked is judged outside. Listed by the property that stops it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import platform
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from swarmworks.sandbox.interpreter import python_mounts
from swarmworks.sandbox.protocol import Mount, Network, ProcessLimits
from swarmworks.sandbox.syscalls import AARCH64, X86_64
from tests.sandbox.playground import PYTHON, python_argv

pytestmark = pytest.mark.sandbox

NUMBERS = AARCH64 if platform.machine() == "aarch64" else X86_64
SECRET = "s3cr3t-of-the-host"


def test_everything_holds_here(bubblewrap):
    assert bubblewrap.probe().missing == {}


# --- files


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "outside" / "id_rsa"
    path.parent.mkdir()
    path.write_text(SECRET)
    path.parent.chmod(0o777)
    path.chmod(0o666)
    return path


async def test_secrets_of_the_host_cannot_be_read(playground, secret):
    (playground.copy / "link").symlink_to(secret.parent)
    outcome = await playground.shell(
        f"cat {secret} link/id_rsa /work/../{secret} /proc/1/root{secret} /proc/1/cwd/../..{secret} "
        "/etc/shadow /etc/gshadow /root/.ssh/* /home/*/.ssh/* /var/lib/dpkg/status /sys/kernel/notes; ls -a /home /root"
    )
    assert SECRET not in outcome.stdout
    assert outcome.stdout.split() == ["/home:", ".", "..", "agent"]


async def test_nothing_outside_the_writable_mounts_can_be_written(playground, secret):
    (playground.copy / "link").symlink_to(secret.parent)
    (playground.copy / "file").symlink_to(secret)
    outcome = await playground.shell(
        f"for target in {secret} file link/new {secret.parent}/new /usr/new /etc/new /new /dev/new /etc/passwd /run/new "
        "/var/new /proc/sys/kernel/core_pattern /proc/sysrq-trigger /proc/sys/vm/drop_caches; do "
        'echo broken 2>/dev/null > "$target" && echo "$target"; done; mkdir /etc/dir /usr/local/dir; ln /etc/passwd hard'
    )
    assert outcome.stdout == ""
    assert secret.read_text() == SECRET
    assert [path.name for path in secret.parent.iterdir()] == ["id_rsa"]
    assert not (playground.copy / "hard").exists()


async def test_a_read_only_mount_cannot_be_written(playground, secret):
    outcome = await playground.shell(
        "cat /given/id_rsa; echo broken > /given/id_rsa; echo broken > /given/new; rm -f /given/id_rsa; mv /given /away",
        more_mounts=(Mount(secret.parent, "/given"),),
    )
    assert outcome.stdout == SECRET
    assert secret.read_text() == SECRET
    assert [path.name for path in secret.parent.iterdir()] == ["id_rsa"]


async def test_temporary_files_are_private_and_bounded(playground):
    limits = ProcessLimits(file_bytes=1 << 20)
    outcome = await playground.shell(
        "for n in 1 2 3 4; do head -c 600000 /dev/zero > /tmp/$n || true; head -c 600000 /dev/zero > /dev/shm/$n || true; "
        "done; cat /tmp/* | wc -c; cat /dev/shm/* | wc -c",
        limits=limits,
    )
    assert [int(size) <= 1 << 20 for size in outcome.stdout.split()] == [True, True]
    assert (await playground.shell("ls -A /tmp /dev/shm $HOME")).stdout.count("\n") == len(["", "", "", "", ""])


async def test_no_device_can_be_made(playground):
    outcome = await playground.shell("mknod sda b 8 0; mknod mem c 1 1; ls /dev")
    assert not set(outcome.stdout.split()) & {"sda", "vda", "mem", "kmsg", "fuse", "kvm"}
    assert list(playground.copy.iterdir()) == []


# --- protected


async def test_protected_files_survive_writing_replacing_and_renamed_parents(playground):
    kept = ["AGENTS.md", ".git/hooks/pre-commit", "a/b/c/settings.json", "ci/build.yml", "ci/deep/gate.yml"]
    for name in kept:
        (playground.copy / name).parent.mkdir(parents=True, exist_ok=True)
        (playground.copy / name).write_text("kept")
    protected = ("AGENTS.md", ".git/hooks", "/work/a/b/c/settings.json", "/work/ci")
    script = "\n".join(
        f"echo broken > {name}; rm -f {name}; echo broken > new; mv -f new {name}; ln -f new {name}; chmod 777 {name}; "
        f"ln {name} alias && echo broken > alias; rm -f alias new"
        for name in kept
    )
    script += "\nmv .git moved; mv a moved; mv a/b moved; mv a/b/c moved; mv ci moved; rm -rf a .git ci; mkdir -p moved"
    script += "\necho fine > free; echo fine > a/b/free; echo fine > .git/free; mv a/b/free a/b/renamed"
    await playground.shell(script, protected=protected)
    assert [(playground.copy / name).read_text() for name in kept] == ["kept"] * len(kept)
    assert (playground.copy / "a/b/renamed").read_text() == "fine\n"
    assert (playground.copy / ".git/free").exists()
    assert (playground.copy / "free").exists()


async def test_a_protected_link_protects_what_it_leads_to_and_never_leads_out(playground, secret):
    (playground.copy / "AGENTS.md").write_text("kept")
    (playground.copy / "CLAUDE.md").symlink_to("AGENTS.md")
    (playground.copy / "out").symlink_to(secret)
    outcome = await playground.shell(
        "echo broken > AGENTS.md; echo broken > CLAUDE.md; cat out",
        protected=("CLAUDE.md", "out", "missing", "../etc/passwd"),
    )
    assert SECRET not in outcome.stdout
    assert (playground.copy / "AGENTS.md").read_text() == "kept"
    assert secret.read_text() == SECRET


async def test_a_whole_mount_can_be_protected(playground):
    (playground.copy / "file").write_text("kept")
    await playground.shell("echo broken > file; echo broken > new", protected=("/work",))
    assert [path.read_text() for path in playground.copy.iterdir()] == ["kept"]


# --- network


def _host_addresses():
    return ["127.0.0.1", *(a.address for n in psutil.net_if_addrs().values() for a in n if a.family == socket.AF_INET)]


@pytest.mark.parametrize("network", [Network.NONE, Network.LISTENER])
async def test_no_socket_of_the_host_is_reached(playground, network):
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("", 0))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0swarmworks-{os.getpid()}")
        abstract.listen()
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o777)
        named = stack.enter_context(socket.socket(socket.AF_UNIX))
        named.bind(str(directory / "docker.sock"))
        (directory / "docker.sock").chmod(0o777)
        named.listen()
        script = f"""
import socket
for address in {_host_addresses()}:
    for kind, port in ((socket.SOCK_STREAM, {tcp.getsockname()[1]}), (socket.SOCK_DGRAM, {udp.getsockname()[1]})):
        try:
            s = socket.socket(socket.AF_INET, kind)
            s.settimeout(2)
            s.connect((address, port))
            s.send(b"out")
            print("reached" if kind == socket.SOCK_STREAM else "sent")
        except OSError: pass
for name in ("\\0swarmworks-{os.getpid()}", "{directory}/docker.sock"):
    try:
        socket.socket(socket.AF_UNIX).connect(name)
        print("reached", repr(name))
    except OSError: pass
try:
    print("reached", socket.getaddrinfo("example.org", 80))
except OSError: pass
"""
        outcome = await playground.python(script, network=network)
        assert (outcome.status, outcome.stderr) == (0, "")
        assert "reached" not in outcome.stdout
        for listening in (tcp, abstract, named):
            listening.setblocking(False)
            with pytest.raises(BlockingIOError):
                listening.accept()
        udp.setblocking(False)
        with pytest.raises(BlockingIOError):
            udp.recv(16)


async def test_two_sandboxes_do_not_share_their_listener(playground, unused_port):
    options = {"network": Network.LISTENER, "listener_port": unused_port}
    async with playground.running("sleep", "60", **options) as one, playground.running("sleep", "60", **options) as two:
        listeners = one.listener, two.listener
        outcome = await playground.python(
            f"import socket; socket.create_connection(('127.0.0.1', {unused_port}))", network=Network.NONE
        )
        assert outcome.status == 1
        for listener in listeners:
            with pytest.raises(BlockingIOError):
                listener.accept()
            listener.close()


async def test_the_hosts_network_is_there_when_it_is_asked_for(playground):
    with socket.create_server(("127.0.0.1", 0)) as server:
        outcome = await playground.python(
            f"import socket; socket.create_connection({server.getsockname()})", network=Network.HOST
        )
        assert (outcome.status, outcome.stderr) == (0, "")
        server.accept()[0].close()


FOREIGN_SOCKETS = {
    "vsock": (40, 1, 0),
    "packet": (17, 3, 0),
    "alg": (38, 5, 0),
    "raw": (2, 3, 1),
    "raw6": (10, 3, 58),
    "icmp": (2, 2, 1),
    "sctp": (2, 1, 132),
    "netfilter": (16, 3, 12),
    "uevent": (16, 2, 15),
    "bluetooth": (31, 3, 0),
    "unix_raw_netlink_audit": (16, 3, 9),
}


async def test_sockets_of_other_families_are_refused(playground):
    outcome = await playground.python(f"""
import socket
for name, arguments in {FOREIGN_SOCKETS}.items():
    try:
        socket.socket(*arguments)
        print(name)
    except OSError: pass
for arguments in ((1, 1), (1, 2), (2, 1), (2, 2), (10, 1), (2, 1, 6), (2, 2, 17), (16, 3, 0), (2, 1 | 0o2000000, 0)):
    socket.socket(*arguments).close()
socket.socketpair()
""")
    assert (outcome.stdout, outcome.stderr) == ("", "")


# --- system calls

REFUSED = {
    "mount": '(b"none", b"/tmp", b"tmpfs", 0, 0)',
    "umount2": '(b"/proc", 2)',
    "pivot_root": '(b"/", b"/tmp")',
    "chroot": '(b"/tmp",)',
    "fsopen": '(b"tmpfs", 0)',
    "open_tree": '(-100, b"/", 1)',
    "move_mount": '(-100, b"/", -100, b"/tmp", 0)',
    "mount_setattr": '(-100, b"/", 0, 0, 0)',
    "setns": "(0, 0)",
    "keyctl": "(0, -3, 0)",
    "add_key": '(b"user", b"k", b"v", 1, -3)',
    "request_key": '(b"user", b"k", 0, 0)',
    "bpf": "(0, 0, 0)",
    "io_uring_setup": "(1, bytes(256))",
    "io_uring_enter": "(0, 0, 0, 0, 0, 0)",
    "userfaultfd": "(1,)",
    "perf_event_open": "(bytes(128), 0, -1, -1, 0)",
    "name_to_handle_at": '(-100, b"/", 0, 0, 0)',
    "open_by_handle_at": "(0, 0, 0)",
    "ptrace": "(0, 0, 0, 0)",
    "process_vm_readv": "(1, 0, 0, 0, 0, 0)",
    "process_vm_writev": "(1, 0, 0, 0, 0, 0)",
    "pidfd_getfd": "(0, 0, 0)",
    "kcmp": "(1, 2, 0, 0, 0)",
    "kexec_load": "(0, 0, 0, 0)",
    "finit_module": '(0, b"", 0)',
    "reboot": "(0, 0, 0)",
    "sethostname": '(b"x", 1)',
    "swapon": '(b"/work/x", 0)',
    "fanotify_init": "(0, 0)",
    "syslog": "(2, 0, 0)",
    "memfd_secret": "(0,)",
}
NAMESPACES = {
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}


async def test_system_calls_that_escapes_are_made_of_are_refused(playground):
    calls = "\n".join(
        f"attempt({name!r}, {errno.EPERM}, {NUMBERS[name]}, *{arguments})" for name, arguments in REFUSED.items()
    )
    spaces = "\n".join(
        f"attempt('unshare {name}', {errno.EPERM}, {NUMBERS['unshare']}, {flag})\n"
        f"attempt('clone {name}', {errno.EPERM}, {NUMBERS['clone']}, {flag | 17}, 0, 0, 0, 0)"
        for name, flag in NAMESPACES.items()
    )
    outcome = await playground.python(f"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, expected, number, *arguments):
    result = libc.syscall(number, *arguments)
    if result == 0 and name.startswith("clone"): os._exit(0)
    if result != -1 or ctypes.get_errno() != expected: print(name, result, os.strerror(ctypes.get_errno()))
{calls}
{spaces}
attempt("unshare time", {errno.EPERM}, {NUMBERS["unshare"]}, 0x80)
attempt("clone3", {errno.ENOSYS}, {NUMBERS["clone3"]}, bytes(88), 88)
attempt("tiocsti", {errno.EPERM}, {NUMBERS["ioctl"]}, 0, 0x5412, b"x")
if {platform.machine() == "x86_64"}:
    attempt("x32 getpid", {errno.ENOSYS}, 0x40000000 + 39)
""")
    assert (outcome.stdout, outcome.stderr) == ("", "")


async def test_threads_and_processes_still_work_below_the_filter(playground):
    outcome = await playground.python(
        "import subprocess, threading\n"
        "t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n"
        "print(subprocess.run(['true']).returncode)"
    )
    assert outcome.stdout.split() == ["thread", "0"]


async def test_setuid_programs_gain_nothing(playground):
    outcome = await playground.shell("grep -E 'NoNewPrivs|CapEff|CapPrm|Seccomp:' /proc/self/status")
    assert [line.split()[1] for line in outcome.stdout.splitlines()] == ["0" * 16, "0" * 16, "1", "2"]


# --- processes


async def test_processes_of_the_host_are_neither_seen_nor_reached(playground):
    uid = playground.copy.stat().st_uid if os.geteuid() else playground.sandbox._uid
    identity = {"user": uid, "group": uid, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["/bin/sleep", "60"], env={"TOKEN": SECRET}, **identity) as canary:
        outcome = await playground.shell(
            f"cat /proc/{canary.pid}/environ /proc/*/environ; kill -9 {canary.pid} {os.getpid()}; kill -9 -1; ls /proc"
        )
        assert SECRET not in outcome.stdout
        assert canary.poll() is None
        canary.kill()
    outcome = await playground.shell("echo /proc/[0-9]*")
    assert len(outcome.stdout.split()) <= 3  # bubblewrap, the anchor, the shell itself


async def test_a_program_inside_is_an_ordinary_user_of_the_host(playground):
    async with playground.running("sleep", "60") as process:
        inside = psutil.Process(process.pid).children(recursive=True)
        assert inside
        assert 0 not in {uid for child in inside for uid in child.uids()}


async def test_a_fork_bomb_stays_within_its_limit_and_ends_with_the_sandbox(playground):
    script = "import os\nwhile True:\n    try: os.fork()\n    except OSError: os.write(1, b'full')"
    async with playground.running(
        *python_argv(script), more_mounts=python_mounts(Path(PYTHON)), limits=ProcessLimits(processes=40)
    ) as process:
        await process.stdout.readexactly(4)
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert len(descendants) <= 40
        process.kill()
        assert await process.wait() == 137
        assert not [child for child in descendants if child.is_running() and child.status() != "zombie"]


async def test_sandboxes_of_one_uid_do_not_eat_each_others_process_limit(playground):
    script = "for n in $(seq 25); do sleep 60 & done; echo up; wait"
    limits = ProcessLimits(processes=40)
    async with (
        playground.running("/bin/sh", "-c", script, limits=limits) as one,
        playground.running("/bin/sh", "-c", script, limits=limits) as two,
    ):
        for process in (one, two):
            async with asyncio.timeout(20):
                assert await process.stdout.readline() == b"up\n"


# --- the worker's end


STARTER = """
import asyncio, sys
from pathlib import Path
from swarmworks.sandbox.bubblewrap import BubblewrapSandbox
from swarmworks.sandbox.none import NoSandbox
from swarmworks.sandbox.protocol import SandboxSpec
async def main():
    sandbox = {"bubblewrap": BubblewrapSandbox, "none": NoSandbox}[sys.argv[1]](Path(sys.argv[2]))
    script = "setsid sleep 600 & sleep 600 & echo up; wait"
    process = await sandbox.start(SandboxSpec(argv=("/bin/sh", "-c", script), workdir="/"))
    print((await process.stdout.readline()).decode(), flush=True)
    await process.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("backend", ["bubblewrap", "none"])
def test_a_worker_killed_with_9_takes_its_sandboxes_along(bubblewrap, tmp_path, backend):
    command = [sys.executable, "-c", STARTER, backend, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True) as worker:
        try:
            assert worker.stdout.readline() == b"up\n"
            inside = psutil.Process(worker.pid).children(recursive=True)
            assert len(inside) >= 3
        finally:
            worker.kill()
        _, alive = psutil.wait_procs(inside, timeout=10)
        assert alive == []
