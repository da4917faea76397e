"""What the user's own checkout looks like: read, never written, and with none of its configuration in force.

The question "what is changed here" is asked with a git directory of our own, made for the one call: its objects are the
user's, its index is a copy, and of the user's settings only those that decide how file contents compare are taken over.
So no filter, hook, monitor or embedded repository runs. What the user's own `~/.gitconfig` ignores is not known here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.base.errors import NotARepositoryError
from swarmworks.git.command import Git, path_text, records
from swarmworks.git.importing import common_dir, find_git_dir, find_work_tree
from swarmworks.git.layout import lay_out

if TYPE_CHECKING:
    from collections.abc import Sequence

SHOWN_PATHS = 20
# Settings that change which bytes on disk equal which blob, or how names compare. None of them can name a program.
COMPARING_SETTINGS = "^core\\.(autocrlf|eol|filemode|ignorecase|symlinks|precomposeunicode)$"


@dataclass(frozen=True, slots=True)
class Checkout:
    """The user's checkout. `branch` is None when HEAD is detached. `dirty`: tracked files differ from `head`, in the index
    or on disk, the first 20 of them in `dirty_paths`. `untracked_paths`: the first 20 files and directories that git does
    not know and `.gitignore` does not name; they alone do not make it dirty.
    """

    root: Path
    head: str
    branch: str | None
    dirty: bool
    dirty_paths: tuple[str, ...]
    untracked_paths: tuple[str, ...]


def describe_checkout(path: Path, git: Git | None = None) -> Checkout:
    """The checkout that `path` is in. `NotARepositoryError` for no repository, a bare one, or one without a commit."""
    git = git or Git()
    git.version()
    git_dir = find_git_dir(path)
    root = find_work_tree(path)
    head = git.run(git_dir, ["rev-parse", "--verify", "--quiet", "HEAD^{commit}"], ok=(0, 1, 128))
    if head.code != 0:
        raise NotARepositoryError(
            "the repository has no commit yet", where=str(root), mend='run `git add . && git commit -m "first"` there'
        )
    branch = git.run(git_dir, ["symbolic-ref", "--quiet", "--short", "HEAD"], ok=(0, 1)).out.decode().strip()
    commit = head.out.decode().strip()
    changed, untracked = _status(git, git_dir, root, commit)
    return Checkout(
        root=root,
        head=commit,
        branch=branch or None,
        dirty=bool(changed),
        dirty_paths=tuple(changed[:SHOWN_PATHS]),
        untracked_paths=tuple(untracked[:SHOWN_PATHS]),
    )


def _status(git: Git, git_dir: Path, root: Path, head: str) -> tuple[list[str], list[str]]:
    with tempfile.TemporaryDirectory(prefix="swarmworks-status-") as temporary:
        ours = Path(temporary) / "git"
        _mirror(git, git_dir, ours, head)
        arguments = [
            *("-c", "core.bare=false", *comparing_settings(git, git_dir)),
            *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all"),
        ]
        out = git.run(ours, arguments, environment={"GIT_WORK_TREE": str(root)}).out
    lines = records(out)
    changed = [path_text(line[3:]) for line in lines if not line.startswith(b"??")]
    return changed, [path_text(line[3:]) for line in lines if line.startswith(b"??")]


@dataclass(frozen=True, slots=True)
class Difference:
    """Tracked paths, as git writes them, whose index entry is not the commit's, and whose file is not as it should be."""

    staged: frozenset[bytes]
    unstaged: frozenset[bytes]

    @property
    def paths(self) -> list[bytes]:
        return sorted(self.staged | self.unstaged)


def differences(
    git: Git, git_dir: Path, root: Path, commit: str, *, files_of: str | None = None, objects: str = ""
) -> Difference:
    """How the index differs from `commit`, and the files from the index, or from the commit `files_of` when that is given.
    `objects` is a further object directory, in git's own quoting, to read commits from.
    """
    environment = {"GIT_WORK_TREE": str(root)} | ({"GIT_ALTERNATE_OBJECT_DIRECTORIES": objects} if objects else {})
    arguments = [
        *("-c", "core.bare=false", *comparing_settings(git, git_dir)),
        *("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no", "--ignore-submodules=all"),
    ]
    with tempfile.TemporaryDirectory(prefix="swarmworks-status-") as temporary:
        ours = Path(temporary) / "git"
        _mirror(git, git_dir, ours, commit)
        lines = records(git.run(ours, arguments, environment=environment).out)
        staged = frozenset(line[3:] for line in lines if line[:1] not in b" ")
        if files_of is not None:
            git.run(ours, ["read-tree", files_of], environment=environment)
            lines = records(git.run(ours, arguments, environment=environment).out)
    return Difference(staged, frozenset(line[3:] for line in lines if line[1:2] not in b" "))


def _mirror(git: Git, git_dir: Path, ours: Path, head: str) -> None:
    common = common_dir(git_dir)
    format_config = "[core]\n\trepositoryformatversion = 0\n"
    lay_out(ours, head=f"{head}\n", config=format_config, alternate=common / "objects")
    copied = [git_dir / "index", *git_dir.glob("sharedindex.*"), common / "shallow"]
    for source in copied:
        if source.is_file():
            shutil.copy2(source, ours / source.name)  # with its time: by that git knows which files to read again
    exclude = common / "info" / "exclude"
    if exclude.is_file():
        (ours / "info").mkdir()
        shutil.copyfile(exclude, ours / "info" / "exclude")
    if not (git_dir / "index").is_file():
        git.run(ours, ["read-tree", head])


def comparing_settings(git: Git, git_dir: Path) -> Sequence[str]:
    out = git.run(git_dir, ["config", "-z", "--get-regexp", COMPARING_SETTINGS], ok=(0, 1)).out
    options: list[str] = []
    for record in records(out):
        key, _, value = os.fsdecode(record).partition("\n")
        options += ["-c", f"{key}={value}" if value else key]
    return options
