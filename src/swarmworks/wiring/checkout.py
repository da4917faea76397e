"""The user's repository: where a swarm starts from, only read; and where a delivery ends, the one thing written there."""

from __future__ import annotations

from pathlib import Path

from swarmworks.base.errors import ConflictError, UsageError
from swarmworks.git.command import Git, path_text, records, revision
from swarmworks.git.delivering import check_delivery, deliver_commit, drop_left_lock
from swarmworks.git.importing import find_git_dir
from swarmworks.git.remote_branch import find_remote_branch
from swarmworks.git.user_branch import UserBranch, find_branch
from swarmworks.git.user_checkout import describe_checkout

SHOWN = 5


def base_commit(root: Path, *, allow_dirty: bool) -> str:
    """HEAD. ConflictError when there is uncommitted work that the swarm would not see, unless that is allowed. UsageError
    where `root` is a folder of its repository: gates run at the top, and only there is swarm.toml protected.
    """
    checkout = describe_checkout(root)
    if checkout.root != root.resolve():
        raise UsageError(
            f"swarm.toml does not lie at the top of its repository, {checkout.root}",
            where=str(root),
            mend="move it there, and let its gates go into the folder they check (cd ... && ...)",
        )
    if checkout.dirty and not allow_dirty:
        shown = ", ".join(checkout.dirty_paths[:SHOWN])
        more = ", ..." if len(checkout.dirty_paths) > SHOWN else ""
        raise ConflictError(
            f"uncommitted changes in {shown}{more}: agents start from the last commit and would not see them",
            where=str(checkout.root),
            mend="commit or stash them, or pass --allow-dirty to start from the last commit all the same",
        )
    return checkout.head


def tracked_files(root: Path, commit: str) -> tuple[str, ...]:
    """Every file of `commit`, submodules left out."""
    out = Git().run(find_git_dir(root), ["ls-tree", "-r", "-z", "--full-tree", revision(commit)]).out
    rows = [record.partition(b"\t") for record in records(out)]
    return tuple(path_text(path) for facts, _, path in rows if not facts.startswith(b"160000"))


def user_branch(root: Path, name: str) -> UserBranch:
    """The branch, with the lock of a delivery that was killed taken off its checkout."""
    branch = find_branch(root, name)
    drop_left_lock(branch)
    return branch


def remote_branch(root: Path, remote: str, name: str) -> UserBranch:
    return find_remote_branch(root, remote, name)


def refuse_uncommitted(state: Path, branch: UserBranch, candidate: str | None) -> None:
    check_delivery(branch, hub(state), candidate)


def move_branch(root: Path, state: Path, branch: UserBranch, candidate: str, message: str, person: str) -> bool:
    return deliver_commit(root, branch, hub(state), candidate, message, person)


def hub(state: Path) -> Path:
    return state / "hub.git"
