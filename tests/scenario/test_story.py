"""The story a report tells, on real services and a real repository."""

from __future__ import annotations

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import QuestionId, RandomIds
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.service.conversing import Conversing
from swarmworks.service.delivering import Delivering
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.service.model_reviews import ModelReviews
from swarmworks.wire.api import ResumeSwarm
from swarmworks.wire.delivery import REFUSED_AT_HOME, RequestDelivery
from swarmworks.wire.inbox import AnswerQuestion, Approve, CancelTask
from swarmworks.wire.work import ReviewResult
from tests.scenario.harness import PlayedWorker, create, failed, plan, repository, start_plane, task
from tests.scenario.test_people import MODEL, OWNER, gates, submitted


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


async def test_a_models_look_is_no_try_of_the_task_and_no_session_of_its(plane, base, tmp_path):
    config = gates({**MODEL, "strategy": "model"})
    tasks = plan(task("a", role="reviewer"), task("b", after=("a",)))
    swarm = await create(plane, tmp_path / "repo", base, tasks, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    reviewer = ModelReviews(plane.store, plane.hub, RandomIds())
    for _ in tasks.tasks:
        await submitted(plane, worker)
        (look,) = await worker.take(WorkKind.REVIEW)
        await reviewer.finish(worker.lease, look.work_id, look.fence, ReviewResult(verdict="pass", summary="fine"))
        await plane.settle()
        (build,) = await worker.take(WorkKind.BUILD)
        await worker.finish_build(build, worker.build(build))
        await plane.settle()
    report = await plane.report.report(swarm)
    rows = {one.name: (one.landed, one.first_pass_landed) for one in report.agents if one.landed}
    assert rows == {"reviewer-1": (1, 1), "api-1": (1, 1)}
    assert [(one.agent, one.sessions) for one in report.tasks] == [("reviewer-1", 1), ("api-1", 1)]
    assert sum(one.sessions for one in report.agents) == 4


@pytest.mark.parametrize(
    ("outcome", "first"),
    [(SessionOutcome.HANDED_OFF, 1), (SessionOutcome.INFRASTRUCTURE, 1), (SessionOutcome.FAILED, 0)],
)
async def test_only_what_costs_an_attempt_makes_another_try(plane, base, tmp_path, outcome, first):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {}, outcome, "it ended")
    (again,) = await worker.take(WorkKind.SESSION)
    if outcome is SessionOutcome.HANDED_OFF:
        await plane.store.transact(lambda tx: tx.try_takeover(again.session_id, accepted=True))
    await worker.session(again, {"a.txt": "a\n"})
    await worker.run_to_the_end(swarm)
    report = await plane.report.report(swarm)
    assert [one.sessions for one in report.tasks] == [2]
    assert sum(one.first_pass_landed for one in report.agents) == first


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


async def test_a_decision_is_told_once_whatever_follows_from_it(plane, base, tmp_path):
    behind = (task("d", after=("a",)), task("e", after=("a",)))
    tasks = plan(task("a"), task("b"), task("c", after=("b",)), *behind)
    swarm = await create(plane, tmp_path / "repo", base, tasks, config=gates(OWNER), agents=1)
    worker = await PlayedWorker.register(plane, tmp_path)
    deciding = Deciding(plane.store, plane.hub, RandomIds(), SystemClock(), working=True)
    (work,) = await worker.take(WorkKind.SESSION)
    question = QuestionId("qst_1")
    asks = ("May I write it?", ("more.txt",))
    await plane.store.transact(lambda tx: tx.insert_question(question, work.session_id, *asks))
    await deciding.answer(question, AnswerQuestion(text="yes"), "person:ada")
    await Conversing(plane.store, RandomIds(), SystemClock()).say(swarm, "a", "mind the sum", "person:ada")
    await plane.swarms.pause(swarm, "person:ada")
    await deciding.cancel("b", CancelTask(reason="not needed", with_dependents=True), "person:ada")
    await plane.swarms.resume(swarm, ResumeSwarm(), "person:ada")
    await worker.session(work, {"a.txt": "a\n"})
    (asked,) = await worker.take(WorkKind.GATES)
    await worker.gates(asked)
    await plane.settle()
    assert await plane.state(swarm) == "blocked"
    await deciding.approve("a", Approve(reason="fine"), "person:ada")
    kinds = [event.kind for event in await plane.read(lambda reader: reader.events(swarm, limit=500))]
    assert {"scope.granted", "change.approved"} < set(kinds)
    assert [kinds.count(kind) for kind in ("message.sent", "swarm.resumed", "task.cancelled")] == [2, 2, 2]
    report = await plane.report.report(swarm)
    assert [one.what for one in report.interventions] == [
        "answered: May I write it?",
        "said to api-1",
        "paused the swarm",
        "cancelled it",
        "let the swarm go on",
        "approved at owner: Do you want it?",
    ]


async def test_who_withdrew_a_delivery_is_told_and_not_what_withdrew_itself(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    await (await PlayedWorker.register(plane, tmp_path)).run_to_the_end(swarm)
    delivering = Delivering(plane.store, plane.hub, RandomIds(), SystemClock())
    asked = RequestDelivery(branch="main", tip=base, repository=str(tmp_path / "repo"))
    for person, reason in (("ada", "not today"), ("grace", REFUSED_AT_HOME)):
        made = await delivering.request(swarm, asked, f"person:{person}")
        await delivering.withdraw(made.id, reason, f"person:{person}")
    report = await plane.report.report(swarm)
    assert [(one.person, one.what, one.why) for one in report.interventions] == [
        ("ada", "asked for delivery to main", ""),
        ("ada", "withdrew the delivery to main", "not today"),
        ("grace", "asked for delivery to main", ""),
    ]


async def test_what_is_under_way_lands_while_a_swarm_is_paused(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b", after=("a",))))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await plane.swarms.pause(swarm, "person:ada")
    await worker.session(work, {"a.txt": "a\n"})
    await worker.run_to_the_end(swarm)
    assert await plane.states(swarm) == {"a": "landed", "b": "ready"}
    assert await plane.state(swarm) == "paused"
