"""Moving refs: compare-and-swap between threads and processes, durable, and able to go on after a kill.

Durable means: git has synced the objects when it wrote them (`core.fsync` in the hub), syncs the ref's lock file before
it renames it onto the ref, and the directory is synced here, which git does not do. On ext4 and XFS a sync of the
directory also commits the renames that went before it, those of the objects among them.

A process killed between the lock file and the rename leaves the ref as it was and the lock file lying there. All our
writers hold the hub's own lock while git works, so whoever holds that lock and finds the same lock file still there
after git has waited for it (`core.filesRefLockTimeout`, 2 s; git holds one for milliseconds) may remove it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import RejectedError
from swarmworks.git.command import fail
from swarmworks.git.layout import sync_directory
from swarmworks.git.locking import held
from swarmworks.git.objects import OBJECT_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swarmworks.git.command import Finished, Git
    from swarmworks.git.persistent import Persistent

ABSENT = "0" * 40
LOCK_NAME = "swarmworks-refs.lock"


def read_ref(git: Git, hub: Path, ref: str) -> str | None:
    """What a ref points at. Unlike `rev-parse` never a branch of another name, a tag or an abbreviation."""
    out = git.run(hub, ["for-each-ref", "--format=%(objectname) %(refname)", _checked(ref)]).out.decode()
    for line in out.splitlines():
        value, name = line.split(" ", 1)
        if name == ref:
            return value
    return None


def swap_ref(git: Git, persistent: Persistent, hub: Path, ref: str, new: str, old: str | None) -> bool:
    """See `Hub.update_ref`. A ref that cannot be moved for another reason than its value is a `GitError`."""
    arguments = ["update-ref", "--no-deref", _checked(ref), new, old or ABSENT]
    with held(hub / LOCK_NAME):
        if not (OBJECT_NAME.fullmatch(new) and persistent.swap([(ref, new, old or ABSENT)])):
            finished = _past_stale_lock(git, hub, ref, arguments)
            if finished.code != 0:
                if read_ref(git, hub, ref) != old:
                    return False
                fail(hub, arguments, finished)
        sync_directory((hub / ref).parent)
    return True


def swap_refs(git: Git, persistent: Persistent, hub: Path, moves: Mapping[str, str]) -> None:
    """Point references at commits whatever they were, all in one go, as durably."""
    if not moves:
        return
    with held(hub / LOCK_NAME):
        done = persistent.set([(_checked(ref), new) for ref, new in moves.items()])
    if not done:
        for ref, new in moves.items():
            set_ref(git, hub, ref, new)
        return
    for directory in {(hub / ref).parent for ref in moves}:
        sync_directory(directory)


def set_ref(git: Git, hub: Path, ref: str, new: str) -> None:
    """Point `ref` at `new` whatever it was, as durably."""
    _write(git, hub, ref, ["update-ref", "--no-deref", _checked(ref), new])
    sync_directory((hub / ref).parent)


def drop_ref(git: Git, hub: Path, ref: str) -> None:
    """Delete a ref; one that is not there is no error."""
    _write(git, hub, ref, ["update-ref", "--no-deref", "-d", _checked(ref)])
    sync_directory(hub / "refs")


def drop_refs(git: Git, hub: Path, refs: Sequence[str]) -> None:
    """Delete several, all of them or none; one that is not there is no error."""
    if refs:
        lines = "".join(f"delete {_checked(ref)}\n" for ref in refs)
        with held(hub / LOCK_NAME):
            git.run(hub, ["update-ref", "--no-deref", "--stdin"], given=lines.encode())
        sync_directory(hub / "refs")


def _write(git: Git, hub: Path, ref: str, arguments: Sequence[str]) -> None:
    with held(hub / LOCK_NAME):
        finished = _past_stale_lock(git, hub, ref, arguments)
    if finished.code != 0:
        fail(hub, arguments, finished)


def _past_stale_lock(git: Git, hub: Path, ref: str, arguments: Sequence[str]) -> Finished:
    locks = (hub / f"{ref}.lock", hub / "packed-refs.lock")
    before = [_inode(lock) for lock in locks]
    finished = git.run(hub, arguments, ok=(0, 1, 128))
    if finished.code == 0 or "File exists" not in finished.error:
        return finished
    for lock, inode in zip(locks, before, strict=True):
        if inode is not None and _inode(lock) == inode:
            lock.unlink(missing_ok=True)
    return git.run(hub, arguments, ok=(0, 1, 128))


def _inode(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except OSError:
        return None


def _checked(ref: str) -> str:
    """Only full names of refs: git also takes HEAD and bare names here, which would write beside the refs."""
    parts = ref.split("/")
    odd = any(not part or part.startswith(".") or part.endswith((".", ".lock")) or ".." in part for part in parts)
    if odd or parts[0] != "refs" or len(parts) < 3 or any(character in ref for character in "\0\n *?[\\^:~"):
        raise RejectedError(f"{ref[:200]!r} is not the full name of a ref", mend="it has to look like refs/heads/name")
    return ref
