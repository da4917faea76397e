"""Brings history from the user's repository into the hub, reading that repository's objects and nothing else of it.

`git fetch` would start `upload-pack` in the user's repository, under its configuration and behind git's check of its owner.
Instead the hub borrows its object directory (`GIT_ALTERNATE_OBJECT_DIRECTORIES`) for one call that packs what the hub
lacks. Not a file of the user's repository is written, and not a line of its configuration is used.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError, NotARepositoryError, RejectedError
from swarmworks.git.command import revision
from swarmworks.git.layout import sync_directory
from swarmworks.git.locking import held

if TYPE_CHECKING:
    from swarmworks.git.command import Git

LOCK_NAME = "swarmworks-import.lock"
PARENT_DEPTH_LIMIT = 200


def find_git_dir(path: Path) -> Path:
    """The git directory of the repository that `path` is in, as git finds it: upwards, through a `.git` file if that is
    what is there. `NotARepositoryError` when there is none.
    """
    start = path.absolute()
    for directory in [start, *start.parents][:PARENT_DEPTH_LIMIT]:
        dot_git = directory / ".git"
        if dot_git.is_file():
            named = dot_git.read_text(encoding="utf-8", errors="surrogateescape").strip()
            return (directory / named.removeprefix("gitdir:").strip()).resolve()
        if dot_git.is_dir():
            return dot_git.resolve()
        if (directory / "objects").is_dir() and (directory / "HEAD").is_file():
            return directory.resolve()
    raise NotARepositoryError("not a git repository", where=str(path), mend="run `git init` there and commit something")


def find_work_tree(path: Path) -> Path:
    """The top of the checkout that `path` is in. `NotARepositoryError` for no repository, and for a bare one."""
    git_dir = find_git_dir(path)
    for directory in (path.absolute(), *path.absolute().parents):
        if (directory / ".git").exists() and find_git_dir(directory) == git_dir:
            return directory.resolve()
    raise NotARepositoryError(
        "this is a bare repository, or the inside of a .git directory",
        where=str(path),
        mend="name a checkout: `git clone` it somewhere and start there",
    )


def common_dir(git_dir: Path) -> Path:
    """Where the objects are: another directory than the git directory in a linked worktree."""
    named = git_dir / "commondir"
    if not named.is_file():
        return git_dir
    return (git_dir / named.read_text(encoding="utf-8", errors="surrogateescape").strip()).resolve()


def import_history(git: Git, hub: Path, repository: Path, commit: str) -> None:
    """See `Hub.import_commit`. `commit` is an id; names mean something only in the repository they are from."""
    source = common_dir(find_git_dir(repository))
    _refuse_other_formats(git, source, repository)
    environment = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quoted(source / "objects")}
    if git.run(hub, ["cat-file", "-t", revision(commit)], environment=environment, ok=(0, 1, 128)).out != b"commit\n":
        raise RejectedError(
            f"{commit[:100]} is no commit of this repository", where=str(repository), mend="see `git log` there"
        )
    with held(hub / LOCK_NAME, timeout_s=git.timeout_s):
        _join_shallow(git, hub, source)
        tips = git.run(hub, ["for-each-ref", "--format=^%(objectname)"]).out
        pack = [
            "pack-objects",
            "-q",
            "--revs",
            "--delta-base-offset",
            "--threads=2",
            str(hub / "objects" / "pack" / "pack"),
        ]
        try:
            git.run(hub, pack, given=f"{commit}\n".encode() + tips, environment=environment)
        except GitError as error:
            raise GitError(
                f"its history cannot be read: {error.what}",
                where=str(repository),
                mend="a partial clone lacks objects: fetch them with `git fetch --refetch --no-filter`; else run `git fsck`",
            ) from error
        sync_directory(hub / "objects" / "pack")


def _refuse_other_formats(git: Git, source: Path, repository: Path) -> None:
    finished = git.run(source, ["rev-parse", "--show-object-format"], ok=(0, 128))
    if finished.code != 0:
        raise NotARepositoryError(
            "the git repository cannot be read",
            where=str(repository),
            mend=f"git says: {finished.error.strip()[:300]}",
        )
    if finished.out.strip() != b"sha1":
        raise RejectedError(
            f"the repository uses {finished.out.decode().strip()} object ids",
            where=str(repository),
            mend="convert it to sha1",
        )


def _join_shallow(git: Git, hub: Path, source: Path) -> None:
    """Cut the hub's history where a shallow source ends, but never where the hub already has more.

    Written before the objects come in: an entry for a commit that is not there has no effect, a commit without its parents
    and without an entry would break every walk.
    """
    theirs = _shallow_commits(source)
    ours = _shallow_commits(hub)
    request = "".join(f"{commit}\n" for commit in sorted(theirs - ours)).encode()
    if not request:
        return
    answers = git.run(hub, ["cat-file", "--batch-check=%(objectname)"], given=request).out.decode().splitlines()
    joined = ours | {line.removesuffix(" missing") for line in answers if line.endswith(" missing")}
    with tempfile.NamedTemporaryFile("w", dir=hub, prefix=".shallow-", delete=False) as written:
        written.write("".join(f"{commit}\n" for commit in sorted(joined)))
        written.flush()
        os.fsync(written.fileno())
    Path(written.name).chmod(0o644)
    Path(written.name).rename(hub / "shallow")
    sync_directory(hub)


def _shallow_commits(git_dir: Path) -> set[str]:
    try:
        return set((git_dir / "shallow").read_text(encoding="ascii").split())
    except FileNotFoundError:
        return set()


def quoted(path: Path) -> str:
    """Git's quoting for one entry of a colon-separated list, needed when the path itself has a colon or a quote."""
    text = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
