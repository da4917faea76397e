"""Candidate merges (merge, commit, move the ref) beside `git merge` in a worktree; working copies beside `git worktree add`.
Same repository, same branches, same machine, one after the other; every figure is a median or a rate of this run.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from swarmworks.git.checkout import export_tree
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.protocol import Identity, Merged

if TYPE_CHECKING:
    from collections.abc import Callable

AGENT = Identity("Bench", "bench@swarm.invalid")
AT = datetime(2026, 11, 20, tzinfo=UTC)
TARGET = "refs/heads/swarm/bench"


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=b", "-c", "user.email=b@x", "-c", "gc.auto=0", *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        command, cwd=directory, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def user_repository(root: Path, files: int) -> str:
    git(root, "init", "-q", "-b", "main")
    for number in range(files):
        path = root / f"pkg{number % 40}" / f"module{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"value_{number}_{line} = {line}\n" for line in range(60)))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "base")
    return git(root, "rev-parse", "HEAD")


def branches(root: Path, base: str, count: int, files: int) -> list[str]:
    heads: list[str] = []
    for number in range(count):
        git(root, "checkout", "-q", "--detach", base)
        edited = number % files
        with (root / f"pkg{edited % 40}" / f"module{edited}.py").open("a") as file:
            file.write(f"branch_{number} = True\n" * 3)
        (root / f"new{number}.py").write_text(f"number = {number}\n")
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", f"branch {number}")
        heads.append(git(root, "rev-parse", "HEAD"))
    return heads


def our_merges(hub: BareHub, base: str, heads: list[str]) -> tuple[float, str]:
    hub.update_ref(TARGET, base, None)
    started, tip = time.perf_counter(), base
    for head in heads:
        merged = hub.merge(tip, head)
        assert isinstance(merged, Merged)
        commit = hub.commit_tree(merged.tree, [tip], "landed", AGENT, AGENT, AT)
        assert hub.update_ref(TARGET, commit, tip)
        tip = commit
    return len(heads) / (time.perf_counter() - started), hub.tree_of(tip)


def worktree_merges(root: Path, base: str, heads: list[str]) -> tuple[float, str]:
    tree = root.parent / "merging"
    git(root, "worktree", "add", "-q", "--detach", str(tree), base)
    started = time.perf_counter()
    for head in heads:
        git(tree, "merge", "-q", "--no-edit", "-m", "landed", head)
    return len(heads) / (time.perf_counter() - started), git(tree, "rev-parse", "HEAD^{tree}")


def per_second(count: int, act: Callable[[int], object]) -> float:
    started = time.perf_counter()
    for number in range(count):
        act(number)
    return count / (time.perf_counter() - started)


def run(*, smoke: bool) -> None:
    for files in (40,) if smoke else (100, 5000):
        measure(files, merges=5 if smoke else 60, trees=3 if smoke else 12)


def measure(files: int, merges: int, trees: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-git-") as temporary:
        root = Path(temporary) / "user"
        root.mkdir()
        base = user_repository(root, files)
        heads = branches(root, base, merges, files)
        hub = BareHub.open_or_create(Path(temporary) / "hub.git")
        started = time.perf_counter()
        for head in heads:
            hub.import_commit(root, head)
        imports = len(heads) / (time.perf_counter() - started)
        ours, our_tree = our_merges(hub, base, heads)
        theirs, their_tree = worktree_merges(root, base, heads)
        assert our_tree == their_tree
        row(files, "candidate merges, durable", ours, "git merge in a worktree", theirs)
        kept = per_second(merges, lambda number: hub.kept_lines(base, heads[number], our_tree))
        copies = SharedClones(hub.path, Path(temporary) / "copies", 12345 if os.geteuid() == 0 else None)
        made = []
        ours = per_second(trees, lambda number: made.append(copies.create(f"t-{number}", base)))
        add = ("worktree", "add", "-q", "--detach")
        theirs = per_second(trees, lambda number: git(root, *add, str(root.parent / f"w{number}"), base))
        row(files, "working copies", ours, "git worktree add", theirs)
        for copy in made:
            (copy.path / "added.py").write_text("x = 1\n")

        def snapshot(number: int) -> None:
            copies.snapshot(made[number], f"refs/swarm/work/t/{number}", "m", AGENT, AT)

        def commit(number: int) -> None:
            git(root.parent / f"w{number}", "add", "-A")
            git(root.parent / f"w{number}", "commit", "-q", "--allow-empty", "-m", "m")

        row(files, "first snapshots", per_second(trees, snapshot), "git add and commit", per_second(trees, commit))
        row(files, "later snapshots", per_second(trees, snapshot), "git add and commit", per_second(trees, commit))
        archive = per_second(trees, lambda number: unpack(hub.path, base, Path(temporary) / f"a{number}"))
        exported = per_second(trees, lambda number: export_tree(hub, base, Path(temporary) / f"e{number}"))
        row(files, "exported trees", exported, "git archive | tar", archive)
        print(f"  {files:>5} files: {imports:8.1f} imports of one commit/s, {kept:8.1f} kept_lines/s")


def unpack(hub: Path, commit: str, target: Path) -> None:
    target.mkdir()
    subprocess.run(f"git --git-dir={hub} archive {commit} | tar -x -C {target}", shell=True, check=True)


def row(files: int, what: str, ours: float, peer: str, theirs: float) -> None:
    print(
        f"  {files:>5} files: {what:<26} {ours:8.1f}/s   {peer:<24} {theirs:8.1f}/s   {ours / theirs:5.2f} x",
        flush=True,
    )
