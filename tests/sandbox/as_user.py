"""`as_user.py UID PATH... -- COMMAND...`: as root, run COMMAND as an ordinary user who can reach each PATH.

What lies below directories closed to others (`/root`) is bound into open ones of the same name, in a mount namespace of
this process alone; nothing of the machine changes.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags, options=b"") -> None:
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), options) != 0:
        raise OSError(ctypes.get_errno(), f"mounting {target!r}")


def closed_ancestor(path: Path) -> Path | None:
    return next((parent for parent in reversed(path.parents) if not parent.stat().st_mode & 0o001), None)


def main() -> None:
    separator = sys.argv.index("--")
    uid, paths, command = int(sys.argv[1]), [Path(p) for p in sys.argv[2:separator]], sys.argv[separator + 1 :]
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    mount(b"none", b"/", None, MS_REC | MS_PRIVATE)
    opened = {path: os.open(path, os.O_PATH) for path in paths}
    hidden = {path: closed_ancestor(path) for path in paths}
    for ancestor in {ancestor for ancestor in hidden.values() if ancestor is not None}:
        mount(b"open", os.fsencode(ancestor), b"tmpfs", 0, b"mode=0755")
    for path, ancestor in hidden.items():
        if ancestor is not None:
            path.mkdir(parents=True)
            mount(f"/proc/self/fd/{opened[path]}".encode(), os.fsencode(path), None, MS_BIND | MS_REC)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    os.execvp(command[0], command)


main()
