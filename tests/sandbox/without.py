"""`without.py landlock|namespaces -- COMMAND...`: runs COMMAND as on a machine whose kernel has no Landlock, or whose
container or profile allows no new namespaces.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000
NAMESPACES = 0x7E020000
LANDLOCK = (444, 445, 446)
CLONE, UNSHARE, CLONE3 = (220, 97, 435) if platform.machine() == "aarch64" else (56, 272, 435)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
libc = ctypes.CDLL(None, use_errno=True)


def refused(number: int, error: int) -> list[tuple[int, int, int, int]]:
    return [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE | error)]


def refused_with_namespaces(number: int) -> list[tuple[int, int, int, int]]:
    flags = [(LOAD, 0, 0, 16), (ANY_BIT, 0, 1, NAMESPACES), (RETURN, 0, 0, REFUSE | errno.EPERM), (RETURN, 0, 0, ALLOW)]
    return [(EQUAL, 0, len(flags), number), *flags]


def program(what: str) -> bytes:
    body = [line for number in LANDLOCK for line in refused(number, errno.ENOSYS)]
    if what == "namespaces":
        body = [*refused(CLONE3, errno.ENOSYS), *refused_with_namespaces(CLONE), *refused_with_namespaces(UNSHARE)]
    return b"".join(struct.pack("=HBBI", *each) for each in [(LOAD, 0, 0, 0), *body, (RETURN, 0, 0, ALLOW)])


def main() -> None:
    filtering = program(sys.argv[1])
    held = ctypes.create_string_buffer(filtering, len(filtering))
    described = struct.pack("@HP", len(filtering) // 8, ctypes.addressof(held))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER, described, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter cannot be set")
    os.execvp(sys.argv[3], sys.argv[3:])


main()
