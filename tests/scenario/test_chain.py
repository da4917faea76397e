"""From a created swarm to landed commits, through the real services, store and repository; only the worker is played."""

from __future__ import annotations

import asyncio

import pytest

from swarmworks.base.errors import ConflictError, FenceLostError, NotFoundError, RejectedError
from swarmworks.domain.budget import Amount
from swarmworks.domain.event import first_break
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.swarm import StopReason
from swarmworks.service.reading import Reading
from swarmworks.wire.api import ResumeSwarm
from swarmworks.wire.work import BuildWork, GatesWork, SessionWork
from tests.scenario.harness import (
    Identity,
    PlayedWorker,
    configuration,
    create,
    failed,
    git,
    passed,
    plan,
    repository,
    start_plane,
    task,
)


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n"})


async def test_a_plan_lands_one_commit_per_task_by_its_agent_in_order(plane, base, tmp_path):
    tasks = plan(
        task("schema"),
        task("one", after=("schema",)),
        task("two", after=("schema",)),
        task("end", after=("one", "two")),
    )
    swarm = await create(plane, tmp_path / "repo", base, tasks)
    worker = await PlayedWorker.register(plane, tmp_path)
    await worker.run_to_the_end(swarm)

    assert await plane.state(swarm) == "landed"
    assert set((await plane.states(swarm)).values()) == {"landed"}
    commits = plane.hub.log(base, await plane.head(swarm))
    assert len(commits) == 4
    assert [row["subject"] for row in commits][::3] == ["Do end", "Do schema"]
    for row in commits:
        assert row["author"].startswith("api-")
        assert f"Swarm-Task: {row['subject'].removeprefix('Do ')}\n" in row["body"]
        assert "Swarm-Session: ses_" in row["body"]
        assert "Swarm-Plan: plan-1" in row["body"]
        assert "Swarm-Model: rehearsal:rehearsal" in row["body"]
    assert set(plane.hub.list_files(await plane.head(swarm))) == {
        "README.md",
        "schema.txt",
        "one.txt",
        "two.txt",
        "end.txt",
    }
    events = await plane.read(lambda reader: reader.events(swarm))
    assert first_break(events) is None
    assert git(tmp_path / "repo", "rev-parse", "HEAD") == base
    assert git(tmp_path / "repo", "status", "--porcelain") == ""


async def test_a_dependent_is_told_what_the_one_before_wants_it_to_know(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b", after=("a",))))
    worker = await PlayedWorker.register(plane, tmp_path)
    await worker.run_to_the_end(swarm)
    second = next(work for work in worker.seen if work.task.id == "b")
    assert [(note.task_id, note.text) for note in second.notes] == [("a", "mind a")]


async def test_tasks_that_own_the_same_file_never_run_at_once(plane, base, tmp_path, monkeypatch):
    monkeypatch.setattr("swarmworks.service.scheduling.swarms.lint", lambda _plan, **_: ())
    tasks = plan(task("a", owns=("shared/",)), task("b", owns=("shared/x.txt",)), task("c"))
    await create(plane, tmp_path / "repo", base, tasks)
    worker = await PlayedWorker.register(plane, tmp_path)
    taken = {work.task.id for work in await worker.take()}
    assert "c" in taken
    assert len(taken & {"a", "b"}) == 1


async def test_three_rejections_block_the_task_and_each_attempt_hears_why(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b", after=("a",))))
    worker = await PlayedWorker.register(plane, tmp_path)
    rejections = []
    for _ in range(3):
        (work,) = await worker.take(WorkKind.SESSION)
        rejections.append(work.rejection)
        await worker.session(work, {"a.txt": "wrong\n"})
        (gates,) = await worker.take(WorkKind.GATES)
        await worker.gates(gates, failed("scope"))
    await plane.settle()
    assert rejections[0] is None
    assert all('"gate":"scope"' in rejection for rejection in rejections[1:])
    assert await plane.states(swarm) == {"a": "blocked", "b": "waiting"}
    assert await plane.state(swarm) == "blocked"
    await plane.swarms.resume(swarm, ResumeSwarm(retry_blocked=True), "person:tester")
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"


async def test_a_candidate_whose_gates_fail_does_not_land(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    heard = []
    for _ in range(3):
        (work,) = await worker.take(WorkKind.SESSION)
        heard.append((work.attempt, work.rejection))
        await worker.session(work, {"a.txt": "wrong\n"})
        (gates,) = await worker.take(WorkKind.GATES)
        await worker.gates(gates)
        await plane.settle()
        (build,) = await worker.take(WorkKind.BUILD)
        await worker.finish_build(build, worker.build(build, (*passed("scope"), *failed("tests"))))
        await plane.settle()
    assert [attempt for attempt, _ in heard] == [1, 2, 3]
    assert heard[0][1] is None
    assert '"expected":"2"' in heard[1][1]
    assert '"line":3' in heard[2][1]
    assert await plane.states(swarm) == {"a": "blocked"}
    assert await plane.state(swarm) == "blocked"
    assert await plane.head(swarm) == base
    assert not await worker.take()


async def test_a_gate_that_could_not_run_lets_nothing_through_and_costs_no_attempt(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    for _ in range(3):
        await plane.settle()
        (build,) = await worker.take(WorkKind.BUILD)
        await worker.finish_build(build, worker.build(build, passed("scope")))  # `tests` has no result at all
    await plane.settle()
    found = await plane.read(lambda reader: reader.task(swarm, "a"))
    assert str(found.state) == "blocked"
    assert found.attempts == 0
    assert "tests" in found.note
    assert await plane.head(swarm) == base


async def test_a_conflict_sends_the_change_back_and_the_next_attempt_lands(plane, base, tmp_path):
    config = configuration(files={"exclusive": False})
    tasks = plan(task("a", owns=("a.txt",)), task("b", owns=("b.txt",)))
    swarm = await create(plane, tmp_path / "repo", base, tasks, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    first, second = await worker.take(WorkKind.SESSION)
    await worker.session(first, {"README.md": "from a\n"})
    await worker.session(second, {"README.md": "from b\n"})
    for gates in await worker.take(WorkKind.GATES):
        await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await plane.settle()
    assert not await worker.take(WorkKind.BUILD)  # the other cannot be built on it, and may be what lands
    await worker.finish_build(build, worker.build(build))
    await plane.settle()
    assert not await worker.take(WorkKind.BUILD)
    assert sorted((await plane.states(swarm)).values()) == ["landed", "ready"]
    (again,) = await worker.take(WorkKind.SESSION)
    assert "conflict" in again.rejection
    assert again.base == await plane.head(swarm)
    await worker.session(again, {"README.md": "from a\nfrom b\n"})
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"
    assert plane.hub.read_file(await plane.head(swarm), "README.md") == b"from a\nfrom b\n"


async def test_nothing_to_do_is_believed_only_when_the_gates_prove_it(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))
    worker = await PlayedWorker.register(plane, tmp_path)
    for work in await worker.take(WorkKind.SESSION):
        await worker.session(work, {}, SessionOutcome.NOTHING_TO_DO)
    for gates in await worker.take(WorkKind.GATES):
        assert gates.stage == "candidate"
        good = gates.task.id == "a"
        await worker.gates(gates, passed("scope", "tests") if good else (*passed("scope"), *failed("tests")))
    assert await plane.states(swarm) == {"a": "nothing_to_do", "b": "ready"}
    assert await plane.head(swarm) == base


async def test_a_person_who_pushes_meanwhile_makes_the_build_start_again(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    result = worker.build(build)
    ref = (await plane.read(lambda reader: reader.swarm(swarm))).integration_ref
    (tmp_path / "repo" / "person.txt").write_text("mine\n")
    git(tmp_path / "repo", "add", "-A")
    git(tmp_path / "repo", "commit", "-qm", "by hand")
    theirs = git(tmp_path / "repo", "rev-parse", "HEAD")
    plane.hub.import_commit(tmp_path / "repo", theirs)
    assert plane.hub.update_ref(ref, theirs, base)
    await worker.finish_build(build, result)
    assert await plane.head(swarm) == theirs
    await worker.run_to_the_end(swarm)
    assert set(plane.hub.list_files(await plane.head(swarm))) == {"README.md", "a.txt", "person.txt"}


async def test_a_candidate_that_is_not_the_judged_tree_never_lands(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    result = worker.build(build)
    lie = result.model_copy(update={"tree": plane.hub.tree_of(base)})
    await worker.finish_build(build, lie)
    assert await plane.head(swarm) == base


async def test_a_silent_revert_never_lands(plane, base, tmp_path):
    """The merged tree lacks the change's own lines: a worker that lies, or a merge that dropped them."""
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    result = worker.build(build)
    tree = plane.hub.tree_of(base)
    author = plane.hub.log(None, base)[0]
    assert author
    empty = plane.hub.commit_tree(
        tree, [base], "m", Identity("x", "x@example.invalid"), Identity("y", "y@example.invalid"), build.at
    )
    await worker.finish_build(build, result.model_copy(update={"tree": tree, "candidate": empty}))
    assert await plane.head(swarm) == base


async def test_a_lost_worker_s_tasks_are_taken_again_and_its_late_word_is_refused(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    lost = await PlayedWorker.register(plane, tmp_path / "one", "w1")
    (work,) = await lost.take(WorkKind.SESSION)
    await plane.watching.expire_all()
    assert await plane.states(swarm) == {"a": "ready"}
    other = await PlayedWorker.register(plane, tmp_path / "two", "w2")
    (again,) = await other.take(WorkKind.SESSION)
    assert again.fence == work.fence + 1
    assert again.attempt == 1
    with pytest.raises(FenceLostError):
        await lost.session(work, {"a.txt": "late\n"})
    await other.session(again, {"a.txt": "mine\n"})
    await other.run_to_the_end(swarm)
    assert plane.hub.read_file(await plane.head(swarm), "a.txt") == b"mine\n"


@pytest.mark.parametrize("moved", [True, False])
async def test_a_landing_cut_short_by_a_crash_is_finished(plane, base, tmp_path, moved):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    result = worker.build(build)
    ref = (await plane.read(lambda reader: reader.swarm(swarm))).integration_ref

    class PowerCutError(Exception):
        pass

    def cut(name, new, old):
        if moved:
            assert type(plane.hub).update_ref(plane.hub, name, new, old)
        raise PowerCutError

    hub = plane.merging._hub
    plane.merging._hub = type(
        "Cut", (), {"__getattr__": lambda _s, name: cut if name == "update_ref" else getattr(hub, name)}
    )()
    with pytest.raises(PowerCutError):
        await worker.finish_build(build, result)
    plane.merging._hub = hub
    await plane.merging.recover()
    assert plane.hub.resolve(ref) == result.candidate
    await worker.run_to_the_end(swarm)
    assert await plane.states(swarm) == {"a": "landed"}
    assert len(plane.hub.log(base, await plane.head(swarm))) == 1


async def test_an_empty_purse_stops_the_swarm_and_a_raised_budget_finishes_it(base, tmp_path):
    plane = await start_plane(tmp_path, least=Amount(nano_usd=60))
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")), budget_nano_usd=100)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)  # headroom for one only

    def spend(tx):
        tx.reserve("rsv-1", work.session_id, "m", Amount(60, 10), sent=True)
        tx.settle("rsv-1", Amount(60, 10))

    await plane.store.transact(spend)
    await worker.session(work, {"a.txt": "x\n"} if work.task.id == "a" else {"b.txt": "x\n"})
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "stopped"
    report = await plane.report.report(swarm)
    assert report.reason == StopReason.BUDGET
    assert report.peak_nano_usd <= 100
    await plane.swarms.resume(swarm, ResumeSwarm(budget_nano_usd=1000), "person:tester")
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"
    with pytest.raises(ConflictError):
        await plane.swarms.resume(swarm, ResumeSwarm(), "person:tester")
    await plane.store.close()


async def test_a_build_lost_in_a_crash_is_built_again(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path / "one", "w1")
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    assert isinstance(build, BuildWork)
    await plane.watching.expire_all()
    other = await PlayedWorker.register(plane, tmp_path / "two", "w2")
    await other.run_to_the_end(swarm)
    assert await plane.states(swarm) == {"a": "landed"}


async def test_status_and_report_tell_what_happened(plane, base, tmp_path):
    tasks = plan(task("a", owns=("a.py",)), task("b", after=("a",)))
    swarm = await create(plane, tmp_path / "repo", base, tasks)
    worker = await PlayedWorker.register(plane, tmp_path)
    taken = await worker.take(WorkKind.SESSION)
    status = await plane.status.status(swarm)
    assert status.tasks["running"] == 1
    assert [agent.task_id for agent in status.agents if agent.task_id] == ["a"]
    source = "def f(x):\n    if x:\n        return 1\n    return 2\n"
    await worker.session(taken[0], {"a.py": source})
    await worker.run_to_the_end(swarm)
    status = await plane.status.status(swarm)
    assert (status.state, status.landed_commits, status.tests) == ("landed", 2, 3)
    report = await plane.report.report(swarm)
    assert report.chain_intact
    assert report.code is not None
    assert report.code.files == 1
    assert report.code.complexity_max == 2
    assert sum(agent.landed for agent in report.agents) == 2
    assert report.lines_added == 5
    assert report.gate_runs["scope"] == {"passed": 4}


async def test_work_of_a_stopping_swarm_is_not_given_out(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))
    worker = await PlayedWorker.register(plane, tmp_path)
    taken = await worker.take(WorkKind.SESSION)
    await plane.swarms.stop(swarm, StopReason.PERSON, "person:tester")
    holding = frozenset(work.work_id for work in taken)
    stop = (await plane.watching.renew(worker.lease, holding)).stop
    assert set(stop) == holding
    for work in taken:
        assert isinstance(work, SessionWork | GatesWork)
        await worker.session(work, {}, SessionOutcome.KILLED, "stopping")
    await plane.settle()
    assert await plane.state(swarm) == "stopped"
    assert not await worker.take()
    await plane.swarms.resume(swarm, ResumeSwarm(), "person:tester")
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"


async def two_builds(plane, base, tmp_path):
    """The first is being built, the second on top of it."""
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))
    worker = await PlayedWorker.register(plane, tmp_path)
    for work in await worker.take(WorkKind.SESSION):
        await worker.session(work, {work.task.owns[0]: "x\n"})
    for gates in await worker.take(WorkKind.GATES):
        await worker.gates(gates)
    assert await plane.merging.advance()
    (first,) = await worker.take(WorkKind.BUILD)
    assert await plane.merging.advance()
    (second,) = await worker.take(WorkKind.BUILD)
    assert not await plane.merging.advance()
    assert (first.after, second.after) == (None, first.change_id)
    return swarm, worker, first, second


async def test_the_next_change_is_built_on_the_one_under_way_and_lands_only_after_it(plane, base, tmp_path):
    swarm, worker, first, second = await two_builds(plane, base, tmp_path)
    result = worker.build(first)
    on_top = worker.build(second.model_copy(update={"target": result.candidate}))
    waiting = asyncio.create_task(worker.finish_build(second, on_top))
    await asyncio.wait([waiting], timeout=0.2)
    assert await plane.head(swarm) == base
    await worker.finish_build(first, result)
    await waiting
    assert await plane.head(swarm) == on_top.candidate
    assert set((await plane.states(swarm)).values()) == {"landed"}
    assert [row["commit"] for row in plane.hub.log(base, await plane.head(swarm))] == [
        on_top.candidate,
        result.candidate,
    ]


@pytest.mark.parametrize("good", [True, False])
async def test_what_was_built_on_a_change_that_did_not_land_is_built_again_and_costs_no_attempt(
    plane, base, tmp_path, good
):
    swarm, worker, first, second = await two_builds(plane, base, tmp_path)
    result = worker.build(first, (*passed("scope"), *failed("tests")))
    results = passed("scope", "tests") if good else (*passed("scope"), *failed("tests"))
    on_top = worker.build(second.model_copy(update={"target": result.candidate}), results)
    await worker.finish_build(second, on_top)
    await worker.finish_build(first, result)
    assert await plane.head(swarm) == base
    found = await plane.read(lambda reader: reader.task(swarm, second.task.id))
    assert (str(found.state), found.attempts) == ("queued", 0)
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"


async def test_a_crash_with_two_builds_under_way_lands_both_once(plane, base, tmp_path):
    swarm, *_ = await two_builds(plane, base, tmp_path)
    await plane.watching.expire_all()
    other = await PlayedWorker.register(plane, tmp_path / "two", "w2")
    await other.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"
    assert len(plane.hub.log(base, await plane.head(swarm))) == 2


async def test_a_person_who_saw_the_plan_has_approved_it_already(plane, base, tmp_path):
    gates = {"gates": [{"name": "plan", "on": "plan", "question": "Is this it?"}]}
    config = configuration(review=gates)
    said = {"approved": "I read it", "config": config}
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), actor="person:ada", **said)
    (review,) = await plane.read(lambda reader: reader.reviews(swarm))
    assert (str(review.state), review.decided_by, review.reason) == ("approved", "person:ada", "I read it")


async def test_a_yes_is_no_yes_where_somebody_else_is_asked(plane, base, tmp_path):
    gates = {"gates": [{"name": "plan", "on": "plan", "question": "Is this it?", "deciders": ["grace"]}]}
    config = configuration(review=gates)
    said = {"approved": "I read it", "config": config}
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), actor="person:ada", **said)
    (review,) = await plane.read(lambda reader: reader.reviews(swarm))
    assert str(review.state) == "open"


async def test_a_file_that_landed_can_be_read_and_no_other(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a", owns=("plan.yaml",))))
    reading = Reading(plane.store, plane.hub)
    with pytest.raises(NotFoundError):
        await reading.file(swarm, "plan.yaml")
    await (await PlayedWorker.register(plane, tmp_path)).run_to_the_end(swarm)
    assert await reading.file(swarm, "plan.yaml")
    for path in ("../plan.yaml", "/etc/passwd", "", "a//b"):
        with pytest.raises(RejectedError):
            await reading.file(swarm, path)


async def test_a_task_made_ready_while_the_branch_is_looked_up_starts_on_what_it_waited_for(plane, base, tmp_path):
    tasks = plan(task("schema"), task("other"), task("one", after=("schema",)))
    swarm = await create(plane, tmp_path / "repo", base, tasks)
    gone = await PlayedWorker.register(plane, tmp_path, "gone")
    schema = next(work for work in await gone.take(WorkKind.SESSION) if work.task.id == "schema")
    await gone.session(schema, {"schema.txt": "schema\n"})
    await gone.gates((await gone.take(WorkKind.GATES))[0])
    await plane.watching.expire_all()  # `other` is ready again, and nobody has it
    first = await PlayedWorker.register(plane, tmp_path, "w1")
    second = await PlayedWorker.register(plane, tmp_path, "w2")
    await plane.settle()
    [build] = await first.take(WorkKind.BUILD)
    assert (await plane.states(swarm))["other"] == "ready"
    loop, resolve, landed = asyncio.get_running_loop(), plane.hub.resolve, []

    def land_after_looking(ref):
        head = resolve(ref)
        if not landed:
            landed.append(build.task.id)
            landing = first.finish_build(build, first.build(build))
            asyncio.run_coroutine_threadsafe(landing, loop).result(20)
        return head

    plane.leasing._hub = _Looked(plane.hub, land_after_looking)
    taken = await second.take(WorkKind.SESSION)
    assert landed == ["schema"]
    assert {work.task.id for work in taken} == {"other", "one"}
    assert {work.base for work in taken} == {await plane.head(swarm)}


class _Looked:
    """A hub whose look-up of a branch is the test's."""

    def __init__(self, hub, resolve):
        self._hub, self.resolve = hub, resolve

    def __getattr__(self, name):
        return getattr(self._hub, name)
