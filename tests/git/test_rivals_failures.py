"""Failures of other tools with working copies, each by its name: what happened there must not happen here.

`SWARM_MANY_COPIES=1000` makes as many at once as the name says; the default is a short version of the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from swarmworks.git import upkeep
from swarmworks.git.locking import held
from tests.git.conftest import AGENT, AT, git

MANY = int(os.environ.get("SWARM_MANY_COPIES", "40"))
SOURCE = Path(__file__).parents[2] / "src"
MONTH_S = 30 * 86_400

MAKE = """
import sys
from pathlib import Path
from swarmworks.git.{module} import {kind}
hub, root, first, count, base = sys.argv[1:]
copies = {kind}(Path(hub), Path(root), None)
for number in range(int(first), int(first) + int(count)):
    copies.create(f"t-{{number}}", base)
"""


def test_race_in_worktree_creation_a_thousand_copies_at_once(hub, base, tmp_path, way):
    """`git worktree add`: up to half of fifty at once fail on a shared lock or a half written `commondir`."""
    script = MAKE.format(module=way.__module__.rpartition(".")[2], kind=way.__name__)
    each = MANY // 2
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(hub.path), str(tmp_path / "copies"), str(first), str(each // 2), base],
            env=environment,
            stderr=subprocess.PIPE,
        )
        for first in (0, each // 2)
    ]
    copies = way(hub.path, tmp_path / "copies", None)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: copies.create(f"t-{number}", base), range(each, MANY)))
    for maker in makers:
        _, said = maker.communicate(timeout=500)
        assert maker.returncode == 0, said.decode()
    made = copies.existing()
    assert len(made) == each // 2 * 2 + MANY - each
    for copy in made:
        (copy.path / "mine").write_text(copy.name)
    some = made[:: max(1, len(made) // 10)]
    assert [git(copy.path, "status", "--porcelain") for copy in some] == ["?? mine"] * len(some)
    heads = [copies.snapshot(copy, f"refs/swarm/work/s/{copy.name}/1", "m", AGENT, AT) for copy in some]
    assert [hub.read_file(head, "mine") for head in heads] == [copy.name.encode() for copy in some]


def older(hub, names):
    """As if these objects had been written a month ago."""
    past = time.time() - MONTH_S
    for name in names:
        os.utime(hub.path / "objects" / name[:2] / name[2:], (past, past))


def unreferenced(hub, base, text):
    """A commit that nothing in the hub refers to, with the loose objects that are its own."""
    before = {path.parent.name + path.name for path in hub.path.glob("objects/[0-9a-f][0-9a-f]/*")}
    place = hub.path.parent / "blob"
    place.write_text(text)
    name = git(hub.path, "hash-object", "-w", str(place))
    listing = hub.path.parent / "listing"
    listing.write_bytes(f"100644 blob {name}\tonly\n".encode())
    with listing.open("rb") as lines:
        tree = subprocess.run(
            ["git", f"--git-dir={hub.path}", "mktree"], stdin=lines, check=True, capture_output=True, text=True
        ).stdout.strip()
    commit = hub.commit_tree(tree, [base], text, AGENT, AGENT, AT)
    after = {path.parent.name + path.name for path in hub.path.glob("objects/[0-9a-f][0-9a-f]/*")}
    return commit, sorted(after - before)


def test_garbage_collection_destroying_work_that_only_a_copy_borrows(hub, base, copies, tmp_path):
    """`git gc --prune=now` beside agents destroyed 82 of 200 commits: it does not know who borrows."""
    borrowed, theirs = unreferenced(hub, base, "borrowed")
    copy = copies.create("t-1", borrowed)
    copies.retire(copies.create("t-2", borrowed))
    forgotten, nobodys = unreferenced(hub, base, "forgotten")
    recent, _ = unreferenced(hub, base, "recent")
    older(hub, [*theirs, *nobodys])
    roots = [tmp_path / "copies"]
    assert upkeep.tidy(hub, [], upkeep.borrowed(roots), timedelta(days=14))
    assert hub.resolve(forgotten) is None
    assert hub.resolve(recent) == recent
    assert git(copy.path, "fsck", "--no-dangling") == ""
    assert (copy.path / "only").read_text() == "borrowed"
    git(copy.path, "commit", "-q", "--allow-empty", "-m", "goes on")
    (copy.path / "more").write_text("more")
    head = copies.snapshot(copy, "refs/swarm/work/s/t/1", "m", AGENT, AT)
    assert hub.read_file(head, "only") == b"borrowed"


def test_garbage_collection_destroying_work_of_those_who_commit_meanwhile(hub, base, copies, repository):
    done = threading.Event()
    kept: list[str] = []

    def work(number):
        copy = copies.create(f"t-{number}", base)
        for step in range(6):
            (copy.path / "work").write_text(f"{number} {step}")
            kept.append(copies.snapshot(copy, f"refs/swarm/work/s/t/{number}", "m", AGENT, AT))
            git(copy.path, "add", "-A")
            git(copy.path, "commit", "-q", "-m", f"{step}")
        return copy.path

    def tidy():
        while not done.is_set():
            upkeep.tidy(hub, [], [], timedelta(days=14))
            upkeep.pack(hub)

    keeper = threading.Thread(target=tidy)
    keeper.start()
    try:
        with ThreadPoolExecutor(3) as threads:
            paths = list(threads.map(work, range(3)))
    finally:
        done.set()
        keeper.join()
    assert [hub.resolve(commit) for commit in kept] == kept
    for path in paths:  # once nobody packs any more: `git fsck` itself does not look again for a pack that has gone
        assert git(path, "fsck", "--no-dangling") == ""
    assert git(hub.path, "fsck", "--no-dangling", "--connectivity-only") == ""


def test_an_object_that_is_written_again_is_not_old_any_more(hub, base):
    commit, own = unreferenced(hub, base, "again")
    older(hub, own)
    unreferenced(hub, base, "again")
    upkeep.tidy(hub, [], [], timedelta(days=14))
    assert hub.resolve(commit) == commit


def test_two_who_tidy_up_at_once_do_it_one_after_the_other(hub, base):
    with held(hub.path / upkeep.LOCK):
        assert not upkeep.tidy(hub, [], [], timedelta(days=14))
        assert not upkeep.pack(hub)
    assert upkeep.pack(hub)
