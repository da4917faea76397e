"""The last steps of a sandbox's set-up, taken by the process that becomes the program: after them nothing is left to give up.

bubblewrap has made the namespaces and the root; this process, a child of the launcher, joins them, takes away what bubblewrap has
no option for (mounts that allow to run, programs off the allowlist), gives up every capability, and binds itself by Landlock, limits
and the system-call filter. It needs no interpreter inside: it is the launcher's, forked.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct

from swarmworks.sandbox import landlock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    from swarmworks.sandbox.landlock import Rules

    class Cover(TypedDict):
        """A directory inside that is emptied but for `links` (name, target) and `files` (name, path of the file it shows)."""

        directory: str
        files: list[tuple[str, str]]
        links: list[tuple[str, str]]

    class Restrictions(TypedDict):
        """What binds the program beyond the mounts. Crosses the process boundary marshalled."""

        limits: list[tuple[int, int]]  # resource number, value
        seccomp: bytes  # empty for none
        landlock: Rules | None
        covers: list[Cover]
        masks: list[str]  # files inside, shown empty
        noexec: list[tuple[str, bool]]  # mount points inside, and whether with what is mounted below them


ANCHOR_DIRECTORY = "/.anchor"
ANCHOR = f"{ANCHOR_DIRECTORY}/sh"
"""What bubblewrap starts, so that its namespaces live; taken out of the root before the program runs."""

_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_CLONE_NEWUSER = 0x10000000
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND = 0x1, 0x2, 0x4, 0x8, 0x20, 0x1000
_MNT_DETACH = 2
_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_NOEXEC = 442, -100, 0x8000, 0x8
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 22, 24, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522
_INSTRUCTION_BYTES = 8

_libc = ctypes.CDLL(None, use_errno=True)


def check(what: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def join(pidfd: int, restrictions: Restrictions) -> None:
    """Enters the namespaces of the anchor, and finishes its mounts with the power this process has over them only until it
    enters the user namespace as well.
    """
    spaces = _CLONE_NEWNS | _CLONE_NEWUTS | _CLONE_NEWIPC
    check("joining the sandbox", _libc.setns(pidfd, spaces))
    if os.path.exists("/proc/self/ns/cgroup"):  # noqa: PTH110 -- pathlib costs more than this whole function
        check("joining the cgroup namespace", _libc.setns(pidfd, _CLONE_NEWCGROUP))
    check("taking the anchor away", _libc.umount2(ANCHOR.encode(), _MNT_DETACH))
    for cover in restrictions["covers"]:
        _cover(cover)
    for path in restrictions["masks"]:
        _mount("/dev/null", path, None, _MS_BIND)
    for path, below in restrictions["noexec"]:
        attributes, flags = struct.pack("=4Q", _MOUNT_ATTR_NOEXEC, 0, 0, 0), _AT_RECURSIVE if below else 0
        result = _libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, attributes, len(attributes))
        check(f"making {path} noexec", result)
    check("joining the user namespace", _libc.setns(pidfd, _CLONE_NEWUSER))


def _cover(cover: Cover) -> None:
    """The files are opened first: the cover may hide where they lie."""
    directory = cover["directory"]
    opened = [(name, os.open(path, os.O_PATH | os.O_CLOEXEC)) for name, path in cover["files"]]
    flags = _MS_NOSUID | _MS_NODEV
    _mount("programs", directory, "tmpfs", flags, "mode=0755,size=1m")
    for name, fd in opened:
        place = f"{directory}/{name}"
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o755))
        _mount(f"/proc/self/fd/{fd}", place, None, _MS_BIND)
        os.close(fd)
    for name, target in cover["links"]:
        os.symlink(target, f"{directory}/{name}")  # noqa: PTH211 -- as above
    _mount("none", directory, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | flags)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    result = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() if kind else None, ctypes.c_ulong(flags), options.encode()
    )
    check(f"mounting {source} on {target}", result)


def bind(restrictions: Restrictions) -> None:
    """Gives up capabilities, then the means to gain any, then everything Landlock, the limits and the filter take. With limits
    alone, in the back end `none`, nothing else is given up.
    """
    for which, value in restrictions["limits"]:
        limit(which, value)
    if restrictions["landlock"] is None and not restrictions["seccomp"]:
        return
    _drop_capabilities()
    check("giving up new privileges", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if restrictions["landlock"] is not None:
        landlock.restrict(restrictions["landlock"])
    if restrictions["seccomp"]:
        _filter(restrictions["seccomp"])


def _drop_capabilities() -> None:
    """The bounding set too, where this process has the say over it: it ends at the first number the kernel does not know."""
    number = 0
    while _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    check("giving up capabilities", _libc.capset(header, bytes(24)))


def _filter(program: bytes) -> None:
    buffer = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("@HP", len(program) // _INSTRUCTION_BYTES, ctypes.addressof(buffer))
    check("the system-call filter", _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, descriptor, 0, 0))


def limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))
