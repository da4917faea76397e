"""The small process between the worker and the sandbox: sets up, starts, watches, reports, and outlives nothing.

It is forked from the starter (`starter.py`), so that it runs even where the sandbox's uid cannot reach the interpreter: all it
needs is imported before it gives its privileges up. Only cheap modules are imported here (`_socket` instead of `socket`,
`marshal` instead of `json`, no `typing`): what a process has loaded, a fork of it pays for.

What it does, in order: says which process it is, so that the worker can put it into a control group meanwhile; private mount namespace with the sources bound where the sandbox's uid can reach them (as root only);
network namespace, loopback, listener; drop to the sandbox's uid; user namespace; pid namespace, whose first process becomes
bubblewrap. bubblewrap makes the root and starts the anchor, a shell that waits; the program is forked from here into its
namespaces and bound there (`inside.py`). The launcher then waits for the program, the worker's death or a closed control socket,
whichever comes first. The first process of a pid namespace ends only when everything in it has ended, so nothing can be left
over.

Without namespaces the program is started below a child subreaper, bound by what restrictions there are, and the tree is hunted
down. Where programs are the launcher's own user, they can take its limits, descriptors included: all that it needs at the end is open
before they begin.
"""

from __future__ import annotations

import _socket
import ctypes
import errno
import fcntl
import marshal
import os
import select
import stat
import struct
import time

from swarmworks.sandbox.inside import bind, check, join, limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn, TypedDict

    from swarmworks.sandbox.inside import Restrictions

    class Order(TypedDict):
        """What the worker asks for. Crosses the process boundary marshalled, so: plain values only."""

        identity: tuple[int, int] | None  # uid and gid to drop to; None keeps the ones it has
        bubblewrap: list[str]  # its program and arguments; empty: no namespaces
        sources: list[str]  # bound to STAGE/0, STAGE/1, ... before the uid is dropped
        own_network: bool
        listener_port: int | None
        restrictions: Restrictions
        argv: list[str]  # argv[0] is looked up on PATH
        environment: dict[str, str]
        workdir: str


STAGE = "/tmp"  # noqa: S108 -- hidden under a tmpfs in a mount namespace of our own; bubblewrap needs the directory anyway
READY = b"\0ready\0"  # on stderr, directly before the program itself: all text before it is about setting up
ANCHOR_FD = 3  # of bubblewrap: where the anchor says that it is up, and waits for the end
FIRST_INHERITED_FD = 4

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWPID = 0x20000000
_CLONE_NEWNET = 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x41
_SIGKILL, _IGNORED_BY_PYTHON = 9, (13, 25)  # SIGPIPE, SIGXFSZ
_SIG_DFL = 0
_BACKLOG = 128
_HIGH_FD = 100
_CREDENTIALS = struct.Struct("=iII")  # of SCM_CREDENTIALS: pid, uid, gid
_MAX_ORDER_BYTES = 16 << 20
_MAX_CHILDREN_BYTES = 1 << 16
_BETWEEN_LOOKS_S = 0.05

_libc = ctypes.CDLL(None, use_errno=True)


def main(control_fd: int, order_fd: int, inherited: list[int], worker_fd: int) -> NoReturn:
    """Never returns: exits 0 once the exit status was reported, 1 when it could not set up (the reason is on stderr).
    `inherited` are the program's stderr, then what becomes fd 4, 5, ... of bubblewrap. All are closed when a program begins.
    """
    order: Order = marshal.loads(os.pread(order_fd, _MAX_ORDER_BYTES, 0))  # noqa: S302 -- written by our own worker
    os.close(order_fd)
    control = _socket.socket(fileno=control_fd)
    _send(control, b"%d" % os.getpid(), [os.pidfd_open(os.getpid())])
    try:
        bubblewrap_fd = os.open(order["bubblewrap"][0], os.O_PATH | os.O_CLOEXEC) if order["bubblewrap"] else -1
        children_fd = -1 if order["bubblewrap"] else os.open("/proc/thread-self/children", os.O_RDONLY | os.O_CLOEXEC)
        listener = _isolate(order)
        if control.recv(1) != b"g":  # whoever is to be in a control group, is by now
            os._exit(1)
        kept, program = _start(order, bubblewrap_fd, inherited)
    except OSError as error:
        os.write(2, f"{error.strerror}\n".encode())
        os._exit(1)
    try:
        _hand_over(control, kept, program, listener)
        _let_go_of_streams(inherited)
        _wait_for_end((control_fd, worker_fd, os.pidfd_open(program)))
    except OSError:  # what cannot be watched is ended
        pass
    _kill(kept)
    status = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    if kept != program:
        os.waitpid(kept, 0)
    else:
        _end_descendants(children_fd)
    try:
        control.send(b"%d" % (status if status >= 0 else 128 - status))
    except OSError:  # the worker is gone: nobody is left to be told
        os._exit(1)
    os._exit(0)


def _isolate(order: Order) -> _socket.socket | None:
    identity = order["identity"]
    if not order["bubblewrap"]:
        check("becoming the reaper", _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
        listener = _listen(order["listener_port"])
        if identity is not None:
            _drop_to(*identity)
        return listener
    if identity is None:
        _enter_user_namespace(os.geteuid(), os.getegid())
    else:
        _stage(order["sources"])
    if order["own_network"]:
        check("making a network namespace", _libc.unshare(_CLONE_NEWNET))
        _raise_loopback()
    listener = _listen(order["listener_port"])
    if identity is not None:
        _drop_to(*identity)
        _enter_user_namespace(*identity)
    check("making a process namespace", _libc.unshare(_CLONE_NEWPID))
    return listener


def _stage(sources: Sequence[str]) -> None:
    """An unprivileged bubblewrap cannot bind what lies below a directory it may not enter; root can, and does it here."""
    check("making a mount namespace", _libc.unshare(_CLONE_NEWNS))
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    opened: list[int] = []  # within the new namespace: mounts of another one cannot be bound
    for source in sources:
        try:
            opened.append(os.open(source, os.O_PATH | os.O_CLOEXEC))
        except OSError as error:
            raise OSError(error.errno, f"opening the mount source {source}: {error.strerror}") from error
    _mount("stage", STAGE, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for index, fd in enumerate(opened):
        place = f"{STAGE}/{index}"
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            os.mkdir(place)  # noqa: PTH102 -- pathlib costs more than this whole function
        else:
            os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
        _mount(f"/proc/self/fd/{fd}", place, None, _MS_BIND | _MS_REC)
        os.close(fd)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode() if kind else None, ctypes.c_ulong(flags), options.encode()
    )
    check(f"mounting {source} on {target}", result)


def _drop_to(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # Dropping makes the process undumpable, and with that /proc/self/uid_map root's.
    check("becoming dumpable", _libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0))


def _enter_user_namespace(uid: int, gid: int) -> None:
    """One of our own around bubblewrap's: RLIMIT_NPROC is checked against each ancestor's count too, and the ancestor
    that is limited must hold this sandbox alone, not all that share its uid.
    """
    check("making a user namespace", _libc.unshare(_CLONE_NEWUSER))
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        try:
            fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
            os.write(fd, text.encode())
        except OSError as error:
            raise OSError(error.errno, f"writing the {name} of the user namespace: {error.strerror}") from error
        os.close(fd)


def _raise_loopback() -> None:
    any_socket = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    fcntl.ioctl(any_socket.fileno(), _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP_RUNNING))
    any_socket.close()


def _listen(port: int | None) -> _socket.socket | None:
    if port is None:
        return None
    listener = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    listener.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(_BACKLOG)
    except OSError as error:
        raise OSError(error.errno, f"listening on 127.0.0.1:{port}: {error.strerror}") from error
    return listener


def _start(order: Order, bubblewrap_fd: int, inherited: list[int]) -> tuple[int, int]:
    """The process that keeps the sandbox alive (killing it ends everything) and the program: one and the same without
    namespaces.
    """
    if not order["bubblewrap"]:
        program = _fork_bound(lambda: _become_program(order, -1, inherited[0]))
        return program, program
    waiting, anchored = _socket_pair()
    kept = _fork_bound(lambda: _become_bubblewrap(order, bubblewrap_fd, [anchored.fileno(), *inherited[1:]]))
    anchored.close()
    anchor = os.pidfd_open(_anchor_pid(waiting))
    check("entering the process namespace", _libc.setns(anchor, _CLONE_NEWPID))
    program = _fork_bound(lambda: _become_program(order, anchor, inherited[0]))
    os.close(anchor)
    waiting.detach()  # open until this process ends, and the anchor with it
    return kept, program


def _socket_pair() -> tuple[_socket.socket, _socket.socket]:
    one, other = _socket.socketpair()
    one.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
    return one, other


def _anchor_pid(waiting: _socket.socket) -> int:
    """As this process's namespace counts, which is how the kernel hands credentials over."""
    _, ancillary, _, _ = waiting.recvmsg(16, _socket.CMSG_SPACE(_CREDENTIALS.size))
    for _, kind, data in ancillary:
        if kind == _socket.SCM_CREDENTIALS and (pid := _CREDENTIALS.unpack(data)[0]) > 0:
            return pid
    os._exit(1)  # bubblewrap has ended, and has said why


def _fork_bound(become: Callable[[], None]) -> int:
    """A child that dies with this process, whatever it becomes."""
    alive, held_while_alive = os.pipe()
    child = os.fork()
    if child != 0:
        os.close(alive)
        return child
    try:
        os.close(held_while_alive)
        _die_with_parent(alive)
        become()
    except OSError as error:
        os.write(2, f"{error.strerror}\n".encode())
    os._exit(1)


def _die_with_parent(alive: int) -> None:
    """The pipe closes the race: a parent that died before the request leaves it hung up."""
    check("tying it to the launcher", _libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
    poll = select.poll()
    poll.register(alive, 0)
    if poll.poll(0):
        os._exit(1)


def _become_bubblewrap(order: Order, program_fd: int, given: list[int]) -> None:
    for number in _IGNORED_BY_PYTHON:
        _libc.signal(number, _SIG_DFL)
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD) for fd in given]
    program_fd = fcntl.fcntl(program_fd, fcntl.F_DUPFD_CLOEXEC, _HIGH_FD)
    for index, fd in enumerate(moved):
        os.dup2(fd, ANCHOR_FD + index, inheritable=True)
    nothing = os.open("/dev/null", os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    for which, value in order["restrictions"]["limits"]:
        limit(which, value)  # the kernel notes them for each user namespace when it is made
    os.execve(program_fd, order["bubblewrap"], {})  # noqa: S606 -- no shell is the point


def _become_program(order: Order, anchor: int, stderr: int) -> None:
    for number in _IGNORED_BY_PYTHON:
        _libc.signal(number, _SIG_DFL)
    if anchor >= 0:
        join(anchor, order["restrictions"])
    os.setsid()
    try:
        os.chdir(order["workdir"])
    except OSError as error:
        raise OSError(error.errno, f"the workdir {order['workdir']}: {error.strerror}") from error
    bind(order["restrictions"])
    os.write(2, READY)
    os.dup2(stderr, 2)
    _execute(order["argv"], order["environment"])


def _execute(argv: list[str], environment: dict[str, str]) -> NoReturn:
    """As a shell would, with its exit statuses. Not os.execvpe: it imports a module, which may be out of reach by now."""
    folders = [""] if "/" in argv[0] else [f"{folder}/" for folder in environment.get("PATH", "").split(":")]
    failure: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in folders:
        try:
            os.execve(f"{folder}{argv[0]}", argv, environment)  # noqa: S606
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            failure = error
    os.write(2, f"{argv[0]}: {failure.strerror}\n".encode(errors="replace"))
    os._exit(127 if isinstance(failure, FileNotFoundError) else 126)


def _send(control: _socket.socket, message: bytes, fds: list[int]) -> None:
    control.sendmsg([message], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))])


def _hand_over(control: _socket.socket, kept: int, program: int, listener: _socket.socket | None) -> None:
    fds = [os.pidfd_open(kept), os.pidfd_open(program)]
    _send(control, b"started", fds if listener is None else [*fds, listener.fileno()])
    for fd in fds:
        os.close(fd)
    if listener is not None:
        listener.close()


def _let_go_of_streams(inherited: list[int]) -> None:
    """Otherwise the worker would never see the end of the program's output."""
    nothing = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nothing, fd)
    for fd in inherited:
        os.close(fd)


def _wait_for_end(fds: Sequence[int]) -> None:
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    poll.poll()


def _kill(pid: int) -> None:
    """What has ended, or is another user's by now, is waited for all the same."""
    try:
        os.kill(pid, _SIGKILL)
    except OSError:
        return


def _end_descendants(children_fd: int) -> None:
    """Kills until no child is left: as their subreaper, this process inherits whatever tries to slip away."""
    found: list[int] = []
    while True:
        try:
            os.waitpid(-1, 0 if found else os.WNOHANG)
        except ChildProcessError:
            return
        found = _descendants(children_fd)
        for pid in found:
            _kill(pid)
        if not found:
            time.sleep(_BETWEEN_LOOKS_S)


def _descendants(children_fd: int) -> list[int]:
    """Of what cannot be looked into, the children come to this process when it ends."""
    try:
        found = [int(word) for word in os.pread(children_fd, _MAX_CHILDREN_BYTES, 0).split()]
    except OSError:
        return []
    pending = [*found]
    while pending:
        current = pending.pop()
        try:
            for task in os.listdir(f"/proc/{current}/task"):  # noqa: PTH208 -- as above
                with open(f"/proc/{current}/task/{task}/children", encoding="ascii") as file:  # noqa: PTH123
                    children = [int(word) for word in file.read().split()]
                found += children
                pending += children
        except OSError:
            continue
    return found
