"""Failures that are no change's fault: one test that fails for everybody, gates that could not run."""

from __future__ import annotations

import pytest

from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.lease import WorkKind
from swarmworks.wire import rejection as rejection_wire
from tests.scenario.harness import passed, repository
from tests.scenario.queueing import handed_in, pushed, told

CORE = "tests/test_core.txt"
MORE = "tests/test_more.txt"


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n", CORE: "def test_total(): ...\n"})


def core_fails(named="test_total", file=CORE):
    finding = Finding("assert 3 == 2", file=file, line=1, expected="2", provided="3", test=f"tests.test_core.{named}")
    return (*passed("scope"), GateResult("tests", GateOutcome.FAILED, "1 failed", findings=(finding,)))


async def build_until_quiet(plane, worker, results):
    """Each build with the results that `results` gives for the files of its tree."""
    while True:
        await plane.settle()
        taken = await worker.take(WorkKind.BUILD)
        if not taken:
            return
        for build in taken:
            files = plane.hub.list_files(build.candidate)
            mended = plane.hub.read_file(build.candidate, CORE) != b"def test_total(): ...\n"
            await worker.finish_build(build, worker.build(build, results(set(files), mended)))


async def test_one_test_that_fails_for_three_changes_is_mended_by_one_task_and_costs_the_third_nothing(
    plane, base, tmp_path
):
    swarm, worker = await handed_in(plane, base, tmp_path, count=5)

    def results(files, mended):
        breaks = not mended and files & {"t00.txt", "t01.txt", "t02.txt", "t03.txt"}
        return core_fails() if breaks else passed("scope", "tests")

    await build_until_quiet(plane, worker, results)
    states = await plane.states(swarm)
    assert states["t04"] == "landed"
    health = "health-test_total"
    assert states[health] == "ready"
    tasks = {one.id: one for one in await plane.read(lambda reader: reader.tasks(swarm))}
    failing = ["t00", "t01", "t02", "t03"]
    assert sorted(states[name] for name in failing) == ["queued", "queued", "ready", "ready"]
    assert sorted(tasks[name].attempts for name in failing) == [0, 0, 1, 1]
    assert tasks[health].planned.owns == (CORE,)
    assert rejection_wire.parse(tasks[health].rejection).findings[0].expected == "2"
    (event,) = await told(plane, swarm, "task.filed")
    assert event["tests"] == ["tests.test_core.test_total"]
    held = [row for row in (await plane.merging.status(swarm)).rows if row.state == "held"]
    assert {row.task_id for row in held} == {name for name in failing if states[name] == "queued"}
    assert all(health in row.why for row in held)
    for work in await worker.take(WorkKind.SESSION):
        mends = work.task.id == health
        await worker.session(work, {CORE: "def test_total(): pass\n"} if mends else {f"{work.task.id}.txt": "again\n"})
    for work in await worker.take(WorkKind.GATES):
        await worker.gates(work)
    await build_until_quiet(plane, worker, results)
    assert set((await plane.states(swarm)).values()) == {"landed"}
    assert len(await told(plane, swarm, "task.filed")) == 1


async def test_a_test_that_goes_on_failing_after_it_was_looked_after_is_charged_as_any_other(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path, count=3)

    def always(files, _mended):
        return core_fails() if files & {"t00.txt", "t01.txt", "t02.txt"} else passed("scope", "tests")

    await build_until_quiet(plane, worker, always)
    (mends,) = [work for work in await worker.take(WorkKind.SESSION) if work.task.id.startswith("health")]
    await worker.session(mends, {CORE: "def test_total(): pass\n"})
    for work in await worker.take(WorkKind.GATES):
        await worker.gates(work)
    await build_until_quiet(plane, worker, always)
    tasks = await plane.read(lambda reader: reader.tasks(swarm))
    assert {one.id: one.attempts for one in tasks} == {"t00": 1, "t01": 1, "t02": 1, mends.task.id: 0}
    assert len(await told(plane, swarm, "task.filed")) == 1


async def test_two_that_look_after_each_others_tests_do_not_wait_for_each_other(plane, tmp_path):
    broken, mended = "def test(): ...\n", "def test(): pass\n"
    base = repository(tmp_path / "repo", {CORE: broken, MORE: broken})
    swarm, worker = await handed_in(plane, base, tmp_path, count=6)
    meets_core = {"t00", "t01", "t02", "health-test_more"}

    async def build_all():
        while True:
            await plane.settle()
            if not (taken := await worker.take(WorkKind.BUILD)):
                return
            for build in taken:
                file, named = (CORE, "test_total") if build.task.id in meets_core else (MORE, "test_more")
                fails = plane.hub.read_file(build.candidate, file) == broken.encode()
                results = core_fails(named, file) if fails else passed("scope", "tests")
                await worker.finish_build(build, worker.build(build, results))

    await build_all()
    looking = [work for work in await worker.take(WorkKind.SESSION) if work.task.id.startswith("health")]
    assert {work.task.owns for work in looking} == {(CORE,), (MORE,)}
    for work in looking:
        await worker.session(work, {work.task.owns[0]: mended})
    for work in await worker.take(WorkKind.GATES):
        await worker.gates(work)
    await build_all()
    tasks = {one.id: one for one in await plane.read(lambda reader: reader.tasks(swarm))}
    first, second = tasks["health-test_total"], tasks["health-test_more"]
    assert (str(first.state), first.attempts) == ("ready", 1)
    assert (str(second.state), second.attempts) == ("queued", 0)


async def test_tests_of_a_change_s_own_are_its_own_affair(plane, base, tmp_path):
    def own(files, _mended):
        name = min(files & {"t00.txt", "t01.txt", "t02.txt"}, default="")
        finding = Finding("assert 0", file=name, line=1, test="tests.test_same_name")
        return (*passed("scope"), GateResult("tests", GateOutcome.FAILED, "1 failed", findings=(finding,)))

    swarm, worker = await handed_in(plane, base, tmp_path, count=3)
    await build_until_quiet(plane, worker, own)
    assert set((await plane.states(swarm)).values()) == {"ready"}
    assert not await told(plane, swarm, "task.filed")


async def test_gates_that_could_not_run_cost_no_attempt_and_a_person_is_asked_at_last(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path, count=1)
    broken = (*passed("scope"), GateResult("tests", GateOutcome.COULD_NOT_RUN, "no space left on the disk"))
    await build_until_quiet(plane, worker, lambda _files, _mended: broken)
    (task,) = await plane.read(lambda reader: reader.tasks(swarm))
    assert (str(task.state), task.attempts) == ("blocked", 0)
    why = rejection_wire.parse(task.rejection)
    assert str(why.kind) == "infrastructure"
    assert "no space left on the disk" in why.summary


async def test_a_flaky_test_costs_nobody_an_attempt(plane, base, tmp_path):
    """It failed and passed on the same tree: what the worker's second look says of it."""
    swarm, worker = await handed_in(plane, base, tmp_path, count=3)
    flaky = GateResult(
        "tests",
        GateOutcome.PASSED,
        "2 passed; flaky: test_total failed on the same tree before",
        metrics={"flaky": 1.0, "tests": 2.0},
    )
    await build_until_quiet(plane, worker, lambda _files, _mended: (*passed("scope"), flaky))
    assert set((await plane.states(swarm)).values()) == {"landed"}
    assert not any(one.attempts for one in await plane.read(lambda reader: reader.tasks(swarm)))


async def test_one_change_whose_gates_cannot_run_does_not_stop_the_others_of_its_group(plane, base, tmp_path):
    swarm, worker = await handed_in(plane, base, tmp_path)
    broken = (*passed("scope"), GateResult("tests", GateOutcome.COULD_NOT_RUN, "the lock file names no such package"))

    def results(files, _mended):
        return broken if "t07.txt" in files else passed("scope", "tests")

    await build_until_quiet(plane, worker, results)
    states = await plane.states(swarm)
    assert states.pop("t07") == "blocked"
    assert set(states.values()) == {"landed"}
    assert not any(one.attempts for one in await plane.read(lambda reader: reader.tasks(swarm)))
    assert len(await told(plane, swarm, "task.blocked")) == 1


async def test_only_builds_whose_gates_could_not_run_count_until_a_person_is_asked(plane, base, tmp_path):
    """A change that failed by others' fault, or passed and could not land, has been built before."""
    swarm, worker = await handed_in(plane, base, tmp_path, count=1)
    broken = (*passed("scope"), GateResult("tests", GateOutcome.COULD_NOT_RUN, "no space left on the disk"))
    for number in range(3):
        await plane.settle()
        (build,) = await worker.take(WorkKind.BUILD)
        await pushed(plane, swarm, tmp_path, f"hand{number}.txt")
        await worker.finish_build(build, worker.build(build))
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await worker.finish_build(build, worker.build(build, broken))
    assert await plane.states(swarm) == {"t00": "queued"}
    await build_until_quiet(plane, worker, lambda _files, _mended: passed("scope", "tests"))
    assert await plane.states(swarm) == {"t00": "landed"}
