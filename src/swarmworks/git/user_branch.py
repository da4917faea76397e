"""A branch of the user's repository that something is to be delivered to: where it is, and what stands against moving it.

Read only. Everything that would lose or mix up somebody's work is refused here, in words, before anything is written:
names that are no branch, a rebase under way, uncommitted work where the branch is checked out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from swarmworks.base.errors import ConflictError, GitError, UsageError
from swarmworks.git.command import Git
from swarmworks.git.importing import common_dir, find_git_dir

HEADS = "refs/heads/"
MOST_NAME = 240
_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "sequencer": "a cherry-pick or revert",
    "BISECT_LOG": "a bisection",
}


@dataclass(frozen=True, slots=True)
class UserBranch:
    """`name` as it was asked for; `ref` what moves, symbolic names followed; `tip` its commit, None when it does not exist
    yet. `root` is the worktree it is checked out in, None for none; `git_dir` that worktree's, else the repository's. `remote`
    is the one it is a branch of, "" for one of the repository's own.
    """

    name: str
    ref: str
    tip: str | None
    git_dir: Path
    root: Path | None
    remote: str = ""


@dataclass(frozen=True, slots=True)
class _Worktree:
    root: Path
    git_dir: Path | None  # None: its folder is not there
    ref: str | None


def find_branch(repository: Path, name: str, git: Git | None = None) -> UserBranch:
    """The branch `name` of the repository. UsageError for what is no name of a local branch; ConflictError when its worktree
    is in the middle of something, or not there.
    """
    git = git or Git()
    common = common_dir(find_git_dir(repository))
    short = name.removeprefix(HEADS)
    ref = _followed(git, common, _full_name(git, common, short, name), name)
    tip = _tip(git, common, ref, name)
    if tip is None:
        _refuse_clashes(git, common, ref, short)
    worktrees = _worktrees(git, common)
    for each in worktrees:
        _refuse_rewriting(each, ref, short)
    here = [each for each in worktrees if each.ref == ref]
    if not here:
        return UserBranch(short, ref, tip, common, None)
    return _checked_out(here, short, ref, tip)


def _full_name(git: Git, common: Path, short: str, name: str) -> str:
    odd = short.startswith(("-", "refs/")) or short in {"", "HEAD", "@"} or len(short.encode()) > MOST_NAME
    if odd or "\0" in name or git.run(common, ["check-ref-format", HEADS + short], ok=(0, 1)).code != 0:
        raise UsageError(
            f"{name[:100]!r} is not the name of a branch", where="--to", mend="name a local branch, such as main"
        )
    return HEADS + short


def _followed(git: Git, common: Path, ref: str, name: str) -> str:
    found = git.run(common, ["symbolic-ref", "--quiet", ref], ok=(0, 1, 128))
    if found.code != 0:
        return ref
    target = os.fsdecode(found.out).strip()
    if not target.startswith(HEADS):
        raise UsageError(f"{name} stands for {target}, which is no local branch", where="--to", mend="name a branch")
    return target


def _tip(git: Git, common: Path, ref: str, name: str) -> str | None:
    found = git.run(common, ["rev-parse", "--verify", "--quiet", ref], ok=(0, 1, 128))
    commit = found.out.decode("ascii", "replace").strip()
    if found.code != 0 or not commit:
        return None
    if git.run(common, ["cat-file", "-t", commit], ok=(0, 1, 128)).out != b"commit\n":
        raise GitError(f"the branch {name} does not lead to a commit", where=str(common), mend="run `git fsck` there")
    return commit


def _refuse_clashes(git: Git, common: Path, ref: str, short: str) -> None:
    """A new branch that git could not make, or that would be taken for another."""
    remote = f"refs/remotes/{short}"
    parents = [ref[:end] for end in range(len(HEADS), len(ref)) if ref[end] == "/"]
    out = git.run(common, ["for-each-ref", "--format=%(refname)", remote, ref, *parents]).out
    names = set(os.fsdecode(out).splitlines())
    if remote in names:
        raise UsageError(
            f"{short} is a branch of a remote, and there is no local one of that name",
            where="--to",
            mend=f"name a local branch, such as {short.partition('/')[2]}; what is there is pushed by you",
        )
    clash = next((n for n in sorted(names) if n.startswith(f"{ref}/") or n in parents), None)
    if clash is not None:
        raise UsageError(
            f"a branch {short} cannot be made beside {clash.removeprefix(HEADS)}",
            where="--to",
            mend="git keeps branches as files: choose a name that is no folder of another",
        )


def _worktrees(git: Git, common: Path) -> list[_Worktree]:
    found: list[_Worktree] = []
    for block in git.run(common, ["worktree", "list", "--porcelain", "-z"]).out.split(b"\0\0"):
        words = [line.split(b" ", 1) for line in block.split(b"\0") if line]
        lines = {word[0]: word[-1] for word in words}
        if b"worktree" not in lines or b"bare" in lines:
            continue
        root = Path(os.fsdecode(lines[b"worktree"]))
        if not found and (elsewhere := _configured_root(git, common)) is not None:
            root = elsewhere  # of a submodule, git lists its git directory here
        ref = os.fsdecode(lines[b"branch"]) if b"branch" in lines else None
        found.append(_Worktree(root, find_git_dir(root) if (root / ".git").exists() else None, ref))
    return found


def _configured_root(git: Git, common: Path) -> Path | None:
    out = git.run(common, ["config", "-z", "--type=path", "--get", "core.worktree"], ok=(0, 1)).out
    return (common / os.fsdecode(out.removesuffix(b"\0"))).resolve() if out else None


def _refuse_rewriting(worktree: _Worktree, ref: str, short: str) -> None:
    """A rebase takes a branch off its worktree's HEAD and puts it back at the end, wherever it is by then."""
    if worktree.git_dir is None:
        return
    for name in ("rebase-merge/head-name", "rebase-apply/head-name", "rebase-merge/update-refs", "BISECT_START"):
        try:
            lines = (worktree.git_dir / name).read_text("utf-8", "surrogateescape").split()
        except OSError:
            continue
        if ref in lines or (name == "BISECT_START" and short in lines):
            what = "bisection" if name == "BISECT_START" else "rebase"
            raise ConflictError(
                f"{short} is in the middle of a {what}",
                where=str(worktree.root),
                mend="finish or abort it there (`git status` says how), or deliver to another branch with --to",
            )


def _checked_out(here: list[_Worktree], short: str, ref: str, tip: str | None) -> UserBranch:
    first = here[0]
    if len(here) > 1:
        places = ", ".join(str(each.root) for each in here)
        raise ConflictError(
            f"{short} is checked out more than once: in {places}",
            mend="leave one of them (`git switch --detach` there), or deliver to another branch with --to",
        )
    if first.git_dir is None:
        raise ConflictError(
            f"{short} is checked out in a worktree that is not there",
            where=str(first.root),
            mend="run `git worktree prune`, bring the folder back, or deliver to another branch with --to",
        )
    if tip is None:
        raise ConflictError(
            f"{short} is checked out and has no commit yet",
            where=str(first.root),
            mend="commit something on it, or deliver to another branch with --to",
        )
    for name, what in _UNDER_WAY.items():
        if (first.git_dir / name).exists():
            raise ConflictError(
                f"the checkout of {short} is in the middle of {what}",
                where=str(first.root),
                mend="finish or abort it (`git status` says how), or deliver to another branch with --to",
            )
    return UserBranch(short, ref, tip, first.git_dir, first.root)
