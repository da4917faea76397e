"""Files that are made of others: where two changes conflict there, and nowhere else, no agent is asked."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.wire.config_merge import MergeSection, RegenerateSection
from swarmworks.worker.seeding import MoreInConflictError, regenerating, seed_of, start_commit
from tests.scenario.driver import Site, job
from tests.scenario.harness import configuration, plan, repository, start_plane
from tests.scenario.queueing import build_all, handed_in, pushed, told
from tests.scenario.writing_model import WritingModel, _text

AT = datetime(2026, 1, 1, tzinfo=UTC)
LIST = "ls src | sort > list.txt"
RULES = MergeSection(union=("CHANGES.md",), regenerate=(RegenerateSection(files=("list.txt",), run=LIST),))
CONFIG = configuration(
    files={"exclusive": False},
    merge={"union": ["CHANGES.md"], "regenerate": [{"files": ["list.txt", "made/"], "run": LIST}]},
)


@pytest.fixture
async def plane(tmp_path):
    made = await start_plane(tmp_path)
    yield made
    await made.store.close()


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n", "list.txt": "", "CHANGES.md": "# Changes\n"})


def both_list(name):
    return {
        f"src/{name}": "x\n",
        "list.txt": f"{name}\n",
        "CHANGES.md": f"# Changes\n- {name}\n",
    }


async def conflicted(plane, base, tmp_path, write=both_list, config=CONFIG):
    """One of two has landed; the session that is to settle the conflict of the other, taken."""
    swarm, worker = await handed_in(plane, base, tmp_path, 2, write, config=config)
    await build_all(plane, swarm, worker)
    (again,) = await worker.take(WorkKind.SESSION)
    return swarm, worker, again


async def landed(plane, swarm, worker):
    for work in await worker.take(WorkKind.GATES):
        await worker.gates(work)
    await build_all(plane, swarm, worker)
    return set((await plane.states(swarm)).values()) == {"landed"}


async def test_what_only_generated_files_conflict_in_is_made_anew_without_its_agent(plane, base, tmp_path):
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    mine, other = again.task.id, {"t00": "t01", "t01": "t00"}[again.task.id]
    assert (again.runtime, again.resolves, again.regenerates) == ("command", True, True)
    assert regenerating(plane.hub, again, RULES) == LIST
    seed = seed_of(plane.hub, again, RULES)
    commit = start_commit(plane.hub, again, AT, RULES)
    assert plane.hub.tree_of(commit) == seed.tree
    assert plane.hub.read_file(commit, "list.txt").decode() == f"{other}\n"
    assert plane.hub.read_file(commit, "CHANGES.md").decode() == f"# Changes\n- {other}\n- {mine}\n"
    assert {f"src/{mine}", f"src/{other}"} <= set(plane.hub.list_files(commit))
    worker.says = json.dumps({"outcome": "nothing_to_do", "done": "exit status 0"})
    await worker.session(again, {"list.txt": "t00\nt01\n", "CHANGES.md": f"# Changes\n- {other}\n- {mine}\n"})
    assert await landed(plane, swarm, worker)
    head = await plane.head(swarm)
    assert plane.hub.read_file(head, "list.txt") == b"t00\nt01\n"
    (event,) = await told(plane, swarm, "change.resolved")
    assert (sorted(event["paths"]), event["generated"]) == (["CHANGES.md", "list.txt"], ["list.txt"])
    task = await plane.read(lambda reader: reader.task(swarm, mine))
    assert task.attempts == 0
    *_, change = await plane.read(lambda reader: reader.changes(swarm, task_id=mine))
    assert f"did {mine}" in change.handoff


@pytest.mark.parametrize(
    "more", [{"README.md": "mine"}, {"CHANGES.md": "taken"}], ids=["another file", "a line is gone"]
)
async def test_where_more_is_in_conflict_the_agent_resolves_it(plane, base, tmp_path, more):
    def write(name):
        return both_list(name) | {path: f"{text} {name}\n" for path, text in more.items()}

    _, _, again = await conflicted(plane, base, tmp_path, write)
    assert (again.runtime, again.resolves, again.regenerates) == ("builtin", True, False)


async def test_without_a_rule_the_agent_resolves_it(plane, base, tmp_path):
    _, _, again = await conflicted(plane, base, tmp_path, config=configuration(files={"exclusive": False}))
    assert (again.resolves, again.regenerates) == (True, False)


@pytest.mark.parametrize("outcome", [SessionOutcome.FAILED, SessionOutcome.STOPPED])
async def test_commands_that_fail_leave_it_to_the_agent_at_no_attempts_cost(plane, base, tmp_path, outcome):
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    mine, other = again.task.id, {"t00": "t01", "t01": "t00"}[again.task.id]
    await worker.session(again, {}, outcome, "exit status 127: npm: not found")
    (resolving,) = await worker.take(WorkKind.SESSION)
    assert (resolving.task.id, resolving.runtime, resolving.resolves) == (mine, "builtin", True)
    assert not resolving.regenerates
    assert "exit status 127: npm: not found" in resolving.rejection
    task = await plane.read(lambda reader: reader.task(swarm, mine))
    assert task.attempts == 0
    worker.says = None
    await worker.session(resolving, {"list.txt": "t00\nt01\n", "CHANGES.md": f"# Changes\n- {other}\n- {mine}\n"})
    assert await landed(plane, swarm, worker)


async def test_a_session_that_is_lost_begins_once_more_as_it_was(plane, base, tmp_path):
    _, worker, again = await conflicted(plane, base, tmp_path)
    await worker.session(again, {}, SessionOutcome.LOST, "the worker lost its lease")
    (once_more,) = await worker.take(WorkKind.SESSION)
    assert (once_more.task.id, once_more.regenerates) == (again.task.id, True)


async def test_what_conflicts_by_the_time_it_begins_is_looked_at_again(plane, base, tmp_path):
    def write(name):
        return both_list(name) | ({"README.md": f"by {name}\n"} if name == "t01" else {})

    swarm, _, again = await conflicted(plane, base, tmp_path, write)
    await pushed(plane, swarm, tmp_path, "README.md")
    moved = again.model_copy(update={"base": await plane.head(swarm)})
    if again.task.id == "t00":
        assert seed_of(plane.hub, moved, RULES).tree
    else:
        with pytest.raises(MoreInConflictError, match=r"README\.md"):
            seed_of(plane.hub, moved, RULES)


class ListingModel(WritingModel):
    """Writes a file of its task's and, as somebody would who knows of no other task, the list with that one in it."""

    def answer(self, body: dict) -> dict:
        prompt = next(_text(message) for message in body["messages"] if message["role"] == "user")
        own = re.search(r"- src/(\w+)", prompt)[1]
        said = json.dumps(super().answer(body))
        return json.loads(said.replace("written for list.txt", own))


@pytest.mark.sandbox
async def test_a_real_run_makes_them_anew_in_a_sandbox(tmp_path):
    model = ListingModel()
    tasks = plan(*(job(name, owns=(f"src/{name}", "list.txt")) for name in ("one", "two", "three")))
    more = f"""
[files]
exclusive = false
[[merge.regenerate]]
files = ["list.txt"]
run = "{LIST}"
"""
    site = Site(tmp_path / "site", model.url, tasks, more=more)
    try:
        ran = site.run("run", str(site.plan_file), "--json", "--budget", "5")
        assert ran.code == 0, ran.err
        truth = await site.truth()
        assert set(truth.states().values()) == {"landed"}
        resolved = truth.data("change.resolved")
        assert resolved
        assert {tuple(event["generated"]) for event in resolved} == {("list.txt",)}
        runtimes = [event["runtime"] for event in truth.data("session.started")]
        assert runtimes.count("command") == len(resolved)
        assert runtimes.count("builtin") == 3
        told = site.run("logs").out
        assert "made anew: list.txt" in told, told
        head = truth.landed()[0]["commit"]
        assert truth.hub.read_file(head, "list.txt").decode().split() == ["one", "three", "two"]
    finally:
        site.close()
        model.close()
