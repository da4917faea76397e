"""Moves a branch of the user's repository, or of one of its remotes, to a commit of the hub: the only code that ever writes there.

What is written: the commit's objects (one pack), the branch with a line in its reflog, and, where the branch is checked
out, the files and the index, as `git merge --ff-only` would. No hook, filter or monitor runs, no other ref, remote or
setting is touched. Objects first, then files, then the index, then the branch: killed between any two of them, the branch
is where it was, and the same delivery, asked for again, goes on from files that are partly or wholly there already.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError, GitError
from swarmworks.git.command import Git, fail, path_text, records, revision
from swarmworks.git.importing import common_dir, quoted
from swarmworks.git.layout import sync_directory
from swarmworks.git.remote_branch import push_commit
from swarmworks.git.user_branch import HEADS, UserBranch, find_branch
from swarmworks.git.user_checkout import Difference, comparing_settings, differences

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

SHOWN = 5
SLOW_TIMEOUT_S = 1800.0
_LOOKED_FIRST = ("not uptodate", "would be overwritten", "would lose")
LOCK_NAME = "index.lock"
LOCK_MARK = b"swarm deliver, process "


def check_delivery(branch: UserBranch, hub: Path, candidate: str | None, git: Git | None = None) -> bool:
    """ConflictError when the branch is checked out and moving it to `candidate` would touch uncommitted work. Without a
    candidate (it is still to be built), any uncommitted work there is refused. True when the files are partly as the
    candidate has them already: a delivery was cut short.
    """
    git = git or Git()
    if branch.root is None or branch.tip is None:
        return False
    found = differences(git, branch.git_dir, branch.root, branch.tip)
    if candidate is None:
        _refuse_dirty(branch, found.paths)
        return False
    objects = quoted(hub / "objects")
    changed = _changed(git, branch, candidate, objects)
    _refuse_filtered(git, branch, candidate, changed, objects)
    root = os.fsencode(branch.root)
    gone = frozenset(path for path, letter in changed.items() if letter == "D")
    present = frozenset(path for path, letter in changed.items() if letter == "A" and _occupied(root, path, gone))
    _refuse_hidden(git, branch, root, changed)
    if not found.paths and not present:
        return False
    against = differences(git, branch.git_dir, branch.root, candidate, files_of=candidate, objects=objects)
    _refuse_dirty(branch, sorted(_foreign(root, found, against, changed) | (present & against.unstaged)))
    return True


def deliver_commit(repository: Path, branch: UserBranch, hub: Path, candidate: str, message: str, person: str) -> bool:
    """Move `branch` to `candidate`, a commit of the hub that continues its tip. False when the branch is no longer where
    `branch` says; ConflictError when there is uncommitted work in the way. Either way nothing has been moved.
    """
    git = Git().patient(SLOW_TIMEOUT_S)
    try:
        fetch_commit(git, common_dir(branch.git_dir), hub, candidate, branch.tip)
        if branch.remote:
            return push_commit(repository, branch, candidate)
        if find_branch(repository, branch.name, git) != branch:
            return False
        if branch.root is None:
            return _swap(git, branch, candidate, message, person)
        return _with_files(git, branch, hub, candidate, message, person)
    except OSError as error:
        raise GitError(
            f"the repository cannot be written: {error.strerror}",
            where=str(error.filename or repository),
            mend="check its permissions and the free space of its disk; nothing was delivered",
        ) from error


def fetch_commit(git: Git, common: Path, hub: Path, candidate: str, tip: str | None) -> None:
    """Bring the commit's objects in as one pack, and make sure that its history is whole here."""
    known = [name for name in (tip,) if name is not None]
    whole = ["rev-list", "--objects", "--quiet", "--end-of-options", revision(candidate), *(f"^{one}" for one in known)]
    if git.run(common, whole, ok=(0, 1, 128)).code == 0:
        return
    if not known:
        tips = git.run(common, ["for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes"]).out.decode()
        known = tips.split()
    environment = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(hub / "objects")}
    place = common / "objects" / "pack"
    arguments = ["pack-objects", "-q", "--revs", "--delta-base-offset", "--threads=2", str(place / "pack")]
    wanted = "".join([f"{candidate}\n", *(f"^{one}\n" for one in known)]).encode()
    git.run(common, arguments, given=wanted, environment=environment)
    sync_directory(place)
    git.run(common, whole)


def _swap(git: Git, branch: UserBranch, candidate: str, message: str, person: str) -> bool:
    """Compare-and-swap of the branch, with a line in its reflog."""
    identity = {"GIT_COMMITTER_NAME": _name(person), "GIT_COMMITTER_EMAIL": "deliver@swarmworks.invalid"}
    old = branch.tip or "0" * 40
    arguments = ["update-ref", "--create-reflog", "-m", message, branch.ref, candidate, old]
    finished = git.run(branch.git_dir, arguments, environment=identity, ok=(0, 1, 128))
    if finished.code == 0:
        with contextlib.suppress(OSError):  # it has moved, whatever comes now; with reftable there is no such folder
            sync_directory(_folder_of(common_dir(branch.git_dir), branch.ref))
        return True
    present = git.run(branch.git_dir, ["rev-parse", "--verify", "--quiet", branch.ref], ok=(0, 1, 128))
    if (present.out.decode().strip() or None) == branch.tip:
        fail(branch.git_dir, arguments, finished)
    return False


def _with_files(git: Git, branch: UserBranch, hub: Path, candidate: str, message: str, person: str) -> bool:
    """The index is locked against every other git from the last look at the files until the branch has moved."""
    assert branch.root is not None
    assert branch.tip is not None
    moved = False
    with _index_locked(branch), tempfile.TemporaryDirectory(prefix="swarmworks-deliver-") as temporary:
        cut_short = check_delivery(branch, hub, candidate, git)
        changed = _changed(git, branch, candidate, quoted(hub / "objects"))
        if cut_short:
            _refuse_hidden(git, branch, os.fsencode(branch.root), everything=True)
        index, before, back = (Path(temporary) / name for name in ("index", "before", "back"))
        shutil.copyfile(branch.git_dir / "index", index)
        shutil.copyfile(index, before)
        try:
            _write_files(git, branch, index, ["--reset", candidate] if cut_short else ["-m", branch.tip, candidate])
        except ConflictError:  # git looked before it wrote, and wrote nothing
            raise
        except BaseException:
            _take_back(git, branch, back, changed)
            raise
        try:
            _replace(index, branch.git_dir / "index")
            moved = _swap(git, branch, candidate, message, person)
        finally:
            if not moved:
                check_delivery(branch, hub, candidate, git)  # raises where somebody has written meanwhile: hands off
                _take_back(git, branch, back, changed)
                _replace(back if cut_short else before, branch.git_dir / "index")
    return moved


def _take_back(git: Git, branch: UserBranch, index: Path, changed: Mapping[bytes, str]) -> None:
    """The files of the delivery as the tip has them, whatever of it was written: nothing in them was anybody's work. No other
    file is looked at: there may be work in it that git was told not to see.
    """
    assert branch.root is not None
    root = os.fsencode(branch.root)
    sparse = {path for path, flag in _flags(git, branch).items() if flag == b"S"}
    for path, letter in changed.items():
        if letter == "A" and path not in sparse:
            _remove(root, path)
    environment = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(branch.root)}
    options = [*_no_filters(git, branch.git_dir), "-c", "core.splitIndex=false", "-c", "core.bare=false"]
    git.run(branch.git_dir, [*options, "read-tree", str(branch.tip)], environment=environment)
    there = b"".join(path + b"\0" for path, letter in changed.items() if letter != "A" and path not in sparse)
    arguments = [*options, "checkout-index", "-f", "-q", "-u", "-z", "--stdin"]
    git.run(branch.git_dir, arguments, environment=environment, given=there)
    git.run(branch.git_dir, [*options, "update-index", "-q", "--refresh"], environment=environment, ok=(0, 1))


def _remove(root: bytes, path: bytes) -> None:
    """A file of the delivery's own, with the folders that were made for it; never anything behind a link."""
    *folders, _ = parts = path.split(b"/")
    places = [os.path.join(root, *parts[: length + 1]) for length in range(len(parts))]  # noqa: PTH118 - bytes
    if any(os.path.islink(place) for place in places[:-1]):  # noqa: PTH114 - bytes
        return
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
        os.unlink(places[-1])  # noqa: PTH108 - bytes
    for place in reversed(places[: len(folders)]):
        try:
            os.rmdir(place)  # noqa: PTH106 - bytes
        except OSError:
            return  # something else is in it, or it was never made


def _write_files(git: Git, branch: UserBranch, index: Path, trees: Sequence[str]) -> None:
    """Move the files of the worktree and the entries of `index`, as `read-tree` does by `trees`."""
    environment = {"GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(branch.root)}
    options = [*_no_filters(git, branch.git_dir), "-c", "core.splitIndex=false", "-c", "core.bare=false"]
    git.run(branch.git_dir, [*options, "update-index", "-q", "--refresh"], environment=environment, ok=(0, 1))
    arguments = [*options, "read-tree", "-u", *trees]
    finished = git.run(branch.git_dir, arguments, environment=environment, ok=(0, 1, 128))
    if finished.code == 0:
        return
    if any(words in finished.error for words in _LOOKED_FIRST):
        raise ConflictError(
            f"the checkout of {branch.name} changed meanwhile: {finished.error.strip().splitlines()[0][:300]}",
            where=str(branch.root),
            mend="commit or stash what is there, then run `swarm deliver` again",
        )
    fail(branch.git_dir, ["read-tree"], finished)


def _replace(made: Path, index: Path) -> None:
    ours = index.with_name("index.swarm-deliver")
    with ours.open("wb") as target:
        target.write(made.read_bytes())
        target.flush()
        os.fsync(target.fileno())
    ours.rename(index)
    sync_directory(index.parent)


@contextlib.contextmanager
def _index_locked(branch: UserBranch) -> Generator[None]:
    """Git's own lock of the index. One that a killed delivery left is taken over; anybody else's is respected."""
    lock = branch.git_dir / LOCK_NAME
    drop_left_lock(branch)
    try:
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError as error:
        raise ConflictError(
            f"another git is at work in the checkout of {branch.name}",
            where=str(lock),
            mend="wait until it has ended; if none is running, one was killed: remove that file",
        ) from error
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(LOCK_MARK + str(os.getpid()).encode())
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def drop_left_lock(branch: UserBranch) -> None:
    """Remove the lock of a delivery that was killed. It would keep the user's own git from writing."""
    lock = branch.git_dir / LOCK_NAME
    if _left_by_us(lock):
        lock.unlink(missing_ok=True)


def _left_by_us(lock: Path) -> bool:
    try:
        with lock.open("rb") as stream:
            mark, _, pid = stream.read(100).rpartition(LOCK_MARK)
    except OSError:
        return False
    return not mark and pid.isdigit() and not _lives(int(pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _changed(git: Git, branch: UserBranch, candidate: str, objects: str) -> dict[bytes, str]:
    """Paths that differ between the tip and the candidate, with git's letter for each."""
    arguments = ["diff-tree", "-r", "-z", "--no-renames", "--name-status", "--no-commit-id"]
    environment = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}
    fields = records(git.run(branch.git_dir, [*arguments, str(branch.tip), candidate], environment=environment).out)
    return {path: letter.decode() for letter, path in zip(fields[::2], fields[1::2], strict=True)}


def _foreign(root: bytes, found: Difference, against: Difference, changed: dict[bytes, str]) -> frozenset[bytes]:
    """What is neither as the tip has it (`found`) nor as the candidate has it (`against`): somebody's work."""
    staged = {path for path in found.staged if path not in changed or path in against.staged}
    unstaged = {
        path
        for path in found.unstaged
        if path not in changed
        or path in against.unstaged
        or (changed[path] == "D" and os.path.lexists(os.path.join(root, path)))  # noqa: PTH118 - bytes
    }
    return frozenset(staged | unstaged)


def _flags(git: Git, branch: UserBranch) -> dict[bytes, bytes]:
    """The letter that `git ls-files -v` has for each file of the index."""
    lines = records(git.run(branch.git_dir, ["ls-files", "-v", "-z"]).out)
    return {line[2:]: line[:1] for line in lines}


def _refuse_hidden(
    git: Git, branch: UserBranch, root: bytes, changed: Mapping[bytes, str] | None = None, *, everything: bool = False
) -> None:
    """Files that git was told not to look at (`update-index --skip-worktree`, `--assume-unchanged`) and that are changed: of
    the delivery, or of `everything`, where git is going to write over what it was told to assume.
    """
    assert branch.root is not None
    hidden = [path for path, flag in _flags(git, branch).items() if flag.islower() or flag == b"S"]
    meant = [path for path in hidden if everything or path in (changed or {})]
    there = {path for path in meant if os.path.lexists(os.path.join(root, path))}  # noqa: PTH118 - bytes
    if there:
        files = differences(git, branch.git_dir, branch.root, str(branch.tip), files_of=branch.tip)
        _refuse_dirty(branch, sorted(there & files.unstaged))


def _occupied(root: bytes, path: bytes, gone: frozenset[bytes]) -> bool:
    """Whether something lies where a new file is to go, other than files that go: at the path itself, or a file or a link
    where one of its folders would be.
    """
    parts = path.split(b"/")
    for length in range(1, len(parts) + 1):
        here = b"/".join(parts[:length])
        place = os.path.join(root, here)  # noqa: PTH118 - bytes
        if not os.path.lexists(place) or here in gone:
            return False
        if os.path.islink(place) or not os.path.isdir(place):  # noqa: PTH112, PTH114 - bytes
            return True
    return any(
        os.path.relpath(os.path.join(folder, name), root) not in gone  # noqa: PTH118 - bytes
        for folder, _, names in os.walk(os.path.join(root, path))  # noqa: PTH118 - bytes
        for name in names
    )


def _refuse_dirty(branch: UserBranch, paths: Sequence[bytes]) -> None:
    if not paths:
        return
    shown = ", ".join(_shown(path) for path in paths[:SHOWN]) + (
        f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    )
    raise ConflictError(
        f"{branch.name} is checked out with work that is not committed: {shown}",
        where=str(branch.root),
        mend="commit it, put it away with `git stash --include-untracked`, or deliver to another branch with --to",
    )


def _refuse_filtered(git: Git, branch: UserBranch, candidate: str, changed: dict[bytes, str], objects: str) -> None:
    """Files that git passes through a program (Git LFS, for one) cannot be written without running it."""
    if not changed:
        return
    with tempfile.TemporaryDirectory(prefix="swarmworks-index-") as temporary:
        ours = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": objects, "GIT_INDEX_FILE": str(Path(temporary) / "index")}
        git.run(branch.git_dir, ["read-tree", candidate], environment=ours)
        asked = ["check-attr", "--cached", "-z", "--stdin", "filter"]
        out = git.run(branch.git_dir, asked, given=b"".join(path + b"\0" for path in changed), environment=ours).out
    fields = records(out)
    for path, value in zip(fields[::3], fields[2::3], strict=True):
        if value not in {b"unspecified", b"unset"}:
            raise ConflictError(
                f"{path_text(path)} is written through the filter {path_text(value)}, which only your own git may run",
                where=str(branch.root),
                mend="leave the branch first (`git switch --detach`), run `swarm deliver`, then go back to it with git switch",
            )


def _no_filters(git: Git, git_dir: Path) -> list[str]:
    """Options that keep every filter of the repository's configuration from running."""
    out = git.run(git_dir, ["config", "-z", "--name-only", "--get-regexp", r"^filter\..*"], ok=(0, 1)).out
    options: list[str] = []
    for name in sorted({os.fsdecode(record) for record in records(out)}):
        options += ["-c", f"{name}=false" if name.endswith(".required") else f"{name}="]
    return [*options, *comparing_settings(git, git_dir)]


def _folder_of(common: Path, ref: str) -> Path:
    folder = (common / ref).parent
    return folder if folder.is_dir() else common / HEADS


def _shown(path: bytes) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in path_text(path))


def _name(person: str) -> str:
    kept = "".join(letter for letter in person if letter.isprintable() and letter not in "<>").strip(" .,:;\"'")
    return kept or "unknown"
