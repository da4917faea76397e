"""Tests that find a fault in another's code: parked as they are, mended by a `fix_bug` task, and landed with what mends it."""

from __future__ import annotations

import json

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import RandomIds, TaskId
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.wire.api import ResumeSwarm
from swarmworks.wire.inbox import CancelTask, RetryTask
from swarmworks.wire.work import SessionWork
from tests.scenario.harness import (
    Identity,
    PlayedWorker,
    change_state,
    configuration,
    create,
    passed,
    plan,
    repository,
    task,
)

TEST = "tests/test_price.py"
CODE = "app/price.py"
WRONG = "def price(n):\n    return n\n"
RIGHT = "def price(n):\n    return 2 * n\n"
TESTED = "from app.price import price\n\n\ndef test_price():\n    assert price(2) == 4\n\n\ndef test_none():\n    assert price(0) == 0\n"
NAMES = ("tests.test_price::test_price", "tests.test_price::test_none")


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n"})


def reading_junit():
    gates = {"commands": {"tests": {"run": "true", "reads": "junit"}}, "required": {"default": ["scope", "tests"]}}
    return configuration(gates=gates)


def the_plan():
    return plan(
        task("code", owns=(CODE,), specification="about: code\n", contracts=("price(n)",)),
        task(
            "tests",
            after=("code",),
            kind="write_tests",
            role="testing",
            owns=(TEST,),
            covers=(CODE,),
            specification="about: tests\n",
        ),
        task("end", after=("tests",)),
    )


def found(**more) -> tuple[GateResult, ...]:
    given = {"message": "assert 2 == 4", "file": TEST, "line": 5, "expected": "4", "provided": "2"}
    given |= {"test": NAMES[0], "error": "AssertionError", **more}
    result = GateResult(
        "tests", GateOutcome.FAILED, "1 of 2 tests failed", findings=(Finding(**given),), tests_passed=NAMES[1:]
    )
    return (*passed("scope"), result)


def proved(names=NAMES) -> tuple[GateResult, ...]:
    return (*passed("scope"), GateResult("tests", GateOutcome.PASSED, "2 tests passed", tests_passed=tuple(names)))


class Worker(PlayedWorker):
    """Starts from the parked change, as the real one does."""

    def commit(self, work: SessionWork, files: dict[str, str]) -> str:
        if work.start is not None:
            merged = self.plane.hub.merge(work.base, work.start)
            who = Identity("w", "w@example.invalid")
            at = SystemClock().now()
            seed = self.plane.hub.commit_tree(merged.tree, [work.base], "the parked tests\n", who, who, at)
            work = work.model_copy(update={"base": seed})
        return super().commit(work, files)


async def start(plane, base, tmp_path, **more):
    swarm = await create(plane, tmp_path / "repo", base, the_plan(), config=reading_junit(), **more)
    return swarm, await Worker.register(plane, tmp_path)


async def one(worker, files, results):
    """One task from its session to the end of its build; its first session work."""
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, files)
    (asked,) = await worker.take(WorkKind.GATES)
    await worker.gates(asked)
    await worker.plane.settle()
    for build in await worker.take(WorkKind.BUILD):
        await worker.finish_build(build, worker.build(build, results))
    await worker.plane.settle()
    return work


async def parked(plane, worker):
    await one(worker, {CODE: WRONG}, proved())
    return await one(worker, {TEST: TESTED}, found())


async def kinds(plane, swarm):
    return [event.kind for event in await plane.read(lambda reader: reader.events(swarm))]


async def test_a_test_that_finds_a_fault_is_parked_and_a_task_is_filed_that_owns_both(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    session = await parked(plane, worker)

    assert await plane.states(swarm) == {"code": "landed", "tests": "parked", "end": "waiting", "fix-tests": "ready"}
    (change,) = await plane.read(lambda reader: reader.changes(swarm, task_id=session.task.id))
    assert change.state == "parked"
    assert plane.hub.read_file(change.head, TEST).decode() == TESTED
    original, fix = await plane.read(lambda r: (r.task(swarm, TaskId("tests")), r.task(swarm, TaskId("fix-tests"))))
    assert (original.attempts, fix.attempts) == (0, 0), "finding a fault costs its author nothing"
    assert fix.planned.kind == "fix_bug"
    assert fix.planned.role == "api"
    assert fix.planned.owns == (TEST, CODE)
    assert fix.planned.supersedes == "tests"
    assert fix.planned.depends_on == ("code",)
    assert fix.planned.specification == "about: code\n---\nabout: tests\n"
    assert fix.planned.contracts == ("price(n)",)
    assert fix.rank > max(task.rank for task in await plane.read(lambda r: r.tasks(swarm)) if task.id != fix.id)
    told = json.loads(fix.rejection)
    assert told["attempts_left"] == 3
    assert (told["findings"][0]["file"], told["findings"][0]["line"]) == (TEST, 5)
    assert (told["findings"][0]["expected"], told["findings"][0]["provided"]) == ("4", "2")
    assert {"task.parked", "task.filed"} <= set(await kinds(plane, swarm))
    status = await plane.status.status(swarm)
    assert status.tasks["parked"] == 1
    assert [(each.task_id, "fix-tests" in each.note) for each in status.parked] == [("tests", True)]


async def test_the_fix_lands_both_and_history_tells_it(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    session = await parked(plane, worker)
    fix = await one(worker, {CODE: RIGHT}, proved())
    await worker.run_to_the_end(swarm)

    assert (fix.task.id, fix.attempt) == ("fix-tests", 1)
    assert '"file":"tests/test_price.py"' in fix.rejection
    (change,) = await plane.read(lambda reader: reader.changes(swarm, task_id=session.task.id))
    assert (fix.start, fix.start_base) == (change.head, change.base)
    assert await plane.state(swarm) == "landed"
    states = {"code": "landed", "tests": "superseded", "end": "landed", "fix-tests": "landed"}
    assert await plane.states(swarm) == states
    assert change.state == "superseded"
    head = await plane.head(swarm)
    assert plane.hub.read_file(head, TEST).decode() == TESTED
    assert plane.hub.read_file(head, CODE).decode() == RIGHT
    commits = {row["commit"]: row for row in plane.hub.log(base, head)}
    assert len(commits) == 3
    task = await plane.read(lambda reader: reader.task(swarm, TaskId("tests")))
    body = commits[task.commit]["body"]
    assert "Swarm-Task: fix-tests\n" in body
    assert "Swarm-Supersedes: tests\n" in body
    assert f"Swarm-Parked: {change.head}\n" in body
    events = await plane.read(lambda reader: reader.events(swarm))
    (event,) = [event for event in events if event.kind == "task.superseded"]
    assert (event.task_id, json.loads(event.data)) == ("tests", {"by": "fix-tests", "commit": task.commit})


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        (TESTED.replace("== 4", "== 2"), 5, "gone or was changed"),
        (TESTED.replace("    assert price(2)", "    return\n    assert price(2)"), 4, "test_price was changed"),
        (f"{TESTED}\n\ndef test_price():\n    pass\n", 12, "second time"),
        (None, 0, "gone"),
    ],
)
async def test_a_test_that_was_weakened_is_sent_back_with_its_place(plane, base, tmp_path, text, line, why):
    swarm, worker = await start(plane, base, tmp_path)
    await parked(plane, worker)
    (work,) = await worker.take(WorkKind.SESSION)
    if text is None:
        await worker.session(work.model_copy(update={"start": None}), {CODE: RIGHT})
    else:
        await worker.session(work, {CODE: RIGHT, TEST: text})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)

    states = await plane.states(swarm)
    assert (states["tests"], states["fix-tests"]) == ("parked", "ready")
    fix = await plane.read(lambda reader: reader.task(swarm, TaskId("fix-tests")))
    told = json.loads(fix.rejection)
    assert (told["kind"], told["attempts_left"], fix.attempts) == ("weakened", 2, 1)
    place = [(row["file"], row.get("line", 0)) for row in told["findings"] if why in row["message"]]
    assert place == [(TEST, line)]


async def test_a_test_that_did_not_run_again_does_not_count_as_kept(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    await parked(plane, worker)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {CODE: RIGHT})
    (gates,) = await worker.take(WorkKind.GATES)
    assert set(gates.tests) == set(NAMES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    assert set(build.tests) == set(NAMES)
    await worker.finish_build(build, worker.build(build, proved(NAMES[1:])))

    fix = await plane.read(lambda reader: reader.task(swarm, TaskId("fix-tests")))
    told = json.loads(fix.rejection)
    assert told["kind"] == "weakened"
    assert [(row["message"], row["file"]) for row in told["findings"]] == [(f"{NAMES[0]} did not run and pass", TEST)]
    assert await plane.head(swarm) == build.target, "nothing landed"
    assert (await plane.states(swarm))["tests"] == "parked"


@pytest.mark.parametrize(
    "finding",
    [
        {"error": "NameError", "message": "name 'prise' is not defined"},
        {"error": "collection", "message": "cannot import"},
        {"error": "setup:FixtureLookupError"},
        {"file": "tests/test_other.py"},
        {"file": "", "line": 0, "test": "", "error": ""},
    ],
)
async def test_what_is_wrong_in_the_test_itself_is_its_authors(plane, base, tmp_path, finding):
    swarm, worker = await start(plane, base, tmp_path)
    await one(worker, {CODE: WRONG}, proved())
    await one(worker, {TEST: TESTED}, found(**finding))
    states = await plane.states(swarm)
    assert states == {"code": "landed", "tests": "ready", "end": "waiting"}
    assert (await plane.read(lambda reader: reader.task(swarm, TaskId("tests")))).attempts == 1


async def test_a_fix_that_fails_three_times_leaves_the_test_parked_for_a_person(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    await parked(plane, worker)
    for attempt in (1, 2, 3):
        work = await one(worker, {CODE: f"{WRONG}# {attempt}\n"}, found())
        assert work.start is not None, "every attempt begins with the parked test"
    states = {"code": "landed", "tests": "parked", "end": "waiting", "fix-tests": "blocked"}
    assert await plane.states(swarm) == states
    swarm_now = await plane.read(lambda reader: reader.swarm(swarm))
    assert (swarm_now.state, swarm_now.reason) == ("blocked", "1 blocked, 1 parked, 1 waiting for them")
    fix = await plane.read(lambda reader: reader.task(swarm, TaskId("fix-tests")))
    assert "tests/test_price.py:5" in fix.note
    assert "expected 4, provided 2" in fix.note
    events = await plane.read(lambda reader: reader.events(swarm))
    blocked = json.loads(next(event for event in events if event.kind == "task.blocked").data)
    assert (blocked["attempts"], blocked["findings"][0]["line"]) == (3, 5)

    await plane.swarms.resume(swarm, ResumeSwarm(retry_blocked=True), "person:tester")
    await one(worker, {CODE: RIGHT}, proved())
    await worker.run_to_the_end(swarm)
    assert (await plane.states(swarm))["tests"] == "superseded"


async def test_an_agent_that_holds_the_test_to_be_wrong_ends_up_with_a_person(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    await parked(plane, worker)
    (work,) = await worker.take(WorkKind.SESSION)
    worker.says = '{"outcome": "nothing_to_do", "done": "The test asks for 4 where the specification says 2."}'
    await worker.session(work, {})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await worker.finish_build(build, worker.build(build, found()))
    fix = await plane.read(lambda reader: reader.task(swarm, TaskId("fix-tests")))
    assert (fix.state, fix.attempts) == ("blocked", 1)
    assert "The test asks for 4 where the specification says 2." in fix.note
    assert (await plane.states(swarm))["tests"] == "parked"


async def test_a_person_who_retries_the_parked_task_ends_the_fix_and_the_test_is_written_anew(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    session = await parked(plane, worker)
    (change,) = await plane.read(lambda reader: reader.changes(swarm, task_id=session.task.id))

    deciding = Deciding(plane.store, plane.hub, RandomIds(), SystemClock(), working=True)
    asked = RetryTask(note="Two times is meant.")
    (running,) = await worker.take(WorkKind.SESSION)
    with pytest.raises(ConflictError, match="fix-tests is running"):
        await deciding.retry("tests", asked, "person:tester")
    await worker.session(running, {}, outcome=SessionOutcome.FAILED, reason="no idea")
    await deciding.retry("tests", asked, "person:tester")
    assert await change_state(plane, change.id) == "rejected"
    states = await plane.states(swarm)
    assert (states["tests"], states["fix-tests"]) == ("ready", "cancelled")

    again = await one(worker, {TEST: TESTED}, found())
    assert (again.start, again.guidance) == (None, "Two times is meant.")
    assert (await plane.states(swarm))["fix-tests-2"] == "ready"
    await one(worker, {CODE: RIGHT}, proved())
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"


async def test_a_person_who_cancels_the_parked_task_ends_the_fix_with_it(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    await parked(plane, worker)
    deciding = Deciding(plane.store, plane.hub, RandomIds(), SystemClock(), working=True)
    await deciding.cancel("tests", CancelTask(reason="not needed", with_dependents=True), "person:tester")
    states = {"code": "landed", "tests": "cancelled", "end": "cancelled", "fix-tests": "cancelled"}
    assert await plane.states(swarm) == states
    assert not await worker.take()


async def test_the_fix_alone_is_not_cancelled_and_its_question_goes_with_it(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    await parked(plane, worker)
    deciding = Deciding(plane.store, plane.hub, RandomIds(), SystemClock(), working=True)
    with pytest.raises(ConflictError, match="the parked work of tests") as refused:
        await deciding.cancel("fix-tests", CancelTask(reason="no"), "person:tester")
    assert "swarm retry tests" in refused.value.mend

    (work,) = await worker.take(WorkKind.SESSION)
    worker.says = '{"outcome": "needs_answer", "done": "nothing", "question": "Two or four?"}'
    await worker.session(work, {}, outcome=SessionOutcome.ASKED)
    await deciding.retry("tests", RetryTask(), "person:tester")
    (question,) = await plane.read(lambda reader: reader.questions(swarm))
    assert question.state == "withdrawn"
    assert "question.withdrawn" in await kinds(plane, swarm)


@pytest.mark.parametrize(
    ("ran", "fix", "tests"), [(NAMES, "nothing_to_do", "superseded"), (NAMES[1:], "ready", "parked")]
)
async def test_a_parked_test_that_the_branch_holds_and_passes_needs_no_fix(plane, base, tmp_path, ran, fix, tests):
    swarm, worker = await start(plane, base, tmp_path)
    session = await parked(plane, worker)
    (change,) = await plane.read(lambda reader: reader.changes(swarm, task_id=session.task.id))
    ref = (await plane.read(lambda reader: reader.swarm(swarm))).integration_ref
    head = plane.hub.resolve(ref)
    merged = plane.hub.merge(head, change.head)
    who = Identity("somebody", "somebody@example.org")
    plane.hub.update_ref(ref, plane.hub.commit_tree(merged.tree, [head], "same", who, who, SystemClock().now()), head)
    (work,) = await worker.take(WorkKind.SESSION)
    worker.says = '{"outcome": "nothing_to_do", "done": "It is there."}'
    await worker.session(work, {}, outcome=SessionOutcome.NOTHING_TO_DO)
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates, proved(ran))
    states = await plane.states(swarm)
    assert (states["fix-tests"], states["tests"]) == (fix, tests)
    assert states["end"] == ("ready" if fix == "nothing_to_do" else "waiting")


async def test_a_crash_between_the_parked_test_and_its_fix_loses_neither(plane, base, tmp_path):
    swarm, worker = await start(plane, base, tmp_path)
    await parked(plane, worker)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {CODE: RIGHT})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    ref = (await plane.read(lambda reader: reader.swarm(swarm))).integration_ref
    result = worker.build(build, proved())

    def fail(intent, *, moved, why):
        raise OSError("the power went")

    plane.merging._close, kept = fail, plane.merging._close
    await worker.finish_build(build, result)
    assert plane.hub.resolve(ref) == result.candidate, "the branch has it"
    assert (await plane.states(swarm))["tests"] == "parked", "and the states do not know yet"
    plane.merging._close = kept
    await plane.merging.recover()
    states = await plane.states(swarm)
    assert (states["tests"], states["fix-tests"], states["end"]) == ("superseded", "landed", "ready")


async def test_tests_that_run_on_the_change_itself_park_it_before_the_queue(plane, base, tmp_path):
    early = {"run": "true", "reads": "junit", "stages": ["change", "candidate"]}
    config = configuration(gates={"commands": {"tests": early}, "required": {"default": ["scope", "tests"]}})
    swarm = await create(plane, tmp_path / "repo", base, the_plan(), config=config)
    worker = await Worker.register(plane, tmp_path)
    await one(worker, {CODE: WRONG}, proved())
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {TEST: TESTED})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates, found())
    states = await plane.states(swarm)
    assert (states["tests"], states["fix-tests"]) == ("parked", "ready")


def measuring_coverage():
    commands = {"tests": {"run": "true", "reads": "junit"}, "coverage": {"from": "tests", "reads": "coverage"}}
    return configuration(gates={"commands": commands, "required": {"default": ["scope", "tests", "coverage"]}})


@pytest.mark.parametrize("coverage", [False, True], ids=["tests alone", "and coverage, which reads their report"])
async def test_what_fails_on_the_branch_as_well_is_not_charged_but_not_believed_for_ever(
    plane, base, tmp_path, coverage
):
    config = measuring_coverage() if coverage else reading_junit()
    swarm = await create(plane, tmp_path / "repo", base, the_plan(), config=config)
    worker = await Worker.register(plane, tmp_path)
    unread = (GateResult("coverage", GateOutcome.RAN_NOTHING, "its report is no evidence"),) if coverage else ()
    finding = Finding("no", "tests/test_other.py", 3, test="tests.test_other::t", error="AssertionError")
    metrics = {"on_the_branch": 1.0}
    result = GateResult("tests", GateOutcome.FAILED, "1 failed", findings=(finding,), metrics=metrics)
    used = []
    for attempt in range(3):
        await one(worker, {CODE: f"{RIGHT}# {attempt}\n"}, (*passed("scope"), result, *unread))
        used.append((await plane.read(lambda reader: reader.task(swarm, TaskId("code")))).attempts)
    assert used == [0, 0, 1]
