"""The merge queue at work, named after what other queues got wrong: groups, faults, conflicts, crashes in between."""

from __future__ import annotations

from dataclasses import replace

import pytest

from swarmworks.domain.lease import WorkKind
from swarmworks.wire import rejection as rejection_wire
from tests.scenario.harness import PlayedWorker, configuration, failed, passed, repository
from tests.scenario.queueing import MANY, build_all, handed_in, pushed, told


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n", "lines.txt": "".join(f"{n}\n" for n in range(40))})


async def test_many_changes_land_by_fewer_builds_one_commit_each(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path)
    builds = await build_all(plane, swarm, worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    commits = plane.hub.log(base, await plane.head(swarm))
    assert sorted(row["subject"] for row in commits) == [f"Do t{number:02d}" for number in range(MANY)]
    assert builds < MANY / 2
    tasks = await plane.read(lambda reader: reader.tasks(swarm))
    by_task = {row["subject"].removeprefix("Do "): row["commit"] for row in commits}
    for one in await plane.read(lambda reader: reader.changes(swarm)):
        assert one.landed == by_task[one.task_id]
        assert set(plane.hub.list_files(one.landed)) >= {f"{one.task_id}.txt"}
    assert len(tasks) == MANY


async def test_one_bad_change_among_many_is_found_and_costs_the_others_no_attempt(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path)
    builds = await build_all(plane, swarm, worker, lambda files: "t07.txt" in files)
    states = await plane.states(swarm)
    assert states.pop("t07") == "ready"
    assert set(states.values()) == {"landed"}
    tasks = await plane.read(lambda reader: reader.tasks(swarm))
    assert {one.id: one.attempts for one in tasks if one.attempts} == {"t07": 1}
    assert '"expected":"2"' in next(one for one in tasks if one.id == "t07").rejection
    assert builds < MANY


async def test_two_that_break_each_other_do_not_both_land(plane, base, tmp_path):
    """Each passes by itself: a queue that judges changes one by one on the branch of then lands both."""
    swarm, worker = await handed_in(plane, base, tmp_path, count=4)
    await build_all(plane, swarm, worker, lambda files: {"t00.txt", "t03.txt"} <= files)
    states = await plane.states(swarm)
    assert sorted(states.values()) == ["landed", "landed", "landed", "ready"]
    assert "ready" in {states["t00"], states["t03"]}


async def test_changes_that_conflict_are_never_built_together_and_the_second_hears_why(plane, base, tmp_path):
    config = configuration(files={"exclusive": False})

    def write(name):
        return {"README.md": f"by {name}\n"} if name in {"t01", "t02"} else {f"{name}.txt": "x\n"}

    swarm, worker = await handed_in(plane, base, tmp_path, 6, write, config=config)
    await build_all(plane, swarm, worker)
    states = await plane.states(swarm)
    assert sorted(states.values()) == ["landed"] * 5 + ["ready"]
    again = next(name for name, state in states.items() if state == "ready")
    told = (await plane.read(lambda reader: reader.task(swarm, again))).rejection
    assert '"kind":"conflict"' in told
    assert "README.md" in told


@pytest.mark.parametrize("union", [[], ["README.md"]], ids=["a conflict", "a file to which all add"])
async def test_a_conflict_in_a_file_too_large_to_look_into_is_told_by_its_name_and_stops_nobody(plane, tmp_path, union):
    lines = "line\n" * 1_000_000
    base = repository(tmp_path / "repo", {"README.md": f"hello\n{lines}"})
    config = configuration(files={"exclusive": False}, merge={"union": union})

    def write(name):
        return {f"{name}.txt": "x\n"} if name == "t00" else {"README.md": f"hello\nby {name}\n{lines}"}

    swarm, worker = await handed_in(plane, base, tmp_path, 3, write, config=config)
    await build_all(plane, swarm, worker)
    states = await plane.states(swarm)
    assert (states["t00"], sorted(states.values())) == ("landed", ["landed", "landed", "ready"])
    again = next(name for name, state in states.items() if state == "ready")
    told = rejection_wire.parse((await plane.read(lambda reader: reader.task(swarm, again))).rejection)
    assert (str(told.kind), [finding.file for finding in told.findings]) == ("conflict", ["README.md"])


async def test_edits_of_different_lines_of_one_file_land_together(plane, base, tmp_path):
    """A lock on the file would land them one after the other."""
    config = configuration(files={"exclusive": False})

    def write(name):
        number = int(name[1:]) * 8
        return {"lines.txt": "".join(f"{name}\n" if n == number else f"{n}\n" for n in range(40))}

    swarm, worker = await handed_in(plane, base, tmp_path, 4, write, config=config)
    await build_all(plane, swarm, worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    kept = plane.hub.read_file(await plane.head(swarm), "lines.txt").decode().split()
    assert {"t00", "t01", "t02", "t03"} <= set(kept)
    assert len(kept) == 40


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize("moved", [True, False])
async def test_a_landing_of_many_cut_short_lands_all_of_them_once(plane, base, tmp_path, moved):
    swarm, worker = await handed_in(plane, base, tmp_path)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    hub, count = plane.hub, len(build.members)
    assert count > 1

    def cut(name, new, old):
        if moved:
            assert hub.update_ref(name, new, old)
        raise PowerCutError

    plane.merging._hub = type(
        "Cut", (), {"__getattr__": lambda _s, name: cut if name == "update_ref" else getattr(hub, name)}
    )()
    with pytest.raises(PowerCutError):
        await worker.finish_build(build, worker.build(build))
    plane.merging._hub = hub
    assert len(await plane.read(lambda reader: reader.open_intents())) == count
    await plane.merging.recover()
    assert await plane.head(swarm) == build.candidate
    assert list((await plane.states(swarm)).values()).count("landed") == count
    await build_all(plane, swarm, worker)
    assert len(plane.hub.log(base, await plane.head(swarm))) == MANY


async def test_a_worker_lost_with_a_group_loses_none_of_it_and_lands_none_twice(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path)
    await plane.settle()
    assert await worker.take(WorkKind.BUILD)
    await plane.settle()
    await worker.take(WorkKind.BUILD)
    await plane.watching.expire_all()
    other = await PlayedWorker.register(plane, tmp_path / "two", "w2")
    await build_all(plane, swarm, other)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    assert len(plane.hub.log(base, await plane.head(swarm))) == MANY


async def test_a_push_is_told_and_everything_lands_on_top_of_it(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path, count=4)
    await plane.settle()
    (under_way,) = await worker.take(WorkKind.BUILD)
    commit = await pushed(plane, swarm, tmp_path, "hand.txt")
    await worker.finish_build(under_way, worker.build(under_way))
    assert await plane.head(swarm) == commit
    await build_all(plane, swarm, worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    (event,) = await told(plane, swarm, "queue.pushed")
    assert (event["to"], event["author"], event["subject"]) == (commit, "Person", "Add hand.txt")
    assert len(plane.hub.log(commit, await plane.head(swarm))) == 4


async def test_nothing_lands_on_a_branch_from_which_landed_work_was_taken_until_it_is_mended(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path, count=4)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await worker.finish_build(build, worker.build(build))
    landed = await plane.head(swarm)
    assert landed != base
    rewound = await pushed(plane, swarm, tmp_path, "hand.txt", on=base)
    await build_all(plane, swarm, worker)
    assert await plane.head(swarm) == rewound
    (event,) = await told(plane, swarm, "queue.frozen")
    assert "Person" in event["reason"]
    assert landed[:10] in event["reason"]
    ref = (await plane.read(lambda reader: reader.swarm(swarm))).integration_ref
    assert plane.hub.update_ref(ref, landed, rewound)  # put back
    await build_all(plane, swarm, worker)
    assert plane.hub.is_ancestor(landed, await plane.head(swarm))
    assert set((await plane.states(swarm)).values()) == {"landed"}


async def test_a_landing_that_ends_while_the_chore_looks_is_not_taken_for_a_forced_push(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path, count=2)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await worker.finish_build(build, worker.build(build))
    hub, seen = plane.hub, iter([base])  # what the chore had read before the branch moved

    def resolve(name):
        return next(seen, None) or hub.resolve(name)

    plane.merging._hub = type(
        "Late", (), {"__getattr__": lambda _s, name: resolve if name == "resolve" else getattr(hub, name)}
    )()
    await plane.merging.advance()
    assert next(seen, None) is None
    assert await told(plane, swarm, "queue.frozen") == []
    plane.merging._hub = hub
    await build_all(plane, swarm, worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}


async def build_red(plane, worker, breaks):
    """A few rounds of builds, which fail on the branch as well where the file is there."""
    for _ in range(6):
        await plane.settle()
        for build in await worker.take(WorkKind.BUILD):
            red = tuple(replace(one, metrics={"on_the_branch": 1.0}) for one in failed("tests"))
            is_red = breaks in plane.hub.list_files(build.candidate)
            results = (*passed("scope"), *red) if is_red else passed("scope", "tests")
            await worker.finish_build(build, worker.build(build, results))


async def test_a_push_that_breaks_the_branch_is_charged_to_no_change(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path, count=3)
    await plane.settle()
    commit = await pushed(plane, swarm, tmp_path, "breaks.txt")
    await build_red(plane, worker, "breaks.txt")
    assert await plane.head(swarm) == commit
    assert set((await plane.states(swarm)).values()) == {"queued"}
    assert not [one for one in await plane.read(lambda reader: reader.tasks(swarm)) if one.attempts]
    (event,) = await told(plane, swarm, "queue.frozen")
    assert "tests fails on the branch since" in event["reason"]
    assert "pushed by Person (Add breaks.txt)" in event["reason"]
    await pushed(plane, swarm, tmp_path, "mends.txt")
    await build_all(plane, swarm, worker)
    assert set((await plane.states(swarm)).values()) == {"landed"}


async def build_on_push(plane, base, tmp_path, name):
    """A swarm of one change, whose build is on what a person pushed, and what that was."""
    swarm, worker = await handed_in(plane, base, tmp_path, count=1)
    await plane.settle()
    (before,) = await worker.take(WorkKind.BUILD)
    commit = await pushed(plane, swarm, tmp_path, name)
    await worker.finish_build(before, worker.build(before))
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    assert (before.pushed, build.target) == (None, commit)
    return swarm, worker, build, commit


async def test_a_worker_is_told_what_was_pushed_and_is_not_proved_until_something_landed_on_it(plane, base, tmp_path):
    swarm, worker, build, commit = await build_on_push(plane, base, tmp_path, "hand.txt")
    assert build.pushed == commit
    await worker.finish_build(build, worker.build(build))
    assert set((await plane.states(swarm)).values()) == {"landed"}
    branch = await plane.read(lambda reader: reader.queue_branch(swarm))
    assert (branch.head, branch.pushed) == (build.candidate, None)


async def test_a_push_that_mends_the_branch_is_not_taken_for_the_one_that_broke_it(plane, base, tmp_path):
    swarm, worker, build, _ = await build_on_push(plane, base, tmp_path, "breaks.txt")
    await pushed(plane, swarm, tmp_path, "mends.txt")
    red = tuple(replace(one, metrics={"on_the_branch": 1.0}) for one in failed("tests"))
    await worker.finish_build(build, worker.build(build, (*passed("scope"), *red)))
    await plane.settle()
    assert await told(plane, swarm, "queue.frozen") == []
    assert await plane.states(swarm) == {"t00": "queued"}
    await build_all(plane, swarm, worker)
    assert await plane.states(swarm) == {"t00": "landed"}


async def test_a_push_that_breaks_the_branch_and_was_taken_away_and_put_back_is_charged_to_no_change(
    plane, base, tmp_path
):
    swarm, worker = await handed_in(plane, base, tmp_path, count=3)
    await plane.settle()
    broken = await pushed(plane, swarm, tmp_path, "breaks.txt")
    await plane.settle()
    elsewhere = await pushed(plane, swarm, tmp_path, "hand.txt", on=base)
    await plane.settle()
    ref = (await plane.read(lambda reader: reader.swarm(swarm))).integration_ref
    assert plane.hub.update_ref(ref, broken, elsewhere)
    await build_red(plane, worker, "breaks.txt")
    assert await plane.head(swarm) == broken
    assert len(await told(plane, swarm, "queue.thawed")) == 1
    assert "pushed by Person (Add breaks.txt)" in (await told(plane, swarm, "queue.frozen"))[-1]["reason"]
    assert set((await plane.states(swarm)).values()) == {"queued"}


async def test_the_queue_says_what_is_where_and_why(plane, base, tmp_path):
    config = configuration(files={"exclusive": False})

    def write(name):
        return {"README.md": f"by {name}\n"} if name in {"t01", "t02"} else {f"{name}.txt": "x\n"}

    swarm, worker = await handed_in(plane, base, tmp_path, 4, write, config=config)
    before = await plane.merging.status(swarm)
    assert [(row.place, row.state, row.expected_s) for row in before.rows] == [
        (n, "waiting", None) for n in range(1, 5)
    ]
    taken = []
    for _ in range(4):
        await plane.settle()
        taken += await worker.take(WorkKind.BUILD)
    rows = {row.task_id: row for row in (await plane.merging.status(swarm)).rows}
    assert [row.state for row in rows.values()].count("judged") == 3
    (waits,) = [row for row in rows.values() if row.state == "waiting"]
    assert waits.task_id in {"t01", "t02"}
    assert "conflicts with" in waits.why
    for build in taken:
        await worker.finish_build(build, worker.build(build))
    assert not (await plane.merging.status(swarm)).rows or (await plane.merging.status(swarm)).run_s is not None
    await build_all(plane, swarm, worker)
    assert (await plane.merging.status(swarm)).rows == ()
