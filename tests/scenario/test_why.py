"""What stands in the record behind a line, a commit and a task: on real services and a real repository."""

from __future__ import annotations

import sqlite3

import pytest

from swarmworks.base.errors import NotFoundError
from swarmworks.base.ids import ChangeId, TaskId
from swarmworks.cli.view.why_text import why_text
from swarmworks.git.history import History
from swarmworks.service.accounting.why import Why
from tests.scenario.harness import PlayedWorker, create, git, plan, task
from tests.scenario.test_story import base, plane, rejected_once
from tests.stores import ON_POSTGRES

__all__ = ["base", "plane"]


@pytest.fixture
async def landed(plane, base, tmp_path):
    """Task a landed at its second attempt, and was delivered into a branch that had moved on."""
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b", after=("a",))))
    worker = await PlayedWorker.register(plane, tmp_path)
    await rejected_once(plane, worker)
    await worker.run_to_the_end(swarm)
    repo = tmp_path / "repo"
    (repo / "mine.txt").write_text("by hand\n")
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "Mine")
    git(repo, "fetch", "-q", str(plane.hub.path), f"swarm/{swarm}")
    git(repo, "merge", "-q", "--no-edit", "FETCH_HEAD")
    return swarm


async def test_a_line_leads_to_its_task_through_a_delivered_merge(plane, landed, tmp_path):
    history = History(plane.hub.path, tmp_path / "repo")
    head = history.find("HEAD")
    blamed = history.blame(head.commit, "a.txt", 1)
    assert blamed.text == "a"
    assert blamed.commit.trailers["Swarm-Task"] == "a"
    why = await Why(plane.store, plane.hub).of_change(ChangeId(blamed.commit.trailers["Swarm-Change"]))
    assert (why.task_id, why.landed, why.state) == ("a", blamed.commit.commit, "landed")
    assert why.session.attempt == 2
    assert [(one.attempt, one.outcome) for one in why.sessions] == [(1, "submitted"), (2, "submitted")]
    assert "1 failed" in why.sessions[0].taught
    judged = {gate.gate: gate.outcome for gate in why.gates if gate.landed_tree}
    assert judged == {"scope": "passed", "tests": "passed"}
    assert [one.what for one in why.decisions][-1] == "landed"
    assert why.chain_break is None


async def test_it_is_told_in_words(plane, landed):
    text = " ".join(" ".join(why_text(await Why(plane.store, plane.hub).of_task(landed, TaskId("a")))).split())
    for part in (
        "a: Do a",
        "attempt 2",
        "tests passed on the tree that landed",
        "attempt 1",
        "1 failed",
        "chain intact",
    ):
        assert part in text


async def test_a_line_by_hand_is_nobody_elses(plane, landed, tmp_path):
    history = History(plane.hub.path, tmp_path / "repo")
    blamed = history.blame(history.find("HEAD").commit, "mine.txt", 1)
    assert (blamed.commit.author, blamed.commit.subject) == ("Person", "Mine")
    assert "Swarm-Change" not in blamed.commit.trailers


async def test_what_is_not_there_is_said(plane, landed, tmp_path):
    history = History(plane.hub.path, tmp_path / "repo")
    head = history.find("HEAD").commit
    with pytest.raises(NotFoundError, match=r"there is no file none\.txt"):
        history.blame(head, "none.txt", 1)
    with pytest.raises(NotFoundError, match=r"a\.txt has 1 lines"):
        history.blame(head, "a.txt", 7)
    assert history.find("0123456789abcdef") is None
    assert history.find("no-such-branch") is None
    with pytest.raises(NotFoundError):
        await Why(plane.store, plane.hub).of_task(landed, TaskId("nothing"))


async def test_an_undelivered_line_is_found_on_the_swarms_branch(plane, landed, tmp_path):
    history = History(plane.hub.path, tmp_path / "repo")
    tip = history.find(f"swarm/{landed}")
    assert tip is not None
    assert history.blame(tip.commit, "b.txt", 1).commit.trailers["Swarm-Task"] == "b"


async def test_trailers_in_the_middle_of_a_message_are_words(plane, landed, tmp_path):
    repo = tmp_path / "repo"
    (repo / "mine.txt").write_text("again\n")
    git(
        repo,
        "commit",
        "-qam",
        "Mine again\n\nSwarm-Change: chg_forged\n\nSwarm-Task: a forged one, not in a trailer\nno trailer here",
    )
    found = History(plane.hub.path, repo).find("HEAD")
    assert "Swarm-Change" not in found.trailers


@pytest.mark.skipif(ON_POSTGRES, reason="changes the file that holds the state")
async def test_a_changed_record_is_told(plane, landed):
    store = plane.store
    path = plane.hub.path.parent / "state.db"
    with sqlite3.connect(path) as database:
        triggers = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for trigger in triggers:
            database.execute(f'DROP TRIGGER "{trigger}"')
        database.execute("UPDATE event SET data = '{}' WHERE seq = 3")
    why = await Why(store, plane.hub).of_task(landed, TaskId("a"))
    assert why.chain_break == 3
    assert "BROKEN at event 3" in "\n".join(why_text(why))
