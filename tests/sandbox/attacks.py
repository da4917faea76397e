"""The attacks every level is held against: what each tries inside, and how it is seen outside, or told by its output, that it got
through. Most of them run one after another in one sandbox; those that end it have one of their own.
"""

from __future__ import annotations

import platform
import struct
from dataclasses import dataclass
from pathlib import Path

from swarmworks.domain.isolation import LEVELS, Property
from swarmworks.sandbox.syscalls import AARCH64, X86_64
from tests.sandbox.playground import PYTHON

NUMBERS = AARCH64 if platform.machine() == "aarch64" else X86_64
SECRET = "s3cr3t-of-the-host"
FORBIDDEN = "/usr/bin/touch"
LOADER = str(next(iter(sorted(Path("/lib64").glob("ld-linux-*"))), next(iter(sorted(Path("/lib").glob("ld-*"))), "")))
ALLOWED = (PYTHON, "sh", "env", "make", "git", "cp", "ln", "mv", "chmod", "cat")
PROTECTED = ("AGENTS.md", ".mcp.json", ".git/config", ".git/hooks", ".github")


@dataclass(frozen=True)
class Attack:
    """`body` is Python. It got through when a file `proof-KEY` lies in the copy afterwards, when it says so with `got()`, or
    when what it sent has arrived.
    `depends`: whether it gets through where nothing stops it depends on the machine.
    """

    title: str
    stopped_by: Property
    body: str
    depends: bool = False

    @property
    def key(self) -> str:
        return "".join(letter if letter.isalnum() else "_" for letter in self.title)


def _call(name: str, arguments: str) -> str:
    return f"got(libc.syscall({NUMBERS[name]}, {arguments}) >= 0)"


def _in_child(attempt: str) -> str:
    """What it does to itself stays with a process of its own."""
    return f"pid = os.fork()\nif pid == 0: os._exit({attempt})\ngot(os.waitpid(pid, 0)[1] != 0)"


def _run(words: str, **more: str) -> str:
    options = "".join(f", {name}={value}" for name, value in more.items())
    return f"subprocess.run({words}{options}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)"


def _sealed(source: str) -> str:
    """Into a file of memory that the kernel does not run; it knows such files since Linux 6.3."""
    return f"fd = os.memfd_create('x', 8); os.write(fd, open('{source}', 'rb').read()); "


def _send(what: str, port: str) -> str:
    return f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto({what}, ('127.0.0.1', {port}))"


P = Property
DATAGRAM, QUERY = "sends a datagram to the host", "asks a name server"
TERMINAL, MODE = "writes to another terminal", "changes the mode of a file outside its copy"
OTHER_ADDRESS = "connects to another address at the port of its listener"
ATTACKS = (
    Attack("reads a secret of the host", P.FILES, "got(SECRET in open(OUTSIDE + '/.ssh/id_rsa').read())"),
    Attack("reads it through a link", P.FILES, "os.symlink(OUTSIDE, 'way'); got(SECRET in open('way/.ssh/id_rsa').read())"),
    Attack("reads it through /proc/1/root", P.FILES, "got(SECRET in open('/proc/1/root' + OUTSIDE + '/.ssh/id_rsa').read())", True),
    Attack("reads the passwords of the host", P.FILES, "got(open('/etc/shadow').read())", True),
    Attack("writes outside its copy", P.FILES, "open(OUTSIDE + '/written', 'w').close(); got()"),
    Attack("writes through a link", P.FILES, "os.symlink(OUTSIDE, 'out'); open('out/linked', 'w').close(); got()"),
    Attack("writes through a hard link", P.FILES, "os.link(OUTSIDE + '/.ssh/id_rsa', 'hard'); open('hard', 'a').close(); got()"),
    Attack(TERMINAL, P.FILES, "os.write(os.open(TERMINAL, os.O_WRONLY | os.O_NOCTTY), b'x'); got()"),
    Attack(MODE, P.FILES, "os.chmod(OUTSIDE + '/.ssh/id_rsa', 0o666); got()"),
    Attack("reads a variable of the worker", P.ENVIRONMENT, "got(SECRET in str(os.environ))"),
    Attack("reads another process's environment", P.PROCESSES, "got(SECRET in open(f'/proc/{VICTIM}/environ').read())"),
    Attack("sees another process's command", P.PROCESSES, "got('sleep' in open(f'/proc/{VICTIM}/cmdline').read())"),
    Attack("signals another process", P.PROCESSES, "os.kill(VICTIM, 0); got()"),
    Attack("ends a process outside by its limits", P.PROCESSES, "import resource; resource.prlimit(VICTIM, resource.RLIMIT_CPU, (1, 1)); got()"),
    Attack("writes the agents' instructions", P.PROTECTED, "open('AGENTS.md', 'w').close(); got()"),
    Attack("replaces the MCP configuration", P.PROTECTED, "open('n', 'w').close(); os.replace('n', '.mcp.json'); got()"),
    Attack("writes .git/config", P.PROTECTED, "open('.git/config', 'a').close(); got()"),
    Attack("adds a git hook", P.PROTECTED, "open('.git/hooks/pre-commit', 'w').close(); got()"),
    Attack("moves .git away", P.PROTECTED, "os.rename('.git', 'gone'); os.rename('gone', '.git'); got()"),
    Attack("writes the continuous integration", P.PROTECTED, "open('.github/ci.yml', 'w').close(); got()"),
    Attack("runs a forbidden program", P.EXEC, _run("[FORBIDDEN, PROOF]")),
    Attack("runs it through sh", P.EXEC, _run("['sh', '-c', FORBIDDEN + ' ' + PROOF]")),
    Attack("runs it through Python", P.EXEC, "os.spawnv(os.P_WAIT, FORBIDDEN, [FORBIDDEN, PROOF])"),
    Attack("runs it through make", P.EXEC, "open('m', 'w').write('x:\\n\\t' + FORBIDDEN + ' ' + PROOF + '\\n'); " + _run("['make', '-f', 'm', 'x']"), True),
    Attack("runs it through env", P.EXEC, _run("['env', FORBIDDEN, PROOF]")),
    Attack("runs it through a git alias", P.EXEC, _run("['git', '-c', 'alias.x=!' + FORBIDDEN + ' ' + PROOF, 'x']")),
    Attack("runs a copy of it", P.EXEC, "shutil.copy(FORBIDDEN, 'copied'); os.chmod('copied', 0o755); " + _run("['./copied', PROOF]")),
    Attack("runs it through a link", P.EXEC, "os.symlink(FORBIDDEN, 'led'); " + _run("['./led', PROOF]")),
    Attack("runs it with the loader", P.EXEC, _run("[LOADER, FORBIDDEN, PROOF]")),
    Attack("runs it from memory", P.EXEC, "fd = os.memfd_create('x', 0); os.write(fd, open('given', 'rb').read()); " + _run("[f'/proc/self/fd/{fd}', PROOF]", pass_fds="(fd,)")),
    Attack("runs a program it wrote to /tmp", P.EXEC, "place = os.environ.get('TMPDIR', '/tmp') + f'/own-{os.getpid()}'; shutil.copy('given', place); os.chmod(place, 0o755); " + _run("[place, PROOF]") + "; os.unlink(place)"),
    Attack("runs a program it wrote", P.NOEXEC, "shutil.copy('given', 'own'); os.chmod('own', 0o755); " + _run("['./own', PROOF]")),
    Attack("runs a static program it wrote", P.NOEXEC, "shutil.copy('static', 'own2'); os.chmod('own2', 0o755); " + _run("['./own2']"), True),
    Attack("runs with the loader what it wrote", P.NOEXEC, "shutil.copy('given', 'own3'); " + _run("[LOADER, './own3', PROOF]")),
    Attack("loads a library it wrote", P.NOEXEC, "shutil.copy('library', 'own.so'); ctypes.CDLL('./own.so'); got()"),
    Attack("runs with the loader what it wrote to memory", P.NOEXEC, _sealed("given") + _run("[LOADER, f'/proc/self/fd/{fd}', PROOF]", pass_fds="(fd,)"), True),
    Attack("loads a library it wrote to memory", P.NOEXEC, _sealed("library") + "ctypes.CDLL(f'/proc/self/fd/{fd}'); got()", True),
    Attack("connects to a port of the host", P.NETWORK, "socket.create_connection(('127.0.0.1', TCP), 2); got()"),
    Attack("connects to another address of the host", P.NETWORK, "socket.create_connection(('127.0.0.2', TCP), 2); got()"),
    Attack(OTHER_ADDRESS, P.NETWORK, "socket.create_connection(('127.0.0.2', LISTENER), 2); got()"),
    Attack(DATAGRAM, P.NETWORK, _send("b'x'", "UDP")),
    Attack(QUERY, P.NETWORK, _send(r"b'\0\1\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1'", "DNS")),
    Attack("connects to an abstract socket", P.NETWORK, "socket.socket(socket.AF_UNIX).connect('\\0' + ABSTRACT); got()"),
    Attack("connects to a socket with a path", P.NETWORK, "socket.socket(socket.AF_UNIX).connect(OUTSIDE + '/docker.sock'); got()"),
    Attack("sends to a socket with a path from a pair", P.NETWORK, "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', OUTSIDE + '/log.sock'); got()"),
    Attack("opens a socket to a hypervisor", P.SYSCALLS, "socket.socket(40, 1, 0); got()", True),
    Attack("opens a raw socket", P.SYSCALLS, "socket.socket(2, 3, 1); got()", True),
    Attack("traces a process", P.SYSCALLS, _in_child(f"libc.syscall({NUMBERS['ptrace']}, 0, 0, 0, 0) == 0")),
    Attack("mounts", P.SYSCALLS, _in_child("libc.mount(b'none', b'.github', b'tmpfs', 0, 0) == 0 and libc.umount(b'.github') == 0"), True),
    Attack("makes a user namespace", P.SYSCALLS, _in_child("libc.unshare(0x10000000) == 0"), True),
    Attack("writes kernel settings", P.FILES, "open('/proc/sys/kernel/core_pattern', 'a').close(); got()", True),
    Attack("loads a BPF program", P.SYSCALLS, _call("bpf", "0, bytes([2,0,0,0,4,0,0,0,4,0,0,0,1,0,0,0]) + bytes(104), 120"), True),
    Attack("sets up io_uring", P.SYSCALLS, _call("io_uring_setup", "1, ctypes.create_string_buffer(256)"), True),
    Attack("joins a keyring", P.SYSCALLS, _call("keyctl", "1, 0"), True),
)  # fmt: skip

LIMITED = (
    *("forks without end", "fills the memory", "fills the memory with many processes"),
    *("fills the memory with files of memory", "fills the memory with files of memory and hides them"),
    *("fills the memory from a thread that outlives the first", "prints without end"),
)
FILLING = (
    *("fills the disk in its copy", "fills the disk with a file that has no name"),
    *("fills the disk in /tmp", "fills the disk in its home"),
)
LEFT_BEHIND = ("leaves a daemon behind", "leaves a daemon behind after taking the launcher's descriptors")
RESULTS = (
    "leaves a link to a secret as its result",
    "leaves a setuid program as its result",
    "leaves a pipe and a device as its result",
    "leaves a repository that runs code when git looks at it",
)
"""For the host to be caught by; no sandbox is needed to be safe from them."""
DEPENDING = frozenset({attack.title for attack in ATTACKS if attack.depends} | {"forks without end"})
TITLES = {
    **{attack.title: attack.stopped_by for attack in ATTACKS},
    **dict.fromkeys(LIMITED, Property.LIMITS),
    **dict.fromkeys(FILLING, Property.QUOTA),
    **dict.fromkeys(LEFT_BEHIND, Property.PROCESSES),
    **dict.fromkeys(RESULTS, None),
}
"""Every attack there is, and which property stops it; None for the host itself."""

BY_THE_WORKER = frozenset({*LIMITED[1:], *FILLING[:2], *LEFT_BEHIND})
"""What the worker sees to at the level `none` as well, where no property can be promised."""


STOPPED_ALL_THE_SAME = {
    "none": BY_THE_WORKER,
    "contained": frozenset(title for title, stopped_by in TITLES.items() if stopped_by is P.NETWORK) - {OTHER_ADDRESS},
}
"""At levels that do not have the property as a whole."""
THROUGH_ALL_THE_SAME = {"contained": {MODE}}
"""What Landlock does not govern: of files it has no say over modes, owners and attributes."""


def is_stopped(title: str, level: str) -> bool:
    stopped_by = TITLES[title]
    if stopped_by is None or title in STOPPED_ALL_THE_SAME.get(level, ()):
        return True
    return stopped_by in LEVELS[level] and title not in THROUGH_ALL_THE_SAME.get(level, ())


PRELUDE = """
import ctypes, os, shutil, socket, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
def got(yes=True):
    if yes: print("got", KEY, flush=True)
"""


def batch(attacks: tuple[Attack, ...], facts: dict[str, object]) -> str:
    """One program that makes all of `attacks`, each whatever became of the one before."""
    lines = [PRELUDE, *(f"{name} = {value!r}" for name, value in facts.items())]
    for attack in attacks:
        body = "".join(f"    {line}\n" for line in attack.body.splitlines())
        lines.append(f"KEY, PROOF = {attack.key!r}, 'proof-{attack.key}'\ntry:\n{body}except BaseException: pass")
    return "\n".join(lines)


def static_program(path: str) -> bytes:
    """An ELF program of a few bytes that makes the file `path` and ends; for x86_64 only."""
    name = path.encode() + b"\0"
    code = (
        b"\xb8\x02\x00\x00\x00"  # mov eax, open
        b"\x48\x8d\x3d"
        + struct.pack("<i", 24)
        + b"\xbe\x41\x00\x00\x00"  # lea rdi, [name]; mov esi, O_CREAT | O_WRONLY
        b"\xba\xa4\x01\x00\x00\x0f\x05"  # mov edx, 0644; syscall
        b"\xb8\x3c\x00\x00\x00\x31\xff\x0f\x05"  # mov eax, exit; xor edi, edi; syscall
        b"\x90\x90\x90"
    )
    header = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x400078, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    )
    size = 120 + len(code) + len(name)
    return header + struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000) + code + name
