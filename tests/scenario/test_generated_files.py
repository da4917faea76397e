"""Files that are made of others: where two changes conflict there, and nowhere else, no agent is asked."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.config_merge import MergeSection, RegenerateSection
from swarmworks.wire.config_reach import RoleReach
from swarmworks.worker.briefing import brief
from swarmworks.worker.seeding import MoreInConflictError, regenerating, seed_of, start_commit
from tests.scenario.driver import Site, job
from tests.scenario.harness import configuration, failed, plan, repository
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
    worker.rules = RULES
    await build_all(plane, swarm, worker)
    (again,) = await worker.take(WorkKind.SESSION)
    return swarm, worker, again


async def judged(worker, results=None):
    for work in await worker.take(WorkKind.GATES):
        await worker.gates(work, results)


async def landed(plane, swarm, worker):
    await judged(worker)
    await build_all(plane, swarm, worker)
    return set((await plane.states(swarm)).values()) == {"landed"}


async def test_what_only_generated_files_conflict_in_is_made_anew_without_its_agent(plane, base, tmp_path):
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    mine, other = again.task.id, {"t00": "t01", "t01": "t00"}[again.task.id]
    assert (again.runtime, again.resolves, again.regenerates) == ("command", True, True)
    assert regenerating(plane.hub, again, RULES) == f"(\n{LIST}\n)"
    seed = seed_of(plane.hub, again, RULES)
    commit = start_commit(plane.hub, again, AT, RULES)
    assert plane.hub.tree_of(commit) == seed.tree
    assert plane.hub.read_file(commit, "list.txt").decode() == f"{other}\n"
    assert plane.hub.read_file(commit, "CHANGES.md").decode() == f"# Changes\n- {other}\n- {mine}\n"
    assert {f"src/{mine}", f"src/{other}"} <= set(plane.hub.list_files(commit))
    worker.says = json.dumps({"outcome": "nothing_to_do", "done": "exit status 0"})
    await worker.session(again, {"list.txt": "t00\nt01\n"})
    assert await landed(plane, swarm, worker)
    head = await plane.head(swarm)
    assert plane.hub.read_file(head, "list.txt") == b"t00\nt01\n"
    assert plane.hub.read_file(head, "CHANGES.md").decode() == f"# Changes\n- {other}\n- {mine}\n"
    (row,) = plane.hub.log(None, head, limit=1)
    assert f"did {mine}" in row["body"]
    assert "Swarm-Model: rehearsal:rehearsal" in row["body"]
    assert f"Swarm-Regenerated-By: {again.session_id}" in row["body"]
    session = await plane.read(lambda reader: reader.session(again.session_id))
    assert session.model == "none"
    author = next(line for line in row["body"].splitlines() if line.startswith("Swarm-Agent: ")).partition(" ")[2]
    (event,) = [one for one in await told(plane, swarm, "change.landed") if one["commit"] == head]
    assert event["agent"].endswith(f"/{author}")
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
    session = await plane.read(lambda reader: reader.session(resolving.session_id))
    assert session.model == "rehearsal:rehearsal"
    worker.says = None
    await worker.session(resolving, {"list.txt": "t00\nt01\n", "CHANGES.md": f"# Changes\n- {other}\n- {mine}\n"})
    assert await landed(plane, swarm, worker)


async def test_a_command_that_always_fails_costs_an_attempt_in_the_end(plane, base, tmp_path):
    """Its agent resolves twice for nothing, and no third time, however often the list conflicts."""
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    mine, free = again.task.id, []
    for turn in range(4):
        assert again.regenerates == (turn < 2)
        if again.regenerates:
            await worker.session(again, {}, SessionOutcome.FAILED, "npm: not found")
            (again,) = await worker.take(WorkKind.SESSION)
            assert not again.regenerates
        free.append((again.resolves, again.attempt))
        if not again.resolves:
            break
        both = "".join(f"- {name}\n" for name in ("t00", "t01"))
        rows = [{"path": "list.txt", "line": "t00", "why": "by hand"}]
        worker.says = json.dumps({"outcome": "submitted", "done": "both", "dropped": rows})
        await worker.session(again, {"list.txt": f"{turn}\n", "CHANGES.md": f"# Changes\n{both}"})
        await judged(worker)
        await pushed(plane, swarm, tmp_path, "list.txt", text=f"by hand {turn}\n")
        await build_all(plane, swarm, worker)
        (again,) = await worker.take(WorkKind.SESSION)
        assert again.task.id == mine
    assert free == [(True, 1), (True, 1), (False, 2)]


async def test_its_agent_is_told_how_they_are_made_where_more_is_in_conflict(plane, base, tmp_path):
    def write(name):
        return both_list(name) | {"README.md": f"by {name}\n"}

    _, _, again = await conflicted(plane, base, tmp_path, write)
    prompt = brief(plane.hub, again, RoleReach(), RULES).task
    assert "Of list.txt nobody writes lines: resolve the rest first, then make it anew" in prompt
    assert f"The command: `{LIST}`." in prompt
    assert "nobody writes lines" not in brief(plane.hub, again, RoleReach()).task


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


async def test_however_often_it_comes_no_agent_is_asked(plane, base, tmp_path):
    """A busy lock file: each of seven conflicts with all that landed before it."""
    swarm, worker = await handed_in(plane, base, tmp_path, 7, both_list, config=CONFIG)
    worker.rules = RULES
    for _ in range(7):
        await build_all(plane, swarm, worker)
        for work in await worker.take(WorkKind.SESSION):
            assert (work.regenerates, work.attempt) == (True, 1)
            files = [name for name in plane.hub.list_files(work.base) if name.startswith("src/")]
            listed = sorted({name.removeprefix("src/") for name in files} | {work.task.id})
            await worker.session(work, {"list.txt": "".join(f"{name}\n" for name in listed)})
        await judged(worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    assert plane.hub.read_file(await plane.head(swarm), "list.txt").decode().split() == [f"t0{n}" for n in range(7)]


async def test_what_its_agent_made_of_a_conflict_before_is_what_is_made_anew(plane, base, tmp_path):
    """The command failed, the agent resolved, and by then the list conflicts again."""
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    mine = again.task.id
    await worker.session(again, {}, SessionOutcome.FAILED, "no registry")
    (resolving,) = await worker.take(WorkKind.SESSION)
    both = "".join(f"- {name}\n" for name in ("t00", "t01"))
    files = {"list.txt": "t00\nt01\n", "CHANGES.md": f"# Changes\n{both}", "src/adapted": "x\n"}
    worker.says = json.dumps({"outcome": "submitted", "done": "adapted it"})
    await worker.session(resolving, files)
    await judged(worker)
    await pushed(plane, swarm, tmp_path, "list.txt")
    await build_all(plane, swarm, worker)
    (anew,) = await worker.take(WorkKind.SESSION)
    assert (anew.regenerates, anew.task.id) == (True, mine)
    worker.says = None
    await worker.session(anew, {"list.txt": "adapted\nt00\nt01\n"})
    assert await landed(plane, swarm, worker)
    head = await plane.head(swarm)
    assert plane.hub.read_file(head, "src/adapted") == b"x\n"
    assert "adapted it" in plane.hub.log(None, head, limit=1)[0]["body"]


async def test_what_a_gate_has_against_it_is_for_its_agent_to_mend_in_the_conflict(plane, base, tmp_path):
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    await worker.session(again, {"list.txt": "t00\nt01\n", "openapi.json": "{}\n"})
    await judged(worker, failed("scope"))
    (resolving,) = await worker.take(WorkKind.SESSION)
    assert (resolving.resolves, resolving.regenerates, resolving.attempt) == (True, False, 1)
    assert "made anew by command: scope: 1 failed" in resolving.rejection
    task = await plane.read(lambda reader: reader.task(swarm, again.task.id))
    assert task.attempts == 0


@pytest.mark.parametrize("named", [True, False])
async def test_an_agent_names_a_generated_file_that_it_wrote_by_hand(plane, base, tmp_path, named):
    def write(name):
        return both_list(name) | {"README.md": f"hello\nby {name}\n"}

    swarm, worker, again = await conflicted(plane, base, tmp_path, write)
    mine, other = again.task.id, {"t00": "t01", "t01": "t00"}[again.task.id]
    rows = [{"path": "list.txt", "line": "t00", "why": "made by the command"}] if named else []
    worker.says = json.dumps({"outcome": "submitted", "done": "both", "dropped": rows})
    both = {"README.md": f"hello\nby {mine}\nby {other}\n", "CHANGES.md": f"# Changes\n- {mine}\n- {other}\n"}
    await worker.session(again, both | {"list.txt": "other\n"})
    assert await landed(plane, swarm, worker) == named
    if named:
        (event,) = await told(plane, swarm, "change.resolved")
        assert "generated" not in event
    else:
        task = await plane.read(lambda reader: reader.task(swarm, mine))
        (found,) = rejection_wire.parse(task.rejection).findings
        assert (found.file, found.expected) == ("list.txt", LIST)


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
        assert "resolved by command, made anew: list.txt" in told, told
        head = truth.landed()[0]["commit"]
        assert truth.hub.read_file(head, "list.txt").decode().split() == ["one", "three", "two"]
    finally:
        site.close()
        model.close()
