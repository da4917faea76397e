"""Candidate builds a second: branches merged one on top of the other, each a commit, the reference moved. Ours beside `git merge` in
a worktree, libgit2 (pygit2), dulwich and the merger of Zuul: the same repository made by seed, the same branches, the same final tree.

Ours is measured as a batch and one at a time, both durable (objects and reference on the disk when it returns), and as a batch
without that, as the peers are: none of them syncs.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from bench.bench_engines import PEERS
from bench.bench_git import git
from bench.landing import landing_ms
from swarmworks.git.footprints import overlapping
from swarmworks.git.hub import BareHub
from swarmworks.git.protocol import Candidate, Identity, Piece

SEED = 20_261_120
GOAL_PER_S, GOAL_TIMES = 400.0, 8.0
GOAL_CONFLICTS_MS = 30.0
GOAL_LANDING_MS = 25.0
LINES = 120
WHO = Identity("Bench", "bench@swarm.invalid")
AT = datetime(2026, 11, 20, tzinfo=UTC)
TARGET = "refs/heads/bench"
ZUUL = PEERS.parents[2] / ".venv-zuul" / "bin" / "python"
PROGRAMS = Path(__file__).parent / "engines"


def run(*, smoke: bool) -> None:
    files, changes = (60, 8) if smoke else (5_000, 200)
    with tempfile.TemporaryDirectory(prefix="bench-merge-") as temporary:
        root = Path(temporary)
        hub = BareHub.open_or_create(root / "hub.git")
        base, heads = synthetic(hub.path, files, changes)
        trees: dict[str, str] = {}
        rates: dict[str, float] = {}
        for number, (name, batch, durable) in enumerate(
            (
                ("a batch, durable", changes, True),
                ("one at a time, durable", 1, True),
                ("a batch, unsynced", changes, False),
            )
        ):  # nothing is deleted before the end: on ext4 files are made slowly where many were deleted a moment ago
            place = BareHub.open_or_create(copied(hub.path, root / f"ours-{number}.git"))
            rates[name], trees[name] = ours(place, base, heads, batch, durable=durable)
        peers: dict[str, float | str] = {}
        place = copied(hub.path, root / "theirs.git")
        peers["git merge in a worktree"], trees["git merge"] = worktree_merges(place, root / "tree", base, heads)
        for name, python in (("pygit2", PEERS), ("dulwich", PEERS), ("zuul", ZUUL)):
            said = peer(python, PROGRAMS / f"merge_{name}.py", copied(hub.path, root / f"{name}.git"), base, heads)
            peers[name] = said if isinstance(said, str) else said[0]
            if not isinstance(said, str):
                trees[name] = said[1]
        assert len(set(trees.values())) == 1, trees
        print(f"  {files} files, {changes} branches, one final tree ({trees['git merge'][:10]})")
        best = max(rate for rate in peers.values() if not isinstance(rate, str))
        for name, rate in rates.items():
            print(f"  ours, {name:<24} {rate:8.1f}/s   {rate / best:5.1f} x the best peer")
        for name, rate in peers.items():
            print(f"  {name:<30} " + (f"NOT MEASURED: {rate}" if isinstance(rate, str) else f"{rate:8.1f}/s"))
        in_flight = {head: place for head in heads if (place := hub.footprint(base, head)) is not None}
        started = time.perf_counter()
        for head in heads[:20]:
            overlapping(hub.footprint(base, head) or {}, in_flight)
        each_ms = (time.perf_counter() - started) / len(heads[:20]) * 1000
        print(f"  one change against {len(in_flight)} in flight: {each_ms:.1f} ms (goal: {GOAL_CONFLICTS_MS:.0f} ms)")
        print(f"  goal: {GOAL_PER_S:.0f}/s and {GOAL_TIMES:.0f} x the best peer")
        landings = landing_ms(root / "plane", hub.path, base, 4 if smoke else 60)
        print(
            f"  last gate result to moved branch, {len(landings)} landings: P50 {statistics.median(landings):.1f} ms,"
            f" slowest {max(landings):.1f} ms (goal: P50 {GOAL_LANDING_MS:.0f} ms)"
        )


def synthetic(hub: Path, files: int, changes: int) -> tuple[str, list[str]]:
    """A commit with `files` files, and branches of it that each edit two of them and add one; no two edit the same lines."""
    rng = random.Random(SEED)
    names = [f"pkg{number % 40}/part{number % 7}/module{number}.py" for number in range(files)]
    texts = {name: [f"value_{name[-8:-3]}_{line} = {rng.random()}\n" for line in range(LINES)] for name in names}
    out: list[bytes] = [_commit("refs/heads/base", "base", None)]
    out.extend(_file(name, "".join(lines)) for name, lines in texts.items())
    touched: dict[str, int] = {}
    for number in range(changes):
        out.append(_commit(f"refs/heads/b{number}", f"branch {number}", "refs/heads/base"))
        for name in rng.sample(names[: max(20, files // 20)], 2):
            line = 3 + 6 * touched.get(name, 0) % (LINES - 3)
            touched[name] = touched.get(name, 0) + 1
            lines = list(texts[name])
            lines[line] = f"changed_{number} = {line}\n"
            out.append(_file(name, "".join(lines)))
        out.append(_file(f"pkg{number % 40}/new{number}.py", f"number = {number}\n"))
    assert max(touched.values()) * 6 < LINES - 3
    subprocess.run(
        ["git", f"--git-dir={hub}", "fast-import", "--quiet"], input=b"".join(out), check=True, capture_output=True
    )
    heads = [git(hub, "rev-parse", f"refs/heads/b{number}") for number in range(changes)]
    return git(hub, "rev-parse", "refs/heads/base"), heads


def _commit(ref: str, message: str, parent: str | None) -> bytes:
    text = f"commit {ref}\ncommitter B <b@x> 1700000000 +0000\ndata {len(message)}\n{message}\n"
    return (text + (f"from {parent}\n" if parent else "")).encode()


def _file(name: str, text: str) -> bytes:
    return f"M 100644 inline {name}\ndata {len(text.encode())}\n{text}\n".encode()


def copied(hub: Path, place: Path) -> Path:
    shutil.copytree(hub, place)
    return place


def ours(hub: BareHub, base: str, heads: list[str], batch: int, *, durable: bool) -> tuple[float, str]:
    hub.update_ref(TARGET, base, None)
    real = os.fsync
    if not durable:
        os.fsync = lambda _descriptor: None
    try:
        started, tip = time.perf_counter(), base
        for start in range(0, len(heads), batch):
            made = hub.stack(tip, [Piece(head, "landed\n", WHO, WHO, AT) for head in heads[start : start + batch]])
            last = made[-1]
            assert all(isinstance(one, Candidate) for one in made)
            assert isinstance(last, Candidate)
            assert hub.update_ref(TARGET, last.commit, tip)
            tip = last.commit
        return len(heads) / (time.perf_counter() - started), hub.tree_of(tip)
    finally:
        os.fsync = real


def worktree_merges(repository: Path, tree: Path, base: str, heads: list[str]) -> tuple[float, str]:
    git(repository, "worktree", "add", "-q", "--detach", str(tree), base)
    started = time.perf_counter()
    for head in heads:
        git(tree, "merge", "-q", "--no-edit", "-m", "landed", head)
    return len(heads) / (time.perf_counter() - started), git(tree, "rev-parse", "HEAD^{tree}")


def peer(python: Path, program: Path, repository: Path, base: str, heads: list[str]) -> tuple[float, str] | str:
    """Merges a second and the final tree, or why it was not measured."""
    if not python.exists():
        return f"not installed: run `make bench`, which puts it into {python.parents[1].name}"
    done = subprocess.run(
        [python, program, repository], input="\n".join([base, *heads]), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        return done.stderr.strip().splitlines()[-1]
    rate, tree = done.stdout.split()
    return float(rate), tree
