"""What agents, workers and repositories get wrong stays with the task it happened to, and stops nobody else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from swarmworks.base.errors import ConflictError, GitError, RejectedError, StoreUnavailableError
from swarmworks.domain.budget import Amount
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.swarm import StopReason
from swarmworks.policy.retry import MOST_FREE
from swarmworks.settings import worker_environment
from swarmworks.wire.api import ResumeSwarm
from swarmworks.wire.config_gates import GatesSection
from swarmworks.wire.work import SessionResult
from tests.scenario.harness import (
    Identity,
    PlayedWorker,
    configuration,
    create,
    git,
    passed,
    plan,
    repository,
    start_plane,
    task,
)

NUL, ESCAPE, EURO = chr(0), chr(27), chr(0x20AC)


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n"})


async def events(plane, swarm, kind):
    found = await plane.read(lambda reader: reader.events(swarm))
    return [json.loads(event.data) for event in found if event.kind == kind]


async def hand_in(worker, work, **more):
    values = {"outcome": SessionOutcome.SUBMITTED, "base": work.base, **more}
    if "head" not in values:
        values["head"] = worker.commit(work, {work.task.owns[0]: f"{work.task.id}\n"})
    await worker.plane.finishing.finish(worker.lease, work.work_id, work.fence, SessionResult(**values))


async def to_the_build(plane, worker):
    """Up to the one build of one task: the work and its result."""
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    return build, worker.build(build)


@pytest.mark.parametrize("handoff", [None, "{}", '{"outcome": "submitted", "done": 1}'])
async def test_a_handoff_that_cannot_be_read_does_not_stop_the_queue_or_the_dependents(plane, base, tmp_path, handoff):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b", after=("a",))))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await hand_in(worker, work, handoff=handoff)
    await worker.run_to_the_end(swarm)
    assert await plane.states(swarm) == {"a": "landed", "b": "landed"}
    problems = (await events(plane, swarm, "session.ended"))[0]["problems"]
    assert bool(problems) == (handoff is not None)


async def test_a_change_that_cannot_be_built_is_rejected_and_the_others_land(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))
    worker = await PlayedWorker.register(plane, tmp_path)
    for work in await worker.take(WorkKind.SESSION):
        await hand_in(worker, work, handoff='{"outcome": "submitted", "done": "x"}')
    change = (await plane.read(lambda reader: reader.changes(swarm)))[0]
    spoil = "UPDATE change SET handoff = '{}' WHERE id = :id"
    await plane.store.transact(lambda tx: tx.db.change(spoil, id=change.id))
    for gates in await worker.take(WorkKind.GATES):
        await worker.gates(gates)
    await plane.settle()
    (rejected,) = await events(plane, swarm, "change.rejected")
    assert rejected["change"] == change.id
    assert "cannot be built" in rejected["summary"]
    await worker.run_to_the_end(swarm)
    assert set((await plane.states(swarm)).values()) == {"landed"}


async def test_what_an_agent_says_cannot_forge_a_trailer_or_break_the_commit(plane, base, tmp_path):
    title = f"Do a\n\nSwarm-Task: other{NUL}" + "x" * 500
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a", title=title)))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    done = f"did{NUL} it {ESCAPE}[31m\nSwarm-Task: other\n--- a/x\n+++ b/x\nkey sk-abcdefghijklmnopqrstuvwx"
    await hand_in(worker, work, handoff=json.dumps({"outcome": "submitted", "done": done}))
    await worker.run_to_the_end(swarm)
    (row,) = plane.hub.log(base, await plane.head(swarm))
    assert len(row["subject"]) <= 120
    lines = (row["subject"] + "\n" + row["body"]).splitlines()
    assert [line for line in lines if line.startswith("Swarm-Task:")] == ["Swarm-Task: a"]
    assert not [line for line in lines if line.startswith(("---", "+++"))]
    assert "> Swarm-Task: other" in lines
    assert ESCAPE not in row["body"]
    assert "sk-abc" not in row["body"]


async def test_a_result_of_the_largest_size_still_ends_its_session_and_holds_no_secret(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    long = "sk-abcdefghijklmnopqrstuvwx " + EURO * 1500
    more = {"reason": long, "problems": (long,) * 20, "changed": (EURO * 900,) * 200}
    await hand_in(worker, work, outcome=SessionOutcome.FAILED, head=work.base, **more)
    (ended,) = await events(plane, swarm, "session.ended")
    assert "sk-abc" not in json.dumps(ended)
    assert len(ended["changed"][0]) == 200


class Failing:
    """The real thing, but for one method that raises the given errors first; `done` says whether it acts all the same."""

    def __init__(self, real, name, *errors, done=False):
        self._real, self._name, self._errors, self._done = real, name, list(errors), done

    def __getattr__(self, name):
        found = getattr(self._real, name)
        if name != self._name:
            return found

        def call(*arguments):
            if not self._errors:
                return found(*arguments)
            if self._done:
                found(*arguments)
            raise self._errors.pop(0)

        return call


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("error", [GitError("no"), OSError("no space")])
async def test_a_reference_that_fails_to_move_does_not_freeze_the_queue(plane, base, tmp_path, error, done):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    build, result = await to_the_build(plane, worker)
    plane.merging._hub = Failing(plane.hub, "update_ref", error, done=done)
    await worker.finish_build(build, result)
    assert await plane.states(swarm) == {"a": "queued"}
    await plane.settle()
    assert await plane.states(swarm) == {"a": "landed"}
    assert not await plane.read(lambda reader: reader.open_intents())
    await worker.run_to_the_end(swarm)
    assert await plane.states(swarm) == {"a": "landed"}
    assert len(plane.hub.log(base, await plane.head(swarm))) == 1


async def test_a_store_that_fails_while_a_landing_is_closed_leaves_it_to_the_next_look(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    build, result = await to_the_build(plane, worker)
    real, failed = plane.merging._close, []

    async def once(intent, **more):
        if not failed:
            failed.append(intent)
            raise StoreUnavailableError("the database is locked")
        await real(intent, **more)

    plane.merging._close = once
    await worker.finish_build(build, result)
    assert await plane.states(swarm) == {"a": "queued"}
    await plane.settle()
    assert await plane.states(swarm) == {"a": "landed"}
    assert await plane.state(swarm) == "landed"


async def test_the_queue_leaves_a_landing_that_is_under_way_alone(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    build, result = await to_the_build(plane, worker)
    real, seen = plane.merging._move, []

    async def looked_at_meanwhile(intent):
        await plane.merging.advance()
        seen.extend(await plane.read(lambda reader: reader.open_intents()))
        await real(intent)

    plane.merging._move = looked_at_meanwhile
    await worker.finish_build(build, result)
    assert len(seen) == 1
    assert await plane.states(swarm) == {"a": "landed"}


async def test_a_candidate_that_can_never_land_is_rejected_and_not_built_for_ever(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    for _ in range(3):
        build, result = await to_the_build(plane, worker)
        await worker.finish_build(build, result.model_copy(update={"tree": plane.hub.tree_of(base)}))
    await plane.settle()
    assert await plane.states(swarm) == {"a": "blocked"}
    assert "not the tree" in (await plane.read(lambda reader: reader.task(swarm, "a"))).note


@pytest.mark.parametrize("outcome", [SessionOutcome.HANDED_OFF, SessionOutcome.INFRASTRUCTURE])
async def test_sessions_that_cost_nothing_end_all_the_same(plane, base, tmp_path, outcome):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    sessions = 0
    while taken := await worker.take(WorkKind.SESSION):
        sessions += 1
        await hand_in(worker, taken[0], outcome=outcome, head=taken[0].base, reason="again")
    assert sessions == MOST_FREE + 3
    assert await plane.states(swarm) == {"a": "blocked"}


async def test_a_task_that_kills_every_worker_is_blocked(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    for number in range(MOST_FREE + 3):
        worker = await PlayedWorker.register(plane, tmp_path / str(number), f"w{number}")
        assert await worker.take(WorkKind.SESSION)
        await plane.watching.expire_all()
    assert await plane.states(swarm) == {"a": "blocked"}


async def test_a_session_goes_on_from_the_work_and_the_words_of_the_one_that_handed_over(plane, base, tmp_path):
    await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (first,) = await worker.take(WorkKind.SESSION)
    head = worker.commit(first, {"a.txt": "half\n"})
    handoff = json.dumps({"outcome": "handed_off", "done": "half of it", "notes": ["mind the gap"]})
    await hand_in(worker, first, outcome=SessionOutcome.HANDED_OFF, head=head, handoff=handoff)
    (second,) = await worker.take(WorkKind.SESSION)
    assert (second.start, second.start_base) == (head, first.base)
    assert json.loads(second.summary) == {
        **json.loads(handoff),
        "changed": [],
        "risks": [],
        "question": "",
        "dropped": [],
    }
    await hand_in(worker, second, outcome=SessionOutcome.FAILED, head=second.base, reason="no idea")
    (third,) = await worker.take(WorkKind.SESSION)
    assert third.last_head == head
    assert (third.summary, third.start, third.notes) == (None, None, ())


async def test_what_a_session_hands_in_that_never_took_over_does_not_count(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (first,) = await worker.take(WorkKind.SESSION)
    handoff = json.dumps({"outcome": "handed_off", "done": "half of it"})
    head = worker.commit(first, {"a.txt": "half\n"})
    await hand_in(worker, first, outcome=SessionOutcome.HANDED_OFF, head=head, handoff=handoff)
    (second,) = await worker.take(WorkKind.SESSION)
    await worker.session(second, {"a.txt": "whole\n"})
    ended = await plane.read(lambda reader: reader.session(second.session_id))
    assert (str(ended.outcome), ended.reason) == (
        "failed",
        "it handed in without having taken over from the session before it",
    )
    assert await plane.states(swarm) == {"a": "ready"}


@pytest.mark.parametrize("reason", ["model_unavailable: HTTP 503", "the session could not be run: no sandbox"])
async def test_a_model_that_does_not_answer_costs_no_attempt(plane, base, tmp_path, reason):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await hand_in(worker, work, outcome=SessionOutcome.FAILED, head=work.base, reason=reason)
    found = await plane.read(lambda reader: reader.task(swarm, "a"))
    assert (str(found.state), found.attempts) == ("ready", 0)


def spend(work, amount):
    def write(tx):
        tx.reserve("rsv-1", work.session_id, "m", amount, sent=True)
        tx.settle("rsv-1", amount)

    return write


@pytest.mark.parametrize(
    ("budget", "spent"),
    [({"budget_nano_usd": 100}, Amount(80, 0)), ({"budget_tokens": 100}, Amount(0, 80))],
)
async def test_a_swarm_at_the_end_of_its_budget_is_stopped_and_its_tasks_keep_their_attempts(
    base, tmp_path, budget, spent
):
    plane = await start_plane(tmp_path, least=Amount(60, 60))
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), **budget)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await plane.store.transact(spend(work, spent))
    await hand_in(worker, work, outcome=SessionOutcome.STOPPED, head=work.base, reason="HTTP 400: full")
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "stopped"
    assert (await plane.read(lambda reader: reader.swarm(swarm))).reason == StopReason.BUDGET
    assert (await plane.read(lambda reader: reader.task(swarm, "a"))).attempts == 0
    await plane.store.close()


async def test_a_call_that_does_not_fit_the_swarm_s_budget_stops_it_and_is_not_tried_for_ever(base, tmp_path):
    """The smallest call still fits; the one that was needed does not."""
    plane = await start_plane(tmp_path, least=Amount(10, 0))
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), budget_nano_usd=100)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    reason = f"HTTP 400: swarm {swarm}: the budget of swarm {swarm} is full: asked more"
    await plane.store.transact(
        lambda tx: tx.stop_session(work.session_id, f"the budget of swarm {swarm} is full: asked")
    )
    await hand_in(worker, work, outcome=SessionOutcome.STOPPED, head=work.base, reason=reason)
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "stopped"
    assert (await plane.read(lambda reader: reader.task(swarm, "a"))).attempts == 0
    assert len(await plane.read(lambda reader: reader.sessions(swarm))) == 1
    await plane.swarms.resume(swarm, ResumeSwarm(budget_nano_usd=1000), "person:tester")
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"
    await plane.store.close()


@pytest.mark.parametrize("budget", [1000, 10])
async def test_a_session_that_only_says_the_budget_is_full_pays_with_an_attempt(base, tmp_path, budget):
    plane = await start_plane(tmp_path, least=Amount(1, 0))
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), budget_nano_usd=budget)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    reason = f"the budget of swarm {swarm} is full"
    await hand_in(worker, work, outcome=SessionOutcome.STOPPED, head=work.base, reason=reason)
    assert (await plane.read(lambda reader: reader.task(swarm, "a"))).attempts == 1
    assert await worker.take(WorkKind.SESSION)
    await plane.store.close()


async def test_a_second_swarm_of_a_project_is_neither_resumed_nor_half_made(plane, base, tmp_path):
    first = await create(plane, tmp_path / "repo", base, plan(task("a")), agents=2)
    await plane.swarms.stop(first, StopReason.PERSON, "person:tester")
    await plane.settle()
    second = await create(plane, tmp_path / "repo", base, plan(task("b", role="web")), agents=3)
    with pytest.raises(ConflictError, match=second):
        await plane.swarms.resume(first, ResumeSwarm(), "person:tester")
    with pytest.raises(ConflictError, match=second):
        await create(plane, tmp_path / "repo", base, plan(task("c")))
    with pytest.raises(RejectedError, match=r"a\.\.b"):
        await create(plane, tmp_path / "repo", base, plan(task("a..b")))
    with pytest.raises(RejectedError, match="`speed` is no gate of this project"):
        await create(plane, tmp_path / "repo", base, plan(replace(task("c"), gates=("scope", "speed"))))
    assert len(git(plane.hub.path, "for-each-ref", "refs/heads/swarm").splitlines()) == 2
    await plane.swarms.stop(second, StopReason.PERSON, "person:tester")
    await plane.settle()
    await plane.swarms.resume(first, ResumeSwarm(), "person:tester")
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    assert work.agent.role == "api"


async def test_gates_of_a_stopped_swarm_are_not_handed_out(plane, base, tmp_path):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    await plane.swarms.stop(swarm, StopReason.PERSON, "person:tester")
    await plane.settle()
    assert await plane.state(swarm) == "stopped"
    assert not await worker.take()
    await plane.swarms.resume(swarm, ResumeSwarm(), "person:tester")
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"


async def test_sessions_leave_room_for_a_build(plane, base, tmp_path):
    await create(plane, tmp_path / "repo", base, plan(*(task(f"t{i}") for i in range(8))), agents=8)
    worker = await PlayedWorker.register(plane, tmp_path)
    small = Capacity(agents=8, cpu_slots=2, memory_bytes=(1 << 30) + (256 << 20))
    assert len(await plane.leasing.lease(worker.lease, small, (WorkKind.SESSION,))) == 2
    left = Capacity(agents=6, cpu_slots=2, memory_bytes=1 << 30)
    assert not await plane.leasing.lease(worker.lease, left, (WorkKind.SESSION,))


async def test_a_machine_without_room_for_both_still_runs_one_session(plane, base, tmp_path):
    await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))
    worker = await PlayedWorker.register(plane, tmp_path)
    tight = Capacity(agents=8, cpu_slots=2, memory_bytes=1 << 30)
    assert len(await plane.leasing.lease(worker.lease, tight, (WorkKind.SESSION,))) == 1


@pytest.mark.parametrize("kind", ["elsewhere", "unknown", "no commit"])
async def test_a_commit_that_does_not_continue_what_the_session_was_given_is_a_failure(plane, base, tmp_path, kind):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    who = Identity("x", "x@example.invalid")
    at = plane.finishing._clock.now().replace(microsecond=0)
    other = plane.hub.commit_tree(plane.hub.tree_of(base), [], "root", who, who, at)
    head = {"elsewhere": other, "unknown": "1" * 40, "no commit": "--help"}[kind]
    await hand_in(worker, work, base=other, head=head)
    assert await plane.states(swarm) == {"a": "ready"}
    (ended,) = await events(plane, swarm, "session.ended")
    assert (ended["outcome"], ended["base"], ended["head"]) == ("failed", base, base)
    assert not await plane.read(lambda reader: reader.changes(swarm))


async def test_the_watcher_that_was_away_itself_expires_nobody(plane, tmp_path):
    class Clock:
        now_s = 0.0

        def monotonic(self):
            return self.now_s

    clock = plane.watching._clock = Clock()
    await PlayedWorker.register(plane, tmp_path)
    await plane.watching.watch()
    clock.now_s += 100.0
    assert not await plane.watching.watch()
    expired = []
    for _ in range(3):
        clock.now_s += 1.0
        expired.append(await plane.watching.watch())
    assert expired == [False, False, True]


async def test_gates_that_a_project_chose_not_to_have_block_no_task_of_its_plan(plane, base, tmp_path):
    config = configuration().model_copy(update={"gates": GatesSection(explicitly_none=True)})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates, passed("scope"))
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    await worker.finish_build(build, worker.build(build, passed("scope")))
    assert await plane.states(swarm) == {"a": "landed"}
    assert (await events(plane, swarm, "swarm.created"))[0]["gates"] == "none"


def test_a_key_under_a_name_of_its_own_does_not_reach_the_worker(monkeypatch):
    provider = {"kind": "openai", "base_url": "http://127.0.0.1:1", "key_env": "MY_SECRET"}
    for name in ("MY_SECRET", "OPENAI_API_KEY", "KEPT"):
        monkeypatch.setenv(name, "x")
    found = worker_environment(configuration(providers={"own": provider}), "token")
    assert {"MY_SECRET", "OPENAI_API_KEY", "KEPT"} & found.keys() == {"KEPT"}
