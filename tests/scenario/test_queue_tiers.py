"""Conflicts in the merge queue, named after how other tools lose work by them: who resolves them, and what nobody may lose."""

from __future__ import annotations

import json

import pytest

from swarmworks.domain.lease import WorkKind
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.config_reach import RoleReach
from swarmworks.worker.briefing import brief
from tests.scenario.harness import configuration, passed, repository
from tests.scenario.queueing import build_all, handed_in, pushed, told

SHARED = configuration(files={"exclusive": False})
LOG = "# Changes\n\nnewest first\n"


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "title\nhello\n", "CHANGES.md": LOG})


def both_write(name):
    return {"README.md": f"title\nby {name}\n", f"{name}.txt": "x\n"}


async def conflicted(plane, base, tmp_path, write=both_write, config=SHARED, count=2):
    """One of two has landed, the other's agent is to resolve the conflict: its session, taken."""
    swarm, worker = await handed_in(plane, base, tmp_path, count, write, config=config)
    authors = {one.task_id: one.agent_id for one in await plane.read(lambda reader: reader.changes(swarm))}
    await build_all(plane, swarm, worker)
    (again,) = await worker.take(WorkKind.SESSION)
    assert again.agent.id == authors[again.task.id]
    return swarm, worker, again


async def judged(plane, worker):
    for work in await worker.take(WorkKind.GATES):
        await worker.gates(work)
    await plane.settle()


def handoff(*dropped):
    rows = [{"path": path, "line": line, "why": "both cannot be"} for path, line in dropped]
    return json.dumps({"outcome": "submitted", "done": "both", "dropped": rows})


async def rejection_of(plane, swarm, name):
    found = await plane.read(lambda reader: reader.task(swarm, name))
    return found, rejection_wire.parse(found.rejection)


async def test_a_conflict_is_resolved_by_its_own_agent_in_a_copy_that_holds_both_sides(plane, base, tmp_path):
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    mine = again.task.id
    other = "t00" if mine == "t01" else "t01"
    task, why = await rejection_of(plane, swarm, mine)
    assert (task.attempts, why.conflicts) == (0, 1)
    place = why.findings[0]
    assert (place.file, place.line, place.expected, place.provided) == ("README.md", 2, f"by {other}", f"by {mine}")
    assert f"'Do {other}' ({other}, by " in place.message
    told_agent = brief(plane.hub, again, RoleReach()).task
    assert "## The conflict" in told_agent
    assert f"<<<<<<< {again.base}\nby {other}\n=======\nby {mine}\n>>>>>>> " in told_agent
    await worker.session(again, {"README.md": f"title\nby {other}\nby {mine}\n"})
    await judged(plane, worker)
    await build_all(plane, swarm, worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    head = await plane.head(swarm)
    assert plane.hub.read_file(head, "README.md").decode() == f"title\nby {other}\nby {mine}\n"
    assert plane.hub.read_file(head, f"{mine}.txt") == b"x\n"
    (event,) = await told(plane, swarm, "change.resolved")
    assert (event["paths"], event["dropped"]) == (["README.md"], [])


@pytest.mark.parametrize("kept", ["incoming", "present", "markers"])
async def test_kept_text_is_lost_by_no_resolution_that_does_not_say_so(plane, base, tmp_path, kept):
    """A rival lets a model "keep incoming": what the other side had written was gone, and nobody heard of it."""
    swarm, worker, again = await conflicted(plane, base, tmp_path)
    mine = again.task.id
    other = "t00" if mine == "t01" else "t01"
    text = {"incoming": f"title\nby {mine}\n", "present": f"title\nby {other}\n"}
    await worker.session(again, {"README.md": text[kept]} if kept in text else {})
    await judged(plane, worker)
    task, why = await rejection_of(plane, swarm, mine)
    assert (str(task.state), task.attempts, why.conflicts) == ("ready", 0, 2)
    lost = {"incoming": f"by {other}", "present": f"by {mine}", "markers": ""}[kept]
    assert [(one.file, one.expected) for one in why.findings] == [("README.md", lost)]
    whose = {"incoming": "the branch added", "present": "your change added", "markers": "a conflict marker"}[kept]
    assert why.findings[0].message.startswith(whose)
    (once_more,) = await worker.take(WorkKind.SESSION)
    assert once_more.resolves
    worker.says = handoff(("README.md", f"by {mine}"))
    await worker.session(once_more, {"README.md": f"title\nby {other}\n"})
    await judged(plane, worker)
    await build_all(plane, swarm, worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    (event,) = await told(plane, swarm, "change.resolved")
    assert event["dropped"] == [{"path": "README.md", "line": f"by {mine}", "why": "both cannot be"}]


async def test_what_a_person_pushed_is_kept_as_anybody_s_text(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path, 1, both_write, config=SHARED)
    await pushed(plane, swarm, tmp_path, "README.md")
    await build_all(plane, swarm, worker)
    (again,) = await worker.take(WorkKind.SESSION)
    _, why = await rejection_of(plane, swarm, "t00")
    assert "'Add README.md' (a push, by Person, " in why.findings[0].message
    await worker.session(again, {"README.md": "title\nby t00\n"})
    await judged(plane, worker)
    assert plane.hub.read_file(await plane.head(swarm), "README.md") == b"by hand\n"
    _, why = await rejection_of(plane, swarm, "t00")
    assert "by hand" in [one.expected for one in why.findings]


async def test_after_two_resolutions_that_failed_the_task_is_done_anew_and_then_a_person_is_asked(
    plane, base, tmp_path
):
    config = configuration(files={"exclusive": False}, limits={"attempts": 2})
    swarm, worker, again = await conflicted(plane, base, tmp_path, config=config)
    mine = again.task.id
    await worker.session(again, {})
    await judged(plane, worker)
    (second,) = await worker.take(WorkKind.SESSION)
    assert second.resolves
    await worker.session(second, {})
    await judged(plane, worker)
    (anew,) = await worker.take(WorkKind.SESSION)
    assert (anew.resolves, anew.start, anew.last_head is not None) == (False, None, True)
    assert (await rejection_of(plane, swarm, mine))[0].attempts == 1
    await pushed(plane, swarm, tmp_path, "README.md")
    await worker.session(anew, {"README.md": "title\nanew\n"})
    await judged(plane, worker)
    await build_all(plane, swarm, worker)
    task, _ = await rejection_of(plane, swarm, mine)
    assert str(task.state) == "blocked"
    assert "README.md" in task.note


async def test_a_queue_is_not_stuck_behind_a_conflict(plane, base, tmp_path):
    """In a queue that merges in order, the first that conflicts held up everything behind it."""

    def write(name):
        return {"README.md": "title\nmine\n"} if name == "t00" else {f"{name}.txt": "x\n"}

    swarm, worker = await handed_in(plane, base, tmp_path, 8, write, config=SHARED)
    await pushed(plane, swarm, tmp_path, "README.md")
    await build_all(plane, swarm, worker)
    states = await plane.states(swarm)
    assert states.pop("t00") == "ready"
    assert set(states.values()) == {"landed"}


async def test_a_resolution_is_judged_alone(plane, base, tmp_path):
    swarm, worker = await handed_in(
        plane,
        base,
        tmp_path,
        12,
        lambda name: both_write(name) if name < "t02" else {f"{name}.txt": "x\n"},
        config=SHARED,
    )
    await pushed(plane, swarm, tmp_path, "README.md")
    await plane.settle()
    resolving = await worker.take(WorkKind.SESSION)
    assert {work.task.id for work in resolving} <= {"t00", "t01"}
    for work in resolving:
        name = work.task.id
        worker.says = handoff(("README.md", "title"))
        await worker.session(work, {"README.md": f"by hand\nby {name}\n"})
    for work in await worker.take(WorkKind.GATES):
        await worker.gates(work)
    seen = set()
    while True:
        await plane.settle()
        builds = await worker.take(WorkKind.BUILD)
        if not builds:
            break
        for build in builds:
            seen |= {len(build.members)} if {"t00", "t01"} & {build.task.id} else set()
            await worker.finish_build(build, worker.build(build, passed("scope", "tests")))
    assert seen == {1}


@pytest.mark.parametrize("united", [True, False])
async def test_both_additions_to_a_file_that_only_grows_are_kept(plane, base, tmp_path, united):
    merge = {"union": ["CHANGES.md"]} if united else {}
    config = configuration(files={"exclusive": False}, merge=merge)

    def write(name):
        return {"CHANGES.md": f"{LOG}- {name} did this\n- and that, {name}\n"}

    swarm, worker = await handed_in(plane, base, tmp_path, 3, write, config=config)
    await build_all(plane, swarm, worker)
    states = list((await plane.states(swarm)).values())
    assert states.count("landed") == (3 if united else 1)
    if united:
        kept = plane.hub.read_file(await plane.head(swarm), "CHANGES.md").decode()
        assert kept.startswith(LOG)
        assert sorted(kept.splitlines()[3:]) == sorted(
            line for n in range(3) for line in write(f"t0{n}")["CHANGES.md"].splitlines()[3:]
        )
        assert (
            len([one for one in await told(plane, swarm, "change.building") if one.get("united") == ["CHANGES.md"]])
            == 2
        )


async def test_a_line_taken_from_a_file_that_only_grows_is_a_conflict_all_the_same(plane, base, tmp_path):
    config = configuration(files={"exclusive": False}, merge={"union": ["CHANGES.md"]})

    def write(name):
        return {"CHANGES.md": f"# Changes\n\n{name} first\n" if name == "t01" else f"{LOG}- {name}\n"}

    swarm, worker = await handed_in(plane, base, tmp_path, 2, write, config=config)
    await build_all(plane, swarm, worker)
    assert sorted((await plane.states(swarm)).values()) == ["landed", "ready"]
