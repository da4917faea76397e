"""The story a report tells, on real services and a real repository."""

from __future__ import annotations

import pytest

from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.wire.api import ResumeSwarm
from tests.scenario.harness import PlayedWorker, create, failed, plan, repository, start_plane, task


@pytest.fixture
async def plane(tmp_path):
    made = await start_plane(tmp_path / "state")
    yield made
    await made.store.close()


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n"})


async def rejected_once(plane, worker):
    """Task a is rejected at its first attempt, then lands."""
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "wrong\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await worker.finish_build(build, worker.build(build, failed("tests")))


async def test_a_rejection_is_told_with_what_it_taught(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b", after=("a",))))
    worker = await PlayedWorker.register(plane, tmp_path)
    await rejected_once(plane, worker)
    await worker.run_to_the_end(swarm)
    report = await plane.report.report(swarm)
    (one,) = report.rejected
    assert (one.task_id, one.gate, one.file, one.line, one.attempt) == ("a", "tests", "a.txt", 3, 1)
    assert "1 failed" in one.summary
    assert (one.changed, one.became) == (("a.txt",), "landed")
    assert report.tasks[1].depends_on == ("a",)
    assert [(span.task_id, span.attempt) for span in report.timeline] == [("a", 1), ("a", 2), ("b", 1)]
    assert all(span.end_s >= span.start_s for span in report.timeline)


async def test_who_stepped_in_and_what_went_wrong_are_told(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    await plane.swarms.pause(swarm, "person:ada")
    assert await worker.take(WorkKind.SESSION) == []
    await plane.settle()
    assert await plane.state(swarm) == "paused"
    await plane.swarms.resume(swarm, ResumeSwarm(), "person:grace")
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {}, SessionOutcome.FAILED, "the model gave up")
    await worker.run_to_the_end(swarm)
    report = await plane.report.report(swarm)
    assert [(one.person, one.what) for one in report.interventions] == [
        ("ada", "paused the swarm"),
        ("grace", "let the swarm go on"),
    ]
    assert report.human_interventions == 2
    (incident,) = report.incidents
    assert (incident.kind, incident.what, incident.task_id) == ("session failed", "the model gave up", "a")


async def test_what_is_under_way_lands_while_a_swarm_is_paused(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b", after=("a",))))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await plane.swarms.pause(swarm, "person:ada")
    await worker.session(work, {"a.txt": "a\n"})
    await worker.run_to_the_end(swarm)
    assert await plane.states(swarm) == {"a": "landed", "b": "ready"}
    assert await plane.state(swarm) == "paused"
