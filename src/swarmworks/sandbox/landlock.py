"""Landlock through ctypes: which paths a program may read, run and write below, whatever the mounts say.

Applied inside, by the process that becomes the program; nothing it starts can take it off again. A layer can only add up what is
allowed, never take away from it, and it sees neither UDP, nor connections to unix sockets with a path, nor memory mapped as
code: it stands beside the mounts and the filter, never instead of them. Its tracing rule comes with it: no process outside the
layer can be looked into through /proc.

Only cheap modules are imported here: the launcher pays for each one at every start.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class Rules(TypedDict):
        """Paths inside; each holds for all below it, and one that is not there is passed over. `connect` are the TCP ports that
        may be connected to, None for any; nothing may be bound then. Crosses the process boundary marshalled.
        """

        list: list[str]  # names of directories' entries only
        read: list[str]
        run: list[str]
        write: list[str]
        devices: list[str]  # read and written, never made: /dev/null and the like
        connect: list[int] | None


LEAST_ABI = 3  # of Linux 6.2: before it, a file could be emptied that could not be written

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 0x1, 0x2, 0x4, 0x8
_REMOVE, _MAKE_CHAR, _MAKE_BLOCK = 0x10 | 0x20, 0x40, 0x800
_MAKE = 0x80 | 0x100 | 0x200 | 0x400 | 0x1000  # directories, files, sockets, fifos, links
_REFER, _TRUNCATE, _IOCTL_DEV = 0x2000, 0x4000, 0x8000
_BIND_TCP, _CONNECT_TCP = 0x1, 0x2
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 0x1, 0x2
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _TRUNCATE | _REMOVE | _MAKE | _REFER
_FIRST_WITH_NETWORK, _FIRST_WITH_DEVICES, _FIRST_WITH_SCOPES = 4, 5, 6

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The version the kernel offers; 0 when it has none, or has it switched off."""
    found = _libc.syscall(_CREATE_RULESET, None, 0, _VERSION)
    return max(0, int(found))


def restrict(rules: Rules) -> None:
    """Binds this process and all it will start. It must not be able to gain privileges (PR_SET_NO_NEW_PRIVS) any more.
    Raises OSError.
    """
    version = abi()
    if version < LEAST_ABI:
        raise OSError(errno.ENOSYS, f"Landlock: version {version} is offered here, {LEAST_ABI} is needed")
    ruleset = _ruleset(version, of_ports=rules["connect"] is not None)
    for path in rules["list"]:
        _allow(ruleset, path, _READ_DIR)
    for path in rules["read"]:
        _allow(ruleset, path, _READ)
    for path in rules["run"]:
        _allow(ruleset, path, _READ | _EXECUTE)
    for path in rules["write"]:
        _allow(ruleset, path, _READ | _WRITE)
    ioctl = _IOCTL_DEV if version >= _FIRST_WITH_DEVICES else 0
    for path in rules["devices"]:
        _allow(ruleset, path, _READ | _WRITE_FILE | _TRUNCATE | ioctl)
    if version >= _FIRST_WITH_NETWORK:
        for port in rules["connect"] or []:
            _add(ruleset, _NET_PORT, struct.pack("=QQ", _CONNECT_TCP, port), f"the port {port}")
    _check("Landlock", _libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _ruleset(version: int, *, of_ports: bool) -> int:
    handled = _READ | _EXECUTE | _WRITE | _MAKE_CHAR | _MAKE_BLOCK
    handled |= _IOCTL_DEV if version >= _FIRST_WITH_DEVICES else 0
    ports = _BIND_TCP | _CONNECT_TCP if of_ports and version >= _FIRST_WITH_NETWORK else 0
    scopes = _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS
    fields = [handled]
    if version >= _FIRST_WITH_NETWORK:
        fields.append(ports)
    if version >= _FIRST_WITH_SCOPES:
        fields.append(scopes)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = _libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    if ruleset < 0:
        _check("Landlock", -1)
    return int(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    """What the program could not reach anyway (ENOENT, EACCES) needs no rule."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_FILES
        _add(ruleset, _PATH_BENEATH, struct.pack("=Qi", access, fd), path)
    finally:
        os.close(fd)


def _add(ruleset: int, kind: int, attributes: bytes, what: str) -> None:
    _check(f"Landlock, {what}", _libc.syscall(_ADD_RULE, ruleset, kind, attributes, 0))


def _check(what: str, result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
