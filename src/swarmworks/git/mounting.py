"""Mounting overlays: one read-only tree under many writable layers. Linux, and root, only; whether it works is tried.

Only the worker mounts, and only for what it made itself; nothing that an agent names ever becomes part of an option.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import tempfile
from pathlib import Path

from swarmworks.base.errors import GitError

_NOSUID, _NODEV, _REC, _SLAVE = 0x2, 0x4, 0x4000, 0x80000
_NEW_NAMESPACE = 0x20000  # of mounts
_DETACH, _NOFOLLOW = 0x2, 0x8
_OPTIONS = "redirect_dir=on,index=off,metacopy=off"
"""Whole folders can be renamed; a layer can be mounted again after a crash; a file in a layer has its content there."""


def keep_mounts_private() -> None:
    """From now on what this process mounts is gone when it ends, however it ends; what the machine mounts is seen as before. Called
    before a thread is started. Where it is not allowed, mounting is not either.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or _libc().unshare(_NEW_NAMESPACE) != 0:
        return
    if _libc().mount(b"none", b"/", None, ctypes.c_ulong(_REC | _SLAVE), None) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise GitError(f"the worker's mounts could not be kept apart: {reason}", mend="see the kernel's log")


def mount_overlay(lower: Path, upper: Path, work: Path, target: Path) -> None:
    """`upper` and `work` on one file system. GitError when the kernel refuses."""
    layers = f"lowerdir={_escaped(lower)},upperdir={_escaped(upper)},workdir={_escaped(work)}"
    flags = ctypes.c_ulong(_NOSUID | _NODEV)
    options = os.fsencode(f"{layers},{_OPTIONS}")
    if _libc().mount(b"overlay", os.fsencode(target), b"overlay", flags, options) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise GitError(f"an overlay could not be mounted: {reason}", where=str(target), mend="see the kernel's log")


def unmount(target: Path) -> None:
    """What still uses it goes on; nothing is done where nothing is mounted."""
    if not mounted(target):
        return
    if _libc().umount2(os.fsencode(target), _DETACH | _NOFOLLOW) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise GitError(f"an overlay could not be unmounted: {reason}", where=str(target), mend="unmount it as root")


def mounted(target: Path) -> bool:
    return os.path.ismount(target)


def sync_file_system(directory: Path) -> None:
    """Everything on it is durable afterwards: cheaper than file by file for a whole tree."""
    if not sys.platform.startswith("linux"):
        os.sync()
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc().syncfs(descriptor) != 0:
            raise GitError(f"it could not be synced: {os.strerror(ctypes.get_errno())}", where=str(directory))
    finally:
        os.close(descriptor)


def why_not(place: Path) -> str | None:
    """What keeps overlays from being mounted below `place`, an existing directory; None when one just was."""
    if not sys.platform.startswith("linux"):
        return "overlays need Linux"
    if os.geteuid() != 0:
        return "only root can mount overlays, and the worker runs as an ordinary user"
    tried = Path(tempfile.mkdtemp(prefix=".overlay-", dir=place))
    parts = [tried / name for name in ("lower", "upper", "work", "merged")]
    try:
        for part in parts:
            part.mkdir()
        (parts[0] / "kept").write_text("lower")
        (parts[0] / "gone").write_text("lower")
        mount_overlay(*parts)
        return _why_broken(*parts)
    except (GitError, OSError) as error:
        return str(error.what if isinstance(error, GitError) else error.strerror)
    finally:
        unmount(parts[3])
        shutil.rmtree(tried, ignore_errors=True)


def _why_broken(lower: Path, upper: Path, _work: Path, merged: Path) -> str | None:
    (merged / "kept").write_text("upper")
    (merged / "gone").unlink()
    untouched = (lower / "kept").read_text() == "lower" and (lower / "gone").exists()
    layered = (upper / "kept").read_text() == "upper" and not (merged / "gone").exists()
    return None if untouched and layered else "an overlay was mounted, and did not keep its layers apart"


def _escaped(path: Path) -> str:
    text = str(path.absolute())
    for character in "\\,:":
        text = text.replace(character, f"\\{character}")
    return text


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
