"""Working copies a second and the bytes each takes: overlays and shared clones beside `git worktree add` and `git clone --shared`.

The same repository made by seed, the same commit, one after the other; the peers make what they make by default, ours are ready
for another user's agent to write in.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.bench_git import git
from bench.bench_merge import synthetic
from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.git.mounting import mounted, unmount, why_not
from swarmworks.git.overlays import OverlayCopies

if TYPE_CHECKING:
    from collections.abc import Callable

GOAL_OVERLAY_MS = 5.0


def run(*, smoke: bool) -> None:
    files, copies = (60, 4) if smoke else (5_000, 30)
    with tempfile.TemporaryDirectory(prefix="bench-copies-") as temporary:
        root = Path(temporary)
        hub = BareHub.open_or_create(root / "hub.git")
        base, _ = synthetic(hub.path, files, 1)
        making(root, hub, base, copies)


def making(root: Path, hub: BareHub, base: str, count: int) -> None:
    owner = 12345 if os.geteuid() == 0 else None
    ways: dict[str, Callable[[int], object]] = {}
    reason = why_not(root)
    if reason is None:
        overlays = OverlayCopies(hub.path, root / "overlay", owner)
        overlays.destroy(overlays.create("first", base))  # the template is made once for a base, not once for a copy
        ways["overlay"] = lambda number: overlays.create(f"t-{number}", base)
    else:
        print(f"  overlays cannot be mounted here: {reason}")
    clones = SharedClones(hub.path, root / "clone", owner)
    ways["clone"] = lambda number: clones.create(f"t-{number}", base)
    git(hub.path, "update-ref", "refs/heads/bench", base)
    worktree = ("worktree", "add", "-q", "--detach")
    ways["git worktree add"] = lambda number: git(hub.path, *worktree, str(root / f"git worktree add/{number}"), base)
    clone = ("clone", "-q", "--shared", "-b", "bench", str(hub.path))
    ways["git clone --shared"] = lambda number: git(root, *clone, str(root / f"git clone --shared/{number}"))
    rates: dict[str, float] = {}
    for name, make in ways.items():
        (root / name).mkdir(exist_ok=True)
        before = used(root)
        started = time.perf_counter()
        for number in range(count):
            make(number)
        rates[name] = count / (time.perf_counter() - started)
        took = max(0, used(root) - before) / count
        print(f"  {name:<20} {rates[name]:8.1f}/s  {took / (1 << 20):8.3f} MiB each", flush=True)
    if reason is None:
        took_ms = 1000 / rates["overlay"]
        print(f"  an overlay in {took_ms:.1f} ms (goal: {GOAL_OVERLAY_MS:.0f} ms)")
    for place in [place for place in (root / "overlay").glob("*") if mounted(place)]:
        unmount(place)
    for name in ways:
        shutil.rmtree(root / name)
    ratio = rates.get("overlay", rates["clone"]) / max(rates["git worktree add"], rates["git clone --shared"])
    print(f"  ours beside the better of git's: {ratio:.1f} x")


def used(root: Path) -> int:
    """Without what is mounted: it lies elsewhere already."""
    total = 0
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not mounted(Path(folder) / name)]
        total += sum((Path(folder) / name).lstat().st_blocks * 512 for name in (*folders, *names))
    return total
