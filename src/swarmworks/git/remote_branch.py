"""A branch of a remote that something is to be delivered to: looked up, and moved by a push that names what it expects there.

Unlike all else here this is the user's own git, with its configuration and credentials: it alone can reach the remote. It runs
no hook, writes into the repository nothing but objects, and pushes nothing but the branch, whatever is configured.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError, UsageError
from swarmworks.git.command import Git
from swarmworks.git.importing import common_dir, find_git_dir
from swarmworks.git.objects import OBJECT_NAME
from swarmworks.git.user_branch import HEADS, UserBranch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TIMEOUT_S = 600.0
MOST_NAME = 200
_MOVED = ("[rejected]", "[remote rejected]")


def find_remote_branch(repository: Path, remote: str, name: str) -> UserBranch:
    """The branch `name` of the configured remote `remote`, with its tip's history in the repository. UsageError for what is no
    remote or no branch's name, GitError when the remote cannot be reached.
    """
    common = common_dir(find_git_dir(repository))
    known = Git().run(common, ["config", "--get-regexp", r"^remote\..*\.url$"], ok=(0, 1)).out.decode(errors="replace")
    remotes = [line.split(" ")[0].removeprefix("remote.").removesuffix(".url") for line in known.splitlines()]
    if remote not in remotes or remote.startswith("-"):
        mend = f"one of: {', '.join(remotes)}" if remotes else "add one with `git remote add`"
        raise UsageError(f"there is no remote {remote[:100]!r} in this repository", where="--push", mend=mend)
    ref = HEADS + name.removeprefix(HEADS)
    if len(ref) > MOST_NAME or Git().run(common, ["check-ref-format", ref], ok=(0, 1)).code != 0:
        raise UsageError(f"{name[:100]!r} is not the name of a branch", where="--to", mend="such as main")
    tip = _far_tip(repository, remote, ref)
    if tip is not None:
        _git(repository, ["fetch", "-q", "--no-tags", "--no-write-fetch-head", "--refmap=", remote, tip], remote)
    return UserBranch(f"{remote}/{ref.removeprefix(HEADS)}", ref, tip, common, None, remote)


def push_commit(repository: Path, branch: UserBranch, candidate: str) -> bool:
    """Move the remote's branch to `candidate`, whose objects are in the repository. False when it is no longer where `branch`
    says: the remote itself compares. GitError when the remote says no for another reason.
    """
    lease = f"--force-with-lease={branch.ref}:{branch.tip or ''}"
    alone = ["--no-follow-tags", "--recurse-submodules=no"]
    arguments = ["push", "--no-verify", "--porcelain", *alone, lease, branch.remote, f"{candidate}:{branch.ref}"]
    done = _run(repository, arguments)
    if done.returncode == 0:
        return True
    if any(word in done.stdout for word in _MOVED) and _far_tip(repository, branch.remote, branch.ref) != branch.tip:
        return False
    raise _unreachable(branch.remote, f"{done.stdout}\n{done.stderr}")


def _far_tip(repository: Path, remote: str, ref: str) -> str | None:
    for line in _git(repository, ["ls-remote", remote, ref], remote).splitlines():
        commit, _, name = line.partition("\t")
        if name == ref and OBJECT_NAME.fullmatch(commit):
            return commit
    return None


def _git(repository: Path, arguments: Sequence[str], remote: str) -> str:
    done = _run(repository, arguments)
    if done.returncode != 0:
        raise _unreachable(remote, done.stderr)
    return done.stdout


def _run(repository: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(repository), "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(arguments[0], f"no answer for {TIMEOUT_S:g} s") from error


def _unreachable(remote: str, said: str) -> GitError:
    lines = [line for line in said.splitlines() if line.strip()]
    told = lines[-1][:300] if lines else "it said nothing"
    return GitError(
        f"the remote did not do it: {told}", where=remote, mend="try the same with `git push` or `git fetch`"
    )
