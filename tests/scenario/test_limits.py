"""Limits of a project, a day, an agent and of time: new work waits or is blocked, and goes on by itself where it can."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import BudgetExceededError, ConflictError, RejectedError, StoreUnavailableError
from swarmworks.base.ids import RandomIds
from swarmworks.domain.budget import Amount
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.plan import COMMAND, Estimate
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.swarm import StopReason
from swarmworks.domain.task import Guidance
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.service.inbox.reverting import Reverting
from swarmworks.service.scheduling.purse import bound_project
from swarmworks.wire.api import ResumeSwarm
from swarmworks.wire.inbox import RetryTask, RevertTask
from swarmworks.wire.work import SessionResult
from tests.scenario.harness import PlayedWorker, configuration, create, plan, repository, start_plane, task

LEAST = Amount(1_000, 1)
DAY_S = 24 * 3600


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def plane(tmp_path, clock):
    made = await start_plane(tmp_path, least=LEAST, clock=clock)
    yield made
    await made.store.close()


@pytest.fixture
def base(tmp_path):
    return repository(tmp_path / "repo", {"README.md": "hello\n"})


async def events(plane, swarm, kind):
    found = await plane.read(lambda reader: reader.events(swarm))
    return [json.loads(event.data) for event in found if event.kind == kind]


async def spend(plane, work, nano_usd, name="r"):
    def write(tx):
        tx.reserve(name, work.session_id, "m", Amount(nano_usd, 10), sent=True)
        tx.settle(name, Amount(nano_usd, 10))

    await plane.store.transact(write)


async def hand_in(worker, work, **more):
    values = {"outcome": SessionOutcome.STOPPED, "base": work.base, "head": work.base, **more}
    await worker.plane.finishing.finish(worker.lease, work.work_id, work.fence, SessionResult(**values))


async def refuse(plane, worker, work, nano_usd):
    """The session asks for what does not fit, as the gateway has it: turned away, on record, and ended for it."""
    with pytest.raises(BudgetExceededError) as refused:
        await spend(plane, work, nano_usd, f"refused {work.session_id}")
    await plane.store.transact(lambda tx: tx.stop_session(work.session_id, refused.value.what))
    await hand_in(worker, work, outcome=SessionOutcome.FAILED, reason="model_error: HTTP 400")


async def attempts(plane, swarm, name="a"):
    return (await plane.read(lambda reader: reader.task(swarm, name))).attempts


async def test_near_the_end_of_a_day_nothing_new_begins_and_the_next_day_it_goes_on_by_itself(
    plane, base, tmp_path, clock
):
    config = configuration(budget={"day_usd": "0.0001"})  # 100,000 nano-dollars
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")), agents=2, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    first, second = await worker.take(WorkKind.SESSION)
    await spend(plane, first, 90_000)
    await hand_in(worker, second, reason="the budget of day testing/2026-01-01 is full")
    await plane.settle()
    assert await worker.take(WorkKind.SESSION) == []
    assert await plane.state(swarm) == "running"
    [paused] = await events(plane, swarm, "budget.paused")
    assert paused == {"period": "day", "window": "2026-01-01", "percent": 90, "until": "2026-01-02T00:00+00:00"}
    assert (await plane.read(lambda reader: reader.task(swarm, "b"))).attempts == 0
    [window] = (await plane.status.status(swarm)).money.windows
    assert (window.key, window.percent, window.paused, window.spent_nano_usd) == ("2026-01-01", 90, True, 90_000)
    await spend(plane, first, 10_000, "on to the cap")  # what is under way goes on
    with pytest.raises(BudgetExceededError):
        await spend(plane, first, 1, "beyond")
    clock.advance(DAY_S)
    await plane.settle()
    assert len(await events(plane, swarm, "budget.resumed")) == 1
    assert [work.task.id for work in await worker.take(WorkKind.SESSION)] == ["b"]


async def test_a_project_that_has_spent_its_budget_stops_the_swarm(plane, base, tmp_path):
    config = configuration(budget={"project_usd": "0.0001"})
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 99_500)
    await hand_in(worker, work, reason="the budget of project testing is full")
    await plane.settle()
    assert await plane.state(swarm) == "stopped"
    with pytest.raises(ConflictError, match="below what is spent"):
        await bound_project(plane.store, "testing", configuration(budget={"project_usd": "0.00005"}).budget)
    raised = configuration(budget={"project_usd": "1"})
    await bound_project(plane.store, "testing", raised.budget)
    await plane.swarms.resume(swarm, ResumeSwarm(), "person:tester")
    assert await worker.take(WorkKind.SESSION)


async def test_a_call_that_does_not_fit_what_is_left_of_the_project_stops_the_swarm_and_charges_no_task(
    plane, base, tmp_path
):
    """The smallest call would still fit: without an end, session after session is turned away."""
    config = configuration(budget={"project_usd": "0.0001"})
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 90_000)
    await refuse(plane, worker, work, 12_000)
    await plane.settle()
    assert (await plane.state(swarm), await attempts(plane, swarm)) == ("stopped", 0)
    assert (await plane.read(lambda reader: reader.swarm(swarm))).reason == StopReason.BUDGET
    await bound_project(plane.store, "testing", configuration(budget={"project_usd": "1"}).budget)
    await plane.swarms.resume(swarm, ResumeSwarm(), "person:tester")
    await plane.settle()
    assert await worker.take(WorkKind.SESSION)


@pytest.mark.parametrize(("period", "until"), [("day", "2026-01-02T00:00+00:00"), ("month", "2026-02-01T00:00+00:00")])
async def test_a_call_that_does_not_fit_what_is_left_of_a_window_waits_for_the_next_and_charges_no_task(
    plane, base, tmp_path, clock, period, until
):
    config = configuration(budget={f"{period}_usd": "0.0001"})
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 85_000)  # below `pause_percent`
    await refuse(plane, worker, work, 16_000)
    await plane.settle()
    assert await worker.take(WorkKind.SESSION) == []
    assert (await plane.state(swarm), await attempts(plane, swarm)) == ("running", 0)
    [paused] = await events(plane, swarm, "budget.paused")
    assert (paused["period"], paused["percent"], paused["until"]) == (period, 85, until)
    clock.advance(DAY_S if period == "day" else 31 * DAY_S)
    await plane.settle()
    assert len(await events(plane, swarm, "budget.resumed")) == 1
    assert await worker.take(WorkKind.SESSION)


async def test_a_day_whose_limit_is_raised_takes_what_it_refused(plane, base, tmp_path):
    config = configuration(budget={"day_usd": "0.0001"})
    await bound_project(plane.store, "testing", config.budget)
    await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 85_000)
    await refuse(plane, worker, work, 16_000)
    assert await worker.take(WorkKind.SESSION) == []
    await bound_project(plane.store, "testing", configuration(budget={"day_usd": "1"}).budget)
    assert await worker.take(WorkKind.SESSION)


async def test_a_session_refused_on_a_day_that_is_over_is_tried_again_at_no_cost(plane, base, tmp_path, clock):
    config = configuration(budget={"day_usd": "0.0001"})
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 85_000)
    await plane.store.transact(
        lambda tx: tx.stop_session(work.session_id, "the budget of day testing/2026-01-01 is full: asked more")
    )
    clock.advance(DAY_S)
    await hand_in(worker, work, reason="the budget of day testing/2026-01-01 is full: asked more")
    assert await attempts(plane, swarm) == 0
    assert await worker.take(WorkKind.SESSION)


@pytest.mark.parametrize("budget", ["project_usd", "day_usd"])
async def test_a_session_that_asks_more_than_a_fresh_one_would_pays_with_an_attempt(plane, base, tmp_path, budget):
    """Much is left: it is the one session that is too large, and three of them in a row are for a person to see."""
    config = configuration(budget={budget: "0.0001"})
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 50_000)
    await refuse(plane, worker, work, 60_000)
    await plane.settle()
    assert await attempts(plane, swarm) == 1
    (again,) = await worker.take(WorkKind.SESSION)
    assert "is full" in again.rejection


async def test_a_swarm_that_has_made_every_call_it_may_stops_and_no_task_is_charged_for_it(plane, base, tmp_path):
    config = configuration(limits={"swarm_calls": 2})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")), agents=2, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    sessions = await worker.take(WorkKind.SESSION)
    for work in sessions:
        await spend(plane, work, 1_000, f"r{work.task.id}")
    with pytest.raises(BudgetExceededError):
        await spend(plane, sessions[0], 1_000, "one too many")
    for work in sessions:
        await refuse(plane, worker, work, 1_000)
    await plane.settle()
    assert await plane.state(swarm) == "stopped"
    found = await plane.read(lambda reader: (reader.swarm(swarm).reason, reader.tasks(swarm)))
    assert found[0] == StopReason.BUDGET
    assert [one.attempts for one in found[1]] == [0, 0]


async def test_a_swarm_that_has_made_every_call_it_may_goes_on_with_more(plane, base, tmp_path):
    config = configuration(limits={"swarm_calls": 2})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config, budget_nano_usd=50_000)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 1_000, "first")
    await spend(plane, work, 1_000, "second")
    await refuse(plane, worker, work, 1_000)
    await plane.settle()
    assert await plane.state(swarm) == "stopped"
    with pytest.raises(ConflictError, match="below what is spent"):
        await plane.swarms.resume(swarm, ResumeSwarm(budget_calls=1), "person:tester")
    await plane.swarms.resume(swarm, ResumeSwarm(budget_calls=3), "person:tester")
    account = (await plane.read(lambda reader: reader.swarm(swarm))).account_id
    limit = await plane.read(lambda reader: reader.totals(account).limit)
    assert (limit.nano_usd, limit.tokens, limit.calls) == (50_000, None, 3)
    assert (await events(plane, swarm, "swarm.resumed"))[0]["limit_calls"] == 3
    (again,) = await worker.take(WorkKind.SESSION)
    await spend(plane, again, 1_000, "third")
    with pytest.raises(BudgetExceededError):
        await spend(plane, again, 1_000, "one too many")


async def test_an_agent_whose_share_is_used_up_gets_no_task_and_without_any_other_the_swarm_stops(
    plane, base, tmp_path
):
    config = configuration(budget={"agent_usd": "0.0001"})  # 100,000 nano-dollars
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")), agents=2, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    first, second = await worker.take(WorkKind.SESSION)
    await spend(plane, first, 99_500)
    await hand_in(worker, first, outcome=SessionOutcome.FAILED, reason="it gave up")
    await plane.settle()
    assert await worker.take(WorkKind.SESSION) == [], "only the agent that has nothing left is idle"
    await hand_in(worker, second, outcome=SessionOutcome.FAILED, reason="it gave up")
    await plane.settle()
    (again,) = await worker.take(WorkKind.SESSION)
    assert again.agent.name == second.agent.name
    await spend(plane, again, 99_500, "the other's")
    await hand_in(worker, again, outcome=SessionOutcome.FAILED, reason="it gave up")
    await plane.settle()
    assert await plane.state(swarm) == "stopped"
    assert (await plane.read(lambda reader: reader.swarm(swarm))).reason == StopReason.BUDGET


async def test_a_task_for_an_agent_whose_share_is_used_up_stops_the_swarm_though_others_have_theirs(
    plane, base, tmp_path
):
    config = configuration(budget={"agent_usd": "0.0001"})  # 100,000 nano-dollars
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), agents=2, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (first,) = await worker.take(WorkKind.SESSION)
    await spend(plane, first, 99_500)
    await plane.store.transact(lambda tx: tx.guide_task(swarm, "a", Guidance(agent=first.agent.name)))
    await hand_in(worker, first, outcome=SessionOutcome.FAILED, reason="it gave up")
    await plane.settle()
    assert await worker.take(WorkKind.SESSION) == []
    assert (await plane.read(lambda reader: reader.swarm(swarm))).reason == StopReason.BUDGET


async def test_a_command_costs_nothing_and_runs_when_every_share_is_used_up(plane, base, tmp_path):
    config = configuration(budget={"agent_usd": "0.0001"})
    cheap = replace(task("z"), kind=COMMAND, run="true", depends_on=())
    await create(plane, tmp_path / "repo", base, plan(task("a"), cheap), agents=1, config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (first,) = await worker.take(WorkKind.SESSION)
    assert first.task.id == "a"
    await spend(plane, first, 99_500)
    await hand_in(worker, first, outcome=SessionOutcome.FAILED, reason="it gave up")
    await plane.settle()
    (second,) = await worker.take(WorkKind.SESSION)
    assert second.task.id == "z"


async def test_a_new_limit_in_tokens_bounds_no_money(plane, base, tmp_path):
    config = configuration(budget={"project_usd": "1"})
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await spend(plane, work, 50_000)
    await plane.swarms.resume(swarm, ResumeSwarm(budget_tokens=5_000), "person:tester")
    account = (await plane.read(lambda reader: reader.swarm(swarm))).account_id
    limit = await plane.read(lambda reader: reader.totals(account).limit)
    assert (limit.nano_usd, limit.tokens) == (None, 5_000)
    await spend(plane, work, 100_000_000, "a dear one")


@pytest.mark.parametrize(("error", "stays"), [(StoreUnavailableError("who knows"), True), (ConflictError("no"), False)])
async def test_a_swarm_that_may_have_been_written_down_keeps_its_branch(
    plane, base, tmp_path, monkeypatch, error, stays
):
    async def failing(*_):
        raise error

    monkeypatch.setattr(plane.swarms, "_write", failing)
    with pytest.raises(type(error)):
        await create(plane, tmp_path / "repo", base, plan(task("a")))
    assert bool(plane.hub.refs("refs/heads/swarm/")) is stays


async def test_a_swarm_runs_no_longer_than_it_may_and_longer_when_it_is_resumed(plane, base, tmp_path, clock):
    config = configuration(limits={"swarm_wall_s": 3600})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    clock.advance(3599)
    await plane.settle()
    assert await plane.state(swarm) == "running"
    clock.advance(1)
    await plane.settle()
    assert await plane.state(swarm) == "stopping"
    renewed = await plane.watching.renew(worker.lease, frozenset({work.work_id}))
    assert renewed.stop == {work.work_id: StopReason.DEADLINE}
    await hand_in(worker, work, outcome=SessionOutcome.KILLED, reason="the swarm is stopping: deadline")
    await plane.settle()
    assert (await plane.read(lambda reader: reader.swarm(swarm))).reason == StopReason.DEADLINE
    await plane.swarms.resume(swarm, ResumeSwarm(), "person:tester")
    await plane.settle()
    assert await worker.take(WorkKind.SESSION)


async def retry(plane, clock):
    deciding = Deciding(plane.store, plane.hub, RandomIds(), clock, working=True)
    return await deciding.retry("b", RetryTask(), "person:tester")


async def revert(plane, clock):
    return await Reverting(plane.store, plane.hub, clock, working=True).revert(
        "a", RevertTask(reason="slow", repository="unused"), "person:tester"
    )


@pytest.mark.parametrize("speak", [retry, revert])
async def test_the_time_a_swarm_waited_for_a_person_is_not_held_against_it_when_the_person_has_spoken(
    plane, base, tmp_path, clock, speak
):
    config = configuration(limits={"swarm_wall_s": 3600, "attempts": 1})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    first, second = await worker.take(WorkKind.SESSION)
    await worker.session(first, {"a.txt": "a\n"})
    await hand_in(worker, second, outcome=SessionOutcome.FAILED, reason="it gave up")
    await worker.run_to_the_end(swarm)
    assert (await plane.state(swarm), await plane.states(swarm)) == ("blocked", {"a": "landed", "b": "blocked"})
    clock.advance(2 * 3600)
    decided = await speak(plane, clock)
    assert decided.goes_on
    await plane.settle()
    assert await plane.state(swarm) == "running"
    assert await worker.take(WorkKind.SESSION)
    clock.advance(3600)
    await plane.settle()
    assert await plane.state(swarm) == "stopping", "its time began anew, and is over"


async def test_a_task_gets_no_more_time_than_all_its_sessions_may_take(plane, base, tmp_path, clock):
    config = configuration(limits={"task_wall_s": 1000, "session_wall_s": 900, "attempts": 9})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    worker = await PlayedWorker.register(plane, tmp_path)
    for allowed, took in ((900, 700), (300, 300)):
        (work,) = await worker.take(WorkKind.SESSION)
        assert work.limits.wall_s == allowed
        clock.advance(took)
        await hand_in(worker, work, reason=f"time limit of {allowed} s reached")
    assert await worker.take(WorkKind.SESSION) == []
    found = await plane.read(lambda reader: reader.task(swarm, "a"))
    assert (found.state, "limits.task_wall_s" in found.note) == ("blocked", True)


async def test_a_session_the_gateway_stopped_is_ended_by_its_worker_and_the_next_attempt_knows_why(
    plane, base, tmp_path
):
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await plane.store.transact(lambda tx: tx.stop_session(work.session_id, "loop: the same request"))
    renewed = await plane.watching.renew(worker.lease, frozenset({work.work_id}))
    assert renewed.limited == {work.work_id: "loop: the same request"}
    await hand_in(worker, work, reason=renewed.limited[work.work_id])
    assert (await plane.read(lambda reader: reader.task(swarm, "a"))).attempts == 1
    (again,) = await worker.take(WorkKind.SESSION)
    assert "loop: the same request" in again.rejection


@pytest.mark.parametrize(
    ("budget", "more", "words"),
    [
        ({}, {"budget_nano_usd": 999}, "the budget of the swarm does not hold one call"),
        ({"session_usd": "0.0000009"}, {}, "budget.session_"),
        ({"day_usd": "0.0000009"}, {}, "budget.day_"),
        ({"agent_usd": "0.0000009"}, {}, "budget.agent_"),
        ({"task_tokens": 100}, {}, "is estimated at 101 tokens, above budget.task_tokens"),
    ],
)
async def test_what_cannot_fit_is_refused_before_anything_runs(plane, base, tmp_path, budget, more, words):
    planned = plan(task("a", estimate=Estimate(tokens=101, minutes=1)))
    with pytest.raises(RejectedError, match=words) as caught:
        await create(plane, tmp_path / "repo", base, planned, config=configuration(budget=budget), **more)
    assert caught.value.mend
    assert await plane.read(lambda reader: reader.swarms()) == []


async def test_every_limit_that_is_nearly_used_up_is_found(plane, base, tmp_path):
    budget = {"project_usd": "0.00011", "day_usd": "0.0001", "agent_usd": "0.0001", "task_usd": "0.0001"}
    config = configuration(budget={**budget, "session_usd": "0.0001"}, limits={"swarm_calls": 1})
    await bound_project(plane.store, "testing", config.budget)
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config, budget_nano_usd=100_000)
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    assert await plane.read(lambda reader: reader.near_limits(swarm, 90)) == []
    await spend(plane, work, 95_000)
    near = await plane.read(lambda reader: reader.near_limits(swarm, 90))
    assert {str(each.kind): each.percent for each in near} == {
        "swarm": 100, "day": 95, "agent": 95, "task": 95, "session": 95,
    }  # fmt: skip
