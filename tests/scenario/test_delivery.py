"""`swarm deliver` as a user runs it: from a landed swarm to the user's branch, whatever became of that branch meanwhile."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading

import pytest

from tests.scenario.driver import MARK, SOURCE, CountedModel, Site, job
from tests.scenario.harness import git, plan

pytestmark = [pytest.mark.sandbox]

TOGETHER = """
[gates.tests]
run = "test ! -f t0.txt || test ! -f theirs.txt || { echo 'theirs.txt:3: does not go with t0.txt'; exit 1; }"
reads = "lines"
[gates.required]
default = ["scope", "secrets", "tests"]
"""


@pytest.fixture
def model():
    made = CountedModel()
    yield made
    made.close()


@pytest.fixture
def landed(tmp_path, model):
    """A site whose swarm of two tasks has landed."""
    made: list[Site] = []

    def make(**more) -> Site:
        site = Site(tmp_path / "site", model.url, plan(job("t0"), job("t1")), **more)
        made.append(site)
        done = site.run("run", str(site.plan_file))
        assert done.code == 0, done
        assert "next: swarm deliver swm_" in done.out
        return site

    yield make
    for site in made:
        site.close()


def deliver(site: Site, *more: str):
    return site.run("deliver", "--approve", "it is good", *more)


def commit(site: Site, files: dict[str, str]) -> str:
    for name, text in files.items():
        (site.root / name).write_text(text)
    git(site.root, "add", *files)
    git(site.root, "commit", "-qm", "work of a person")
    return git(site.root, "rev-parse", "HEAD")


def hub_head(site: Site) -> str:
    return git(site.state / "hub.git", "for-each-ref", "--format=%(objectname)", "refs/heads/swarm")


async def test_a_branch_that_stood_still_moves_forward_once_somebody_said_yes(landed):
    site = landed()
    base = git(site.root, "rev-parse", "main")
    waiting = site.run("deliver")
    assert waiting.code == 1, waiting
    assert "2 commits, 2 files, 2 lines added" in waiting.out
    assert "May this go to your branch?" in waiting.out
    asked = next(line for line in waiting.out.splitlines() if "swarm approve rev_" in line).split()[-1]
    assert git(site.root, "rev-parse", "main") == base

    assert site.run("approve", asked, "--reason", "it is good").code == 0
    done = site.run("deliver")
    assert done.code == 0, done
    assert git(site.root, "rev-parse", "main") == hub_head(site)
    assert (site.root / "t0.txt").read_text() == "written for t0.txt\n"
    assert git(site.root, "status", "--porcelain") == ""
    assert git(site.root, "reflog", "-1", "--format=%gs", "main").startswith("swarm deliver: swm_")

    again = deliver(site)
    assert (again.code, "already delivered" in again.out) == (0, True), again
    assert "Delivered to main." in site.run("status").out
    truth = await site.truth()
    truth.assert_sound()
    (delivered,) = truth.data("delivery.delivered")
    assert (delivered["branch"], delivered["reason"], delivered["previous"]) == ("main", "it is good", base)
    assert [e.actor.partition(":")[0] for e in truth.events if e.kind == "delivery.delivered"] == ["person"]


async def test_a_branch_that_moved_is_merged_and_every_gate_runs_on_the_merged_tree(landed, model):
    site = landed()
    theirs = commit(site, {"theirs.md": "mine\n"})
    head, calls = hub_head(site), model.calls
    done = deliver(site, "--json")
    assert (done.code, done.json["state"], done.json["merged"]) == (0, "delivered", True), done
    assert git(site.root, "log", "-1", "--format=%P") == f"{theirs} {head}"
    assert git(site.root, "rev-parse", "main") == done.json["candidate"]
    assert {"theirs.md", "t0.txt", "t1.txt"} <= {path.name for path in site.root.iterdir()}
    assert git(site.root, "status", "--porcelain") == ""
    assert model.calls == calls
    assert site.left_behind() == []
    truth = await site.truth()
    gates = truth.data("gates.finished")[-1]
    assert gates["tree"] == git(site.root, "rev-parse", "main^{tree}")
    assert {row["gate"]: row["outcome"] for row in gates["results"]} == {"secrets": "passed", "tests": "passed"}


async def test_two_sides_that_are_fine_alone_and_wrong_together_are_not_delivered(landed):
    site = landed(gates=TOGETHER)
    theirs = commit(site, {"theirs.txt": "mine\n"})
    done = deliver(site)
    assert done.code == 1, done
    assert "not delivered, main is where it was" in done.out
    assert "theirs.txt:3: does not go with t0.txt" in done.out
    assert "switch -c mended && git pull" in done.out
    assert git(site.root, "rev-parse", "main") == theirs
    assert not (site.root / "t0.txt").exists()

    git(site.root, "rm", "-q", "theirs.txt")
    git(site.root, "commit", "-qm", "mended")
    assert deliver(site).code == 0
    assert (site.root / "t0.txt").exists()
    (failed,) = (await site.truth()).data("delivery.failed")
    assert "does not go with" in failed["reason"]


async def test_a_conflict_names_the_file_and_the_printed_commands_resolve_it(landed):
    site = landed()
    theirs = commit(site, {"t0.txt": "mine\n"})
    done = deliver(site)
    assert done.code == 1, done
    assert "changed the same lines of t0.txt" in done.out
    assert git(site.root, "rev-parse", "main") == theirs
    assert git(site.root, "status", "--porcelain") == ""

    beside = next(line for line in done.out.splitlines() if line.startswith("Beside it")).partition("swarm ")[2]
    assert site.run(*beside.split(), "--approve", "a look").code == 0
    assert git(site.root, "rev-parse", beside.split()[-1]) == hub_head(site)

    command = next(line for line in done.out.splitlines() if "pull --no-rebase" in line).partition(": git ")[2]
    with pytest.raises(Exception, match="non-zero exit"):
        git(site.root, *command.split())
    (site.root / "t0.txt").write_text("both\n")
    git(site.root, "commit", "-qam", "resolved")
    again = deliver(site)
    assert (again.code, "already delivered: main" in again.out) == (0, True), again
    assert git(site.root, "show", "main:t0.txt") == "both"


async def test_what_both_only_added_to_a_file_that_grows_is_delivered_together(landed):
    site = landed(more='[merge]\nunion = ["t0.txt"]')
    commit(site, {"t0.txt": "mine\n"})
    done = deliver(site)
    assert done.code == 0, done
    assert sorted((site.root / "t0.txt").read_text().splitlines()) == ["mine", "written for t0.txt"]
    assert git(site.root, "status", "--porcelain") == ""


async def test_uncommitted_work_is_refused_before_anything_is_built(landed):
    site = landed()
    base = git(site.root, "rev-parse", "main")
    (site.root / "README.md").write_text("mine\n")
    done = deliver(site)
    assert done.code == 2, done
    assert "README.md" in done.err
    assert "git stash" in done.err
    assert git(site.root, "rev-parse", "main") == base
    assert deliver(site, "--to", "result/one").code == 0
    assert git(site.root, "rev-parse", "result/one") == hub_head(site)
    assert (site.root / "README.md").read_text() == "mine\n"

    git(site.root, "stash")
    commit(site, {"theirs.md": "mine\n"})
    (site.root / "README.md").write_text("mine\n")
    assert deliver(site).code == 2
    assert "delivery.ready" not in [e.kind for e in (await site.truth()).events][-3:]


async def test_two_deliveries_at_once_are_one(landed):
    site = landed()
    commit(site, {"theirs.md": "mine\n"})
    ended: list = []
    threads = [threading.Thread(target=lambda: ended.append(deliver(site, "--json"))) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert 0 in {done.code for done in ended}, ended
    assert git(site.root, "log", "--format=%h", "--merges", "main").count("\n") == 0
    assert git(site.root, "status", "--porcelain") == ""
    assert deliver(site).code == 0
    assert len((await site.truth()).data("delivery.delivered")) == 1


def at_terminal(site: Site, answer: bytes) -> str:
    """What a person saw who was asked and typed `answer`."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "swarmworks", "deliver"],
        cwd=site.root,
        env={**os.environ, "PYTHONPATH": str(SOURCE), MARK: site.mark, "SWARM_PERSON": "Ann", "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen = b""
    while b"[y/N]" not in seen:
        seen += os.read(ours, 4096)
    os.write(ours, answer)
    with contextlib.suppress(OSError):  # the other end is closed
        while more := os.read(ours, 4096):
            seen += more
    process.wait(60)
    os.close(ours)
    return seen.decode()


async def test_at_a_terminal_the_person_is_asked_and_is_on_record(landed):
    site = landed()
    base = git(site.root, "rev-parse", "main")
    refused = at_terminal(site, b"\n")
    assert "May this go to your branch? [y/N]" in refused
    assert "waits for a review" in refused
    assert git(site.root, "rev-parse", "main") == base
    taken = at_terminal(site, b"y\n")
    assert "delivered: main is at" in taken
    assert git(site.root, "rev-parse", "main") == hub_head(site)
    events = (await site.truth()).events
    assert [e.actor for e in events if e.kind in {"review.approved", "delivery.delivered"}] == ["person:Ann"] * 2


def test_a_branch_of_a_remote_is_moved_by_a_push_and_yours_stays(landed, tmp_path):
    site = landed()
    far, before = tmp_path / "far.git", git(site.root, "rev-parse", "main")
    git(tmp_path, "clone", "-q", "--bare", str(site.root), str(far))
    git(site.root, "remote", "add", "origin", str(far))
    done = deliver(site, "--push", "origin")
    assert done.code == 0, done
    assert "origin/main" in done.out
    assert git(site.root, "rev-parse", "main") == before
    assert git(far, "show", "main:t0.txt")
    again = deliver(site, "--push", "origin")
    assert again.code == 0, again
