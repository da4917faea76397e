"""What every store must do. Collected by `test_conformance.py` for each store of `store_factory`."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from swarmworks.base.errors import (
    BudgetExceededError,
    ConflictError,
    FenceLostError,
    NotFoundError,
    RejectedError,
    StoreUnavailableError,
)
from swarmworks.base.ids import (
    DeliveryId,
    MessageId,
    QuestionId,
    ReplicaId,
    ReservationId,
    ReviewId,
    SwarmId,
    TaskId,
    WorkerId,
    WorkId,
)
from swarmworks.domain.budget import AccountKind, AccountState, Amount, Limit, ReservationState, Usage
from swarmworks.domain.change import ChangeEvent, ChangeState, IntentState
from swarmworks.domain.delivery import DeliveryEvent, DeliveryState
from swarmworks.domain.event import GENESIS, NewEvent, first_break
from swarmworks.domain.gate import Finding, GateOutcome, GateResult
from swarmworks.domain.lease import Capacity, WorkKind, WorkState
from swarmworks.domain.question import QuestionState
from swarmworks.domain.review import ReviewEvent, ReviewState, ReviewSubject
from swarmworks.domain.session import SessionOutcome, SessionState
from swarmworks.domain.swarm import SwarmEvent, SwarmState
from swarmworks.domain.task import Guidance, TaskEvent, TaskState
from swarmworks.policy.admit import Choice
from swarmworks.policy.queueing import Run, Verdict
from swarmworks.store.protocol import GateRun, NewDelivery, NewReview, NewWork, QueueBranch, ReplicaRow
from tests.store.sample import (
    ROOMY,
    SWARM,
    USD,
    agents_of,
    change_of,
    claim,
    planned,
    swarm_of,
    terms_of,
    worker,
)


def begin(*tasks, agents=5, **more):
    """A step that makes a swarm of `tasks` and registers a worker."""

    def step(tx):
        tx.set_agents("shop", agents_of(agents))
        tx.insert_swarm(swarm_of(*(tasks or (planned("a"),)), **more))
        return worker(tx)

    return step


def ids_of(claimed):
    return [session.task_id for session, _work in claimed]


def settle_new(tx, session_id, name, reserve, actual):
    tx.reserve(ReservationId(name), session_id, "m", reserve, sent=True)
    return tx.settle(ReservationId(name), actual)


def finish(tx, task_id, *, land=True):
    tx.move_task(SWARM, TaskId(task_id), TaskEvent.SUBMIT)
    tx.move_task(SWARM, TaskId(task_id), TaskEvent.APPROVE)
    if land:
        tx.move_task(SWARM, TaskId(task_id), TaskEvent.LAND, commit="c" * 40)


class TestSwarms:
    async def test_a_swarm_is_read_back_as_it_was_given(self, store):
        new = swarm_of(planned("a"), planned("b", "a"), limit=Limit(5 * USD))
        made = await store.transact(lambda tx: tx.insert_swarm(new))
        read = await store.read(lambda r: r.swarm(SWARM))
        assert read == made
        assert read.plan == new.plan
        assert read.state is SwarmState.RUNNING
        assert [t.planned for t in await store.read(lambda r: r.tasks(SWARM))] == list(new.plan.tasks)
        account = await store.read(lambda r: r.account(read.account_id))
        assert (account.kind, account.subject, account.limit) == (AccountKind.SWARM, SWARM, Limit(5 * USD))

    async def test_the_newest_swarm_comes_first_and_projects_are_apart(self, store):
        for name, project in (("s1", "shop"), ("s2", "bank"), ("s3", "shop")):
            await store.transact(lambda tx, n=name, p=project: tx.insert_swarm(swarm_of(swarm_id=n, project=p)))
        assert [s.id for s in await store.read(lambda r: r.swarms())] == ["s3", "s2", "s1"]
        assert [s.id for s in await store.read(lambda r: r.swarms("shop"))] == ["s3", "s1"]

    async def test_the_same_id_twice_is_refused_and_leaves_nothing(self, store):
        await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"))))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("z"))))
        assert [t.id for t in await store.read(lambda r: r.tasks(SWARM))] == ["a"]

    async def test_what_is_not_there_is_not_found(self, store):
        for look in (
            lambda r: r.swarm("no"),
            lambda r: r.agent("no"),
            lambda r: r.task("no", "no"),
            lambda r: r.session("no"),
            lambda r: r.change("no"),
            lambda r: r.work("no"),
            lambda r: r.account("no"),
            lambda r: r.account_of(AccountKind.SWARM, "no"),
            lambda r: r.totals("no"),
            lambda r: r.reservation("no"),
        ):
            with pytest.raises(NotFoundError):
                await store.read(look)
        assert await store.read(lambda r: (r.cached_gate("no"), r.blob("no"), r.token_session("no"))) == (None,) * 3

    async def test_who_takes_tasks_no_more_is_on_record_all_the_same(self, store):
        agents = agents_of(3)
        await store.transact(lambda tx: tx.set_agents("shop", agents))
        await store.transact(lambda tx: tx.set_agents("shop", agents[:1]))
        assert await store.read(lambda r: r.active_agents("shop")) == [agents[0]]
        assert await store.read(lambda r: (r.agent(agents[2].id), r.agents("shop"))) == (agents[2], agents)

    async def test_a_step_that_runs_out_of_what_it_looks_for_fails_and_keeps_nobody_waiting(self, store):
        def runs_out(_tx):
            return next(iter(()))

        neighbours = [store.transact(lambda tx, n=name: tx.put_blob(n, b"v")) for name in ("before", "after")]
        async with asyncio.timeout(30):
            found = await asyncio.gather(
                neighbours[0], store.transact(runs_out), neighbours[1], store.read(runs_out), return_exceptions=True
            )
        assert [type(one) for one in found] == [type(None), RuntimeError, type(None), RuntimeError]
        assert await store.read(lambda r: (r.blob("before"), r.blob("after"))) == (b"v", b"v")

    async def test_a_swarm_moves_only_as_the_table_says(self, store):
        await store.transact(begin())
        stopped = await store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.STOP, reason="budget"))
        assert (stopped.state, stopped.reason, stopped.ended_at) == (SwarmState.STOPPING, "budget", None)
        halted = await store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.HALT))
        assert (halted.state, halted.reason) == (SwarmState.STOPPED, "budget")
        assert halted.ended_at is not None
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.LAND))
        again = await store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.RESUME))
        assert (again.state, again.reason, again.ended_at) == (SwarmState.RUNNING, None, None)


class TestFinding:
    async def test_swarms_are_found_by_their_state(self, store):
        await store.transact(begin(planned("a")))
        await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("a"), swarm_id=SwarmId("swm_2"))))
        await store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.STOP))

        def named(reader, *states, project=None):
            return [swarm.id for swarm in reader.swarms(project, states=states)]

        assert await store.read(lambda r: named(r, SwarmState.STOPPING)) == [SWARM]
        assert await store.read(lambda r: named(r, SwarmState.STOPPING, SwarmState.RUNNING)) == ["swm_2", SWARM]
        assert await store.read(lambda r: named(r, SwarmState.RUNNING, project="shop")) == ["swm_2"]
        assert await store.read(lambda r: named(r, SwarmState.RUNNING, project="mill")) == []

    async def test_a_held_worker_has_a_lease_and_a_held_project_may_be_new(self, store):
        lease = await store.transact(begin(planned("a")))
        await store.transact(lambda tx: tx.hold_worker(lease))
        await store.transact(lambda tx: tx.remove_worker(lease))
        with pytest.raises(FenceLostError):
            await store.transact(lambda tx: tx.hold_worker(lease))
        for _ in range(2):
            await store.transact(lambda tx: tx.hold_project("mill"))

    async def test_queued_work_is_seen_by_its_kind(self, store):
        await store.transact(begin(planned("a")))
        gates = NewWork(WorkId("g"), WorkKind.GATES, SWARM, TaskId("a"), "c", Capacity(0, 1, 1), "{}")
        await store.transact(lambda tx: tx.enqueue_work(gates))
        assert await store.read(lambda r: r.has_queued((WorkKind.BUILD, WorkKind.GATES)))
        assert not await store.read(lambda r: r.has_queued((WorkKind.BUILD,)))


class TestTasks:
    async def test_a_task_waits_until_the_last_of_its_dependencies_has_landed(self, store):
        lease = await store.transact(begin(planned("a"), planned("b"), planned("c", "a", "b"), planned("d", "c")))

        def states(r):
            return [t.state.value for t in r.tasks(SWARM)]

        assert await store.read(states) == ["ready", "ready", "waiting", "waiting"]
        await store.transact(lambda tx: claim(tx, lease, 5))
        await store.transact(lambda tx: finish(tx, "a"))
        assert await store.read(states) == ["landed", "running", "waiting", "waiting"]
        await store.transact(lambda tx: finish(tx, "b"))
        assert await store.read(states) == ["landed", "landed", "ready", "waiting"]
        counts = await store.read(lambda r: r.task_counts(SWARM))
        assert (counts[TaskState.LANDED], counts[TaskState.READY], counts[TaskState.BLOCKED]) == (2, 1, 0)

    async def test_the_counts_are_those_of_the_tasks_whatever_happened_to_them(self, store):
        tasks = [planned("a"), planned("b", "a"), planned("c"), planned("d"), planned("e"), planned("f", "b", "c")]
        lease = await store.transact(begin(*tasks, agents=3))

        async def agree():
            counts, found = await store.read(lambda r: (r.task_counts(SWARM), r.tasks(SWARM)))
            assert counts == {state: sum(task.state is state for task in found) for state in TaskState}
            for state in TaskState:
                of_state = await store.read(lambda r, one=state: r.tasks(SWARM, states=(one,)))
                assert of_state == [task for task in found if task.state is state]

        steps = (
            lambda tx: claim(tx, lease, 3),
            lambda tx: finish(tx, "a"),
            lambda tx: tx.move_task(SWARM, TaskId("c"), TaskEvent.EXHAUST),
            lambda tx: tx.move_task(SWARM, TaskId("c"), TaskEvent.CANCEL),
            lambda tx: tx.move_task(SWARM, TaskId("d"), TaskEvent.REWORK),
            lambda tx: tx.insert_task(SWARM, planned("fix", "a"), 99),
            lambda tx: tx.insert_task(SWARM, planned("late", "b"), 99),
        )
        await agree()
        for step in steps:
            await store.transact(step)
            await agree()

    async def test_files_are_held_until_the_task_has_landed_or_goes_back(self, store):
        lease = await store.transact(begin(planned("a", owns=["src/x.py"])))
        await store.transact(lambda tx: claim(tx, lease))
        await store.transact(lambda tx: finish(tx, "a", land=False))
        assert await store.read(lambda r: r.file_claims(SWARM)) == {"src/x.py": "a"}
        await store.transact(lambda tx: tx.move_task(SWARM, TaskId("a"), TaskEvent.REWORK, rejection="why"))
        assert await store.read(lambda r: r.file_claims(SWARM)) == {}
        assert (await store.read(lambda r: r.task(SWARM, TaskId("a")))).rejection == "why"

    async def test_where_files_are_not_exclusive_none_is_claimed_and_none_is_looked_for(self, store):
        lease = await store.transact(begin(*(planned(name, owns=["src/x.py"]) for name in "abc")))
        await store.transact(lambda tx: claim(tx, lease))
        shared = replace(terms_of(), exclusive=False)
        assert len(await store.transact(lambda tx: claim(tx, lease, 5, terms=shared))) == 2
        assert list(await store.read(lambda r: r.file_claims(SWARM))) == ["src/x.py"]

    async def test_attempts_count_when_told_and_a_retry_resets_them(self, store):
        lease = await store.transact(begin())
        await store.transact(lambda tx: claim(tx, lease))
        moved = await store.transact(
            lambda tx: tx.move_task(SWARM, TaskId("a"), TaskEvent.EXHAUST, note="help", count_attempt=True)
        )
        assert (moved.state, moved.attempts, moved.note) == (TaskState.BLOCKED, 1, "help")
        moved = await store.transact(lambda tx: tx.move_task(SWARM, TaskId("a"), TaskEvent.RETRY))
        assert (moved.state, moved.attempts, moved.note, moved.fence) == (TaskState.READY, 0, None, 1)

    async def test_a_task_cannot_be_moved_past_its_lease_or_its_dependencies(self, store):
        await store.transact(begin(planned("a"), planned("b", "a")))
        for name, event in (("a", TaskEvent.CLAIM), ("b", TaskEvent.UNBLOCK), ("a", TaskEvent.LAND)):
            with pytest.raises(ConflictError):
                await store.transact(lambda tx, n=name, e=event: tx.move_task(SWARM, TaskId(n), e))

    async def test_a_task_added_later_knows_what_has_landed(self, store):
        lease = await store.transact(begin(planned("a"), planned("b")))
        await store.transact(lambda tx: claim(tx, lease, chooser=lambda f: [Choice(TaskId("a"), f.idle[0].id)]))
        await store.transact(lambda tx: finish(tx, "a"))
        free = await store.transact(lambda tx: tx.insert_task(SWARM, planned("fix", "a"), 99, rejection="why"))
        assert (free.rejection, free.attempts) == ("why", 0)
        bound = await store.transact(lambda tx: tx.insert_task(SWARM, planned("fix2", "a", "b"), 100))
        assert (free.state, bound.state) == (TaskState.READY, TaskState.WAITING)
        await store.transact(lambda tx: tx.move_task(SWARM, TaskId("b"), TaskEvent.SUPERSEDE))
        assert (await store.read(lambda r: r.task(SWARM, TaskId("fix2")))).state is TaskState.READY
        assert [t.id for t in await store.read(lambda r: r.tasks(SWARM))] == ["a", "b", "fix", "fix2"]
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.insert_task(SWARM, planned("fix", "a"), 99))

    async def test_agents_not_named_any_more_stay_on_record_and_take_no_work(self, store):
        lease = await store.transact(begin(planned("a"), planned("b"), agents=3))
        await store.transact(lambda tx: tx.set_agents("shop", agents_of(1)))
        assert len(await store.read(lambda r: r.agents("shop"))) == 3
        claimed = await store.transact(lambda tx: claim(tx, lease, 5))
        assert [s.agent_id for s, _w in claimed] == ["ada-0"]


class TestClaims:
    async def test_a_claim_takes_everything_at_once(self, store, clock):
        lease = await store.transact(begin(planned("a"), limit=Limit(USD)))
        [(session, work)] = await store.transact(lambda tx: claim(tx, lease))
        task = await store.read(lambda r: r.task(SWARM, TaskId("a")))
        assert (task.state, task.fence, task.attempts) == (TaskState.RUNNING, 1, 0)
        assert (session.state, session.fence, session.attempt) == (SessionState.CLAIMED, 1, 1)
        assert session.claimed_at == clock.now()
        assert (work.kind, work.subject, work.state, work.fence) == (
            WorkKind.SESSION,
            session.id,
            WorkState.LEASED,
            1,
        )
        account = await store.read(lambda r: r.account(session.account_id))
        above = await store.read(lambda r: r.account(account.parent_id))
        assert (account.kind, account.subject, above.kind) == (AccountKind.SESSION, session.id, AccountKind.TASK)
        assert (await store.read(lambda r: r.account(above.parent_id))).subject == SWARM
        assert await store.read(lambda r: r.file_claims(SWARM)) == {"src/a.py": "a"}
        assert await store.read(lambda r: r.sessions(SWARM, task_id=TaskId("a"))) == [session]

    async def test_the_task_that_holds_up_most_goes_first(self, store):
        lease = await store.transact(begin(planned("z"), planned("a"), planned("b", "a")))
        assert ids_of(await store.transact(lambda tx: claim(tx, lease))) == ["a"]

    async def test_nothing_is_claimed_of_a_swarm_that_does_not_run(self, store):
        lease = await store.transact(begin())
        await store.transact(lambda tx: tx.move_swarm(SWARM, SwarmEvent.STOP))
        assert await store.transact(lambda tx: claim(tx, lease)) == []

    async def test_capacity_bounds_a_claim_whatever_the_worker_asks(self, store):
        await store.transact(begin(planned("a"), planned("b"), planned("c")))
        small = Capacity(agents=2, cpu_slots=1, memory_bytes=1 << 40)
        lease = await store.transact(lambda tx: worker(tx, "w2", small))
        assert len(await store.transact(lambda tx: claim(tx, lease, 9))) == 2
        assert await store.transact(lambda tx: claim(tx, lease, 9)) == []

    async def test_the_budget_bounds_how_many_sessions_start(self, store):
        lease = await store.transact(begin(planned("a"), planned("b"), planned("c"), limit=Limit(100)))
        terms = terms_of(least=Amount(40))
        assert len(await store.transact(lambda tx: claim(tx, lease, 9, terms=terms))) == 2

    async def test_what_siblings_hold_without_need_still_pays_for_new_sessions(self, store):
        lease = await store.transact(begin(planned("a"), planned("b"), limit=Limit(10_000)))
        [(one, _w)] = await store.transact(lambda tx: claim(tx, lease))
        await store.transact(lambda tx: tx.reserve(ReservationId("r"), one.id, "m", Amount(1), sent=True))
        terms = terms_of(least=Amount(9_999))
        assert len(await store.transact(lambda tx: claim(tx, lease, terms=terms))) == 1

    @pytest.mark.parametrize(
        "chooser",
        [
            lambda f: [Choice(TaskId("a"), f.idle[0].id), Choice(TaskId("a"), f.idle[1].id)],
            lambda f: [Choice(TaskId("a"), f.idle[0].id), Choice(TaskId("b"), f.idle[0].id)],
            lambda f: [Choice(TaskId("a"), f.idle[0].id), Choice(TaskId("in"), f.idle[1].id)],
            lambda f: [Choice(TaskId("later"), f.idle[0].id)],
        ],
        ids=["task twice", "agent twice", "folder and file in it", "not ready"],
    )
    async def test_a_wrong_choice_takes_nothing(self, store, chooser):
        tasks = (planned("a", owns=["src/"]), planned("b"), planned("in", owns=["src/in.py"]), planned("later", "a"))
        lease = await store.transact(begin(*tasks))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: claim(tx, lease, 5, chooser=chooser))
        assert await store.read(lambda r: r.sessions(SWARM)) == []
        assert (await store.read(lambda r: r.task_counts(SWARM)))[TaskState.RUNNING] == 0

    async def test_many_claimers_never_take_the_same_thing(self, store):
        tasks = [planned(f"t{n}", owns=[f"src/{n // 2}.py"]) for n in range(40)]
        await store.transact(begin(*tasks, agents=30))
        leases = [await store.transact(lambda tx, n=n: worker(tx, f"w{n}")) for n in range(8)]
        claims = (store.transact(lambda tx, lease=leases[n % 8]: claim(tx, lease, 3)) for n in range(40))
        taken = [session for claimed in await asyncio.gather(*claims) for session, _work in claimed]
        assert len(taken) == 20  # one for each file
        assert len({s.task_id for s in taken}) == len({s.agent_id for s in taken}) == 20
        claims = await store.read(lambda r: r.file_claims(SWARM))
        assert len(claims) == 20
        assert set(claims.values()) == {s.task_id for s in taken}

    async def test_a_session_starts_once_and_its_token_dies_with_it(self, store):
        lease = await store.transact(begin())
        [(session, _work)] = await store.transact(lambda tx: claim(tx, lease))
        started = await store.transact(lambda tx: tx.start_session(session.id, "hash"))
        assert (started.state, await store.read(lambda r: r.token_session("hash"))) == (
            SessionState.RUNNING,
            session.id,
        )
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.start_session(session.id, "other"))
        ended = await store.transact(lambda tx: tx.end_session(session.id, SessionOutcome.FAILED, "tests"))
        assert (ended.state, ended.outcome, ended.reason) == (SessionState.ENDED, SessionOutcome.FAILED, "tests")
        assert await store.read(lambda r: r.token_session("hash")) is None
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.end_session(session.id, SessionOutcome.LOST, None))
        assert (await store.read(lambda r: r.account(session.account_id))).state is AccountState.CLOSED

    async def test_an_agent_is_idle_again_only_when_its_session_has_ended(self, store):
        lease = await store.transact(begin(planned("a"), planned("b"), agents=1))
        [(session, _work)] = await store.transact(lambda tx: claim(tx, lease))
        assert await store.transact(lambda tx: claim(tx, lease)) == []
        await store.transact(lambda tx: tx.end_session(session.id, SessionOutcome.SUBMITTED, None))
        assert len(await store.transact(lambda tx: claim(tx, lease))) == 1


def gates_work(name, *, cpu=1, priority=0):
    need = Capacity(0, cpu, 0)
    return NewWork(WorkId(name), WorkKind.GATES, SWARM, TaskId("a"), "chg", need, "{}", priority)


class TestWork:
    async def test_work_goes_by_priority_then_arrival_as_far_as_it_fits(self, store):
        lease = await store.transact(begin())
        for name, priority in (("w1", 0), ("w2", 5), ("w3", 0)):
            await store.transact(lambda tx, n=name, p=priority: tx.enqueue_work(gates_work(n, priority=p)))
        free = Capacity(0, 2, 0)
        claimed = await store.transact(lambda tx: tx.claim_work(lease, free, [WorkKind.GATES, WorkKind.BUILD]))
        assert [(w.id, w.state, w.fence, w.worker_id) for w in claimed] == [
            ("w2", WorkState.LEASED, 1, "w1"),
            ("w1", WorkState.LEASED, 1, "w1"),
        ]
        assert await store.transact(lambda tx: tx.claim_work(lease, free, [WorkKind.BUILD])) == []

    async def test_big_work_is_not_overtaken_for_ever_and_impossible_work_blocks_nobody(self, store):
        lease = await store.transact(begin())
        for name, cpu in (("huge", 99), ("big", 4), ("small", 1)):
            await store.transact(lambda tx, n=name, c=cpu: tx.enqueue_work(gates_work(n, cpu=c)))
        kinds = [WorkKind.GATES]
        assert await store.transact(lambda tx: tx.claim_work(lease, Capacity(0, 2, 0), kinds)) == []
        claimed = await store.transact(lambda tx: tx.claim_work(lease, Capacity(0, 8, 0), kinds))
        assert [w.id for w in claimed] == ["big", "small"]

    async def test_a_late_finish_is_refused_after_the_work_went_to_somebody_else(self, store):
        one = await store.transact(begin())
        two = await store.transact(lambda tx: worker(tx, "w2"))
        await store.transact(lambda tx: tx.enqueue_work(gates_work("g")))
        await store.transact(lambda tx: tx.claim_work(one, ROOMY, [WorkKind.GATES]))
        back = await store.transact(lambda tx: tx.expire_work(WorkId("g"), 1))
        assert (back.state, back.worker_id) == (WorkState.QUEUED, None)
        assert await store.transact(lambda tx: tx.expire_work(WorkId("g"), 1)) is None
        [again] = await store.transact(lambda tx: tx.claim_work(two, ROOMY, [WorkKind.GATES]))
        assert again.fence == 2
        for lease, fence in ((one, 1), (one, 2), (two, 1)):
            with pytest.raises(FenceLostError):
                await store.transact(lambda tx, ls=lease, f=fence: tx.finish_work(ls, WorkId("g"), f, "{}"))
        await store.transact(lambda tx: tx.finish_work(two, WorkId("g"), 2, '{"ok":1}'))
        done = await store.read(lambda reader: reader.work(WorkId("g")))
        assert (done.state, done.result) == (WorkState.DONE, '{"ok":1}')
        with pytest.raises(FenceLostError):
            await store.transact(lambda tx: tx.finish_work(two, WorkId("g"), 2, "{}"))
        assert await store.transact(lambda tx: tx.cancel_work(WorkId("g"))) is None

    async def test_a_finish_that_names_another_swarm_is_refused(self, store):
        lease = await store.transact(begin())
        await store.transact(lambda tx: tx.insert_swarm(swarm_of(planned("z"), swarm_id=SwarmId("swm_2"), project="q")))
        await store.transact(lambda tx: tx.enqueue_work(gates_work("g")))
        [work] = await store.transact(lambda tx: tx.claim_work(lease, ROOMY, [WorkKind.GATES]))
        for swarm_id in (SwarmId("swm_2"), SwarmId("swm_none")):
            with pytest.raises(FenceLostError):
                await store.transact(
                    lambda tx, other=swarm_id: tx.finish_work(lease, work.id, work.fence, "{}", swarm_id=other)
                )
        await store.transact(lambda tx: tx.finish_work(lease, work.id, work.fence, "{}", swarm_id=SWARM))
        done = await store.read(lambda reader: reader.work(work.id))
        assert done.state is WorkState.DONE

    async def test_of_many_steps_at_once_only_those_that_fail_leave_nothing(self, store):
        """Whether a step fails by itself, or what it wrote is refused when it is sent."""
        await store.transact(begin())

        def step(tx, number):
            tx.enqueue_work(gates_work(f"g{number % 30}"))
            if number % 10 == 3:
                raise RuntimeError(number)

        asked = [store.transact(lambda tx, n=number: step(tx, n)) for number in range(40)]
        ended = await asyncio.gather(*asked, return_exceptions=True)
        refused = {number: type(error) for number, error in enumerate(ended) if error is not None}
        # 3, 13, 23 and 33 fail; what 30 to 39 enqueue is there already, but for the one that 3 left out
        assert refused.pop(33) is RuntimeError
        assert refused == {3: RuntimeError, 13: RuntimeError, 23: RuntimeError} | {
            number: ConflictError for number in range(30, 40) if number != 33
        }
        works = await store.read(lambda reader: reader.works(swarm_id=SWARM))
        assert {work.id for work in works} == {f"g{number}" for number in range(30) if number % 10 != 3}

    async def test_of_many_finishes_at_once_only_those_that_lost_their_lease_are_refused(self, store):
        lease = await store.transact(begin())
        names = [f"g{number}" for number in range(8)]
        await store.transact(lambda tx: [tx.enqueue_work(gates_work(name)) for name in names])
        claimed = await store.transact(lambda tx: tx.claim_work(lease, ROOMY, [WorkKind.GATES]))
        lost = {work.id for number, work in enumerate(claimed) if number % 4 == 3}

        def finish(tx, work):
            tx.finish_work(lease, work.id, work.fence + (work.id in lost), "{}", swarm_id=SWARM)
            tx.append(SWARM, NewEvent("work.finished", "test", {"work": work.id}))

        before = await store.read(lambda reader: reader.last_seq(SWARM))
        ended = await asyncio.gather(
            *(store.transact(lambda tx, one=work: finish(tx, one)) for work in claimed), return_exceptions=True
        )
        refused = {work.id: type(error) for work, error in zip(claimed, ended, strict=True) if error is not None}
        assert refused == dict.fromkeys(lost, FenceLostError)
        works = await store.read(lambda reader: reader.works(swarm_id=SWARM))
        assert {work.id for work in works if work.state is WorkState.LEASED} == lost
        events = await store.read(lambda reader: reader.events(SWARM, after=before))
        assert {json.loads(event.data)["work"] for event in events} == {work.id for work in claimed} - lost

    async def test_expired_session_work_is_void(self, store):
        lease = await store.transact(begin())
        [(_session, work)] = await store.transact(lambda tx: claim(tx, lease))
        assert (await store.transact(lambda tx: tx.expire_work(work.id, work.fence))).state is WorkState.VOID
        with pytest.raises(FenceLostError):
            await store.transact(lambda tx: tx.finish_work(lease, work.id, work.fence, "{}"))

    async def test_a_worker_that_was_expired_is_fenced_out_for_good(self, store):
        lease = await store.transact(begin())
        [(_session, work)] = await store.transact(lambda tx: claim(tx, lease))
        await store.transact(lambda tx: tx.renew_worker(lease, frozenset({work.id})))
        assert await store.transact(lambda tx: tx.expire_worker(lease.worker_id, 0)) == []
        [held] = await store.transact(lambda tx: tx.expire_worker(lease.worker_id, 1))
        assert (held.id, held.state) == (work.id, WorkState.LEASED)
        again = await store.transact(worker)
        assert again.fence > lease.fence
        for step in (
            lambda tx: tx.renew_worker(lease, frozenset()),
            lambda tx: tx.finish_work(lease, work.id, work.fence, "{}"),
            lambda tx: claim(tx, lease),
            lambda tx: tx.claim_work(lease, ROOMY, [WorkKind.GATES]),
        ):
            with pytest.raises(FenceLostError):
                await store.transact(step)

    async def test_a_renewal_tells_what_is_lost_and_what_nobody_holds(self, store):
        lease = await store.transact(begin(planned("a"), planned("b")))
        (_s1, one), (_s2, two) = await store.transact(lambda tx: claim(tx, lease, 2))

        def renew(*held):
            return lambda tx: tx.renew_worker(lease, frozenset(held))

        for _ in range(2):
            assert (await store.transact(renew(one.id))).orphaned == ()
        assert (await store.transact(renew(one.id, two.id))).orphaned == ()
        for _ in range(2):
            assert (await store.transact(renew(one.id))).orphaned == ()
        assert (await store.transact(renew(one.id))).orphaned == (two.id,)
        await store.transact(lambda tx: tx.cancel_work(one.id))
        assert (await store.transact(renew(one.id))).lost == (one.id,)

    async def test_a_worker_leaves_only_when_nothing_is_leased_to_it(self, store):
        lease = await store.transact(begin())
        [(_session, work)] = await store.transact(lambda tx: claim(tx, lease))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.remove_worker(lease))
        await store.transact(lambda tx: tx.finish_work(lease, work.id, 1, "{}"))
        await store.transact(lambda tx: tx.remove_worker(lease))
        assert await store.read(lambda r: r.workers()) == []

    async def test_works_are_found_by_swarm_state_and_worker(self, store):
        lease = await store.transact(begin())
        await store.transact(lambda tx: claim(tx, lease))
        await store.transact(lambda tx: tx.enqueue_work(gates_work("g")))

        def found(**by):
            return lambda r: [w.kind.value for w in r.works(**by)]

        assert await store.read(found()) == ["session", "gates"]
        assert await store.read(found(states=[WorkState.QUEUED])) == ["gates"]
        assert await store.read(found(worker_id=WorkerId("w1"))) == ["session"]
        assert await store.read(found(swarm_id="other")) == []


class TestChanges:
    async def built(self, store):
        lease = await store.transact(begin())
        [(session, _work)] = await store.transact(lambda tx: claim(tx, lease))
        return await store.transact(lambda tx: tx.insert_change(change_of(session)))

    async def test_a_change_is_recorded_with_its_session_task_and_agent(self, store):
        change = await self.built(store)
        assert (change.task_id, change.agent_id, change.state) == ("a", "ada-0", ChangeState.SUBMITTED)
        assert await store.read(lambda r: r.changes(SWARM, states=[ChangeState.SUBMITTED])) == [change]
        assert await store.read(lambda r: r.changes(SWARM, task_id=TaskId("z"))) == []

    async def test_a_landing_is_written_down_before_it_happens_and_closed_once(self, store):
        change = await self.built(store)
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.open_intent(change.id, "refs/i", "o", "n"))
        await store.transact(lambda tx: tx.move_change(change.id, ChangeEvent.APPROVE))
        await store.transact(lambda tx: tx.move_change(change.id, ChangeEvent.BUILD, candidate="n"))
        intent = await store.transact(lambda tx: tx.open_intent(change.id, "refs/i", "o", "n"))
        assert await store.read(lambda r: r.open_intents()) == [intent]
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.open_intent(change.id, "refs/i", "o", "n2"))
        await store.transact(lambda tx: tx.close_intent(intent.id, IntentState.DONE))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.close_intent(intent.id, IntentState.VOID))
        landed = await store.transact(lambda tx: tx.move_change(change.id, ChangeEvent.LAND, landed="n"))
        assert (landed.state, landed.candidate, landed.landed) == (ChangeState.LANDED, "n", "n")
        assert await store.read(lambda r: r.open_intents()) == []

    async def test_runs_of_the_merge_queue_are_read_in_the_order_they_ended_until_they_are_closed(self, store):
        await store.transact(begin())
        for name in ("w1", "w2", "w3"):
            await store.transact(lambda tx, n=name: tx.enqueue_work(gates_work(n)))
            await store.transact(
                lambda tx, n=name: tx.insert_run(SWARM, Run(n, "base", ("a", "b"), ("c1", "c2"), 1, n == "w3"))
            )
        await store.transact(lambda tx: tx.end_run(WorkId("w2"), Verdict.FAILED, sure=True))
        await store.transact(lambda tx: tx.end_run(WorkId("w1"), Verdict.PASSED, sure=False))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.end_run(WorkId("w1"), Verdict.FAILED, sure=True))
        runs = await store.read(lambda r: r.open_runs(SWARM))
        assert [(run.id, run.verdict, run.sure, run.lane) for run in runs] == [
            ("w2", Verdict.FAILED, True, False),
            ("w1", Verdict.PASSED, False, False),
            ("w3", None, False, True),
        ]
        assert (runs[0].changes, runs[0].commits, runs[0].below) == (("a", "b"), ("c1", "c2"), 1)
        await store.transact(lambda tx: tx.close_runs(["w1", "w3"]))
        assert [run.id for run in await store.read(lambda r: r.open_runs(SWARM))] == ["w2"]
        assert await store.read(lambda r: r.open_run(WorkId("w1"))) is None
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.end_run(WorkId("w3"), Verdict.PASSED, sure=False))

    async def test_what_the_merge_queue_knows_of_the_branch_is_replaced_as_a_whole(self, store):
        await store.transact(begin())
        assert await store.read(lambda r: r.queue_branch(SWARM)) is None
        for known in (QueueBranch("h1", "p", "red"), QueueBranch("h2")):
            await store.transact(lambda tx, k=known: tx.set_queue_branch(SWARM, k))
            assert await store.read(lambda r: r.queue_branch(SWARM)) == known

    async def test_tests_that_changes_failed_are_counted_by_task_and_have_one_who_looks_after_them(self, store):
        change = await self.built(store)
        none = await store.read(
            lambda r: (r.tasks_failing(SWARM, "t1"), r.tests_failed(SWARM, ()), r.health_tasks(SWARM))
        )
        assert none == ([], {}, {})
        for _ in range(2):
            await store.transact(lambda tx: tx.record_failures(SWARM, change.task_id, change.id, ["t1", "t2"]))
        await store.transact(lambda tx: tx.record_failures(SWARM, TaskId("zz"), change.id, ["t3"]))
        assert await store.read(lambda r: r.tasks_failing(SWARM, "t1")) == [change.task_id]
        assert await store.read(lambda r: r.tasks_failing(SWARM, "t3")) == ["zz"]
        assert await store.read(lambda r: r.tests_failed(SWARM, [change.id, "other"])) == {
            change.id: ("t1", "t2", "t3")
        }
        await store.transact(lambda tx: tx.insert_health(SWARM, ["t1", "t3"], TaskId("health-t1")))
        assert await store.read(lambda r: r.health_tasks(SWARM)) == {"t1": "health-t1", "t3": "health-t1"}

    async def test_gate_results_are_kept_and_only_verdicts_are_cached(self, store):
        change = await self.built(store)
        passed = GateResult("tests", GateOutcome.PASSED, "12 passed", 1.5, (Finding("m", "f.py", 3),), "log", {"n": 12})
        broken = GateResult("lint", GateOutcome.COULD_NOT_RUN, "no tool")
        run = GateRun(change.id, "candidate", "tree", (passed, broken), datetime(2026, 1, 1, tzinfo=UTC))
        await store.transact(lambda tx: tx.record_gates(run, {"tests": "k1", "lint": "k2"}))
        assert await store.read(lambda r: r.gate_runs(change.id)) == [run]
        cached = await store.read(lambda r: r.cached_gate("k1"))
        assert (cached.outcome, cached.cached, cached.findings) == (GateOutcome.PASSED, True, passed.findings)
        assert await store.read(lambda r: r.cached_gate("k2")) is None


class TestPeople:
    async def running(self, store):
        lease = await store.transact(begin())
        [(session, _work)] = await store.transact(lambda tx: claim(tx, lease))
        return session

    async def test_a_review_is_decided_once_and_by_somebody(self, store):
        await store.transact(begin())
        new = NewReview(
            ReviewId("rev_1"), SWARM, "plan", ReviewSubject.PLAN, SWARM, "Shall it be built so?", None, ("ann",)
        )
        review = await store.transact(lambda tx: tx.insert_review(new))
        assert (review.state, review.deciders, review.decided_by) == (ReviewState.OPEN, ("ann",), None)
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.insert_review(replace(new, id=ReviewId("rev_2"))))
        advised = await store.transact(lambda tx: tx.advise_review(review.id, "looks narrow"))
        assert advised.advice == "looks narrow"
        decided = await store.transact(
            lambda tx: tx.move_review(review.id, ReviewEvent.APPROVE, decided_by="person:ann", reason="fine")
        )
        assert (decided.state, decided.decided_by, decided.reason) == (ReviewState.APPROVED, "person:ann", "fine")
        assert decided.decided_at is not None
        assert await store.read(lambda r: r.reviews(SWARM, states=[ReviewState.OPEN])) == []
        assert await store.read(lambda r: r.reviews(SWARM, subject_id=SWARM)) == [decided]
        with pytest.raises(ConflictError):
            await store.transact(
                lambda tx: tx.move_review(review.id, ReviewEvent.REJECT, decided_by="person:bob", reason="no")
            )
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.advise_review(review.id, "too late"))

    async def test_a_models_review_has_a_session_of_its_own_on_the_tasks_account(self, store):
        lease = await store.transact(begin(planned("a"), planned("b"), agents=2))
        first, second = [session for session, _ in await store.transact(lambda tx: claim(tx, lease, 2))]

        def open_one(tx, session):
            return tx.open_review_session(lease, SWARM, session.task_id, "openai:gpt-5", "base", Limit(None, 1_000))

        with pytest.raises(ConflictError):
            await store.transact(lambda tx: open_one(tx, first))
        for session in (first, second):
            await store.transact(lambda tx, one=session: tx.end_session(one.id, SessionOutcome.SUBMITTED, None))
            await store.transact(lambda tx, one=session: tx.move_task(SWARM, one.task_id, TaskEvent.SUBMIT))
        reviews = [await store.transact(lambda tx, one=session: open_one(tx, one)) for session in (first, second)]
        assert [one.agent_id.rpartition("/")[2] for one in reviews] == ["reviewer-1", "reviewer-2"]
        assert [(one.state, one.model, one.task_id) for one in reviews] == [
            (SessionState.CLAIMED, "openai:gpt-5", "a"),
            (SessionState.CLAIMED, "openai:gpt-5", "b"),
        ]
        above = [await store.read(lambda r, one=each: r.account(one.account_id)) for each in (first, reviews[0])]
        assert above[0].parent_id == above[1].parent_id
        await store.transact(lambda tx: tx.end_session(reviews[0].id, SessionOutcome.KILLED, "over"))
        again = await store.transact(lambda tx: open_one(tx, first))
        assert again.agent_id == reviews[0].agent_id

    async def test_a_question_is_answered_once(self, store):
        session = await self.running(store)
        asked = await store.transact(lambda tx: tx.insert_question(QuestionId("que_1"), session.id, "which port?"))
        assert (asked.task_id, asked.state) == (session.task_id, QuestionState.OPEN)
        assert await store.read(lambda r: r.questions(SWARM, states=[QuestionState.OPEN])) == [asked]
        answered = await store.transact(lambda tx: tx.answer_question(asked.id, "8080", "person:ann"))
        assert (answered.answer, answered.answered_by, answered.state) == (
            "8080",
            "person:ann",
            QuestionState.ANSWERED,
        )
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.withdraw_question(asked.id))
        with pytest.raises(NotFoundError):
            await store.read(lambda r: r.question(QuestionId("que_9")))

    async def test_a_message_is_delivered_once_and_never_to_a_session_that_ended(self, store):
        session = await self.running(store)
        for number, text in enumerate(("stop that", "use httpx"), 1):
            await store.transact(
                lambda tx, n=number, t=text: tx.insert_message(MessageId(f"msg_{n}"), session.id, "person:ann", t)
            )
        got = await store.read(lambda reader: reader.undelivered_messages([session.id]))
        assert [one.text for one in got] == ["stop that", "use httpx"]
        marked = await store.transact(lambda tx: tx.mark_delivered(["msg_2", "msg_1", "msg_9"], [session.id]))
        assert [one.text for one in marked] == ["use httpx", "stop that"]
        assert await store.transact(lambda tx: tx.mark_delivered(["msg_1"], [session.id])) == []
        assert await store.read(lambda reader: reader.undelivered_messages([session.id])) == []
        assert all(one.delivered_at is not None for one in await store.read(lambda r: r.messages(session.id)))
        await store.transact(lambda tx: tx.end_session(session.id, SessionOutcome.KILLED, None))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.insert_message(MessageId("msg_3"), session.id, "person:ann", "late"))

    async def test_mail_waits_for_its_agent_and_is_read_once(self, store):
        session = await self.running(store)
        agents = await store.read(lambda r: r.agents("shop"))
        other = next(one.id for one in agents if one.id != session.agent_id)
        for number, text in enumerate(("first", "second", "third"), 1):
            sent = await store.transact(
                lambda tx, n=number, t=text: tx.insert_mail(MessageId(f"mai_{n}"), session.id, other, t)
            )
            assert (sent.sender, sent.task_id, sent.read_at) == (session.agent_id, session.task_id, None)
        assert await store.read(lambda r: (r.unread_mail(SWARM, other), r.mail_sent(session.id))) == (3, 3)
        assert await store.read(lambda r: r.unread_mail(SWARM, session.agent_id)) == 0
        read = await store.transact(lambda tx: tx.read_mail(SWARM, other, 2))
        assert [one.text for one in read] == ["first", "second"]
        assert all(one.read_at is not None for one in read)
        assert [one.text for one in await store.transact(lambda tx: tx.read_mail(SWARM, other, 9))] == ["third"]
        assert await store.transact(lambda tx: tx.read_mail(SWARM, other, 9)) == []
        await store.transact(lambda tx: tx.end_session(session.id, SessionOutcome.KILLED, None))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.insert_mail(MessageId("mai_9"), session.id, other, "late"))

    async def test_a_task_that_is_given_more_files_holds_them(self, store):
        lease = await store.transact(begin(planned("a"), planned("b")))
        await store.transact(lambda tx: claim(tx, lease, 2))
        wider = await store.transact(
            lambda tx: tx.widen_task(SWARM, TaskId("a"), ("extra.py", "extra.py", "deep/"), exclusive=True)
        )
        assert wider.planned.owns[-2:] == ("extra.py", "deep/")
        held = await store.read(lambda r: r.file_claims(SWARM))
        assert (held["extra.py"], held["deep/"]) == ("a", "a")
        with pytest.raises(ConflictError, match="held by the task a"):
            await store.transact(lambda tx: tx.widen_task(SWARM, TaskId("b"), ("deep/er.py",), exclusive=True))
        shared = await store.transact(lambda tx: tx.widen_task(SWARM, TaskId("b"), ("extra.py",), exclusive=False))
        assert "extra.py" in shared.planned.owns
        assert await store.read(lambda r: r.file_claims(SWARM)) == held

    async def test_a_delivery_is_ready_only_with_what_it_delivers(self, store):
        await store.transact(begin())
        new = NewDelivery(DeliveryId("del_1"), SWARM, "main", "t" * 40, "h" * 40, "person:ann")
        built = await store.transact(lambda tx: tx.insert_delivery(new))
        assert built.state is DeliveryState.BUILDING
        ready = await store.transact(lambda tx: tx.move_delivery(built.id, DeliveryEvent.PASS, candidate="m" * 40))
        assert (ready.state, ready.candidate, ready.ended_at) == (DeliveryState.READY, "m" * 40, None)
        done = await store.transact(lambda tx: tx.move_delivery(built.id, DeliveryEvent.DELIVER))
        assert done.state is DeliveryState.DELIVERED
        assert done.ended_at is not None
        forward = replace(new, id=DeliveryId("del_2"), candidate="h" * 40)
        assert (await store.transact(lambda tx: tx.insert_delivery(forward))).state is DeliveryState.READY
        assert len(await store.read(lambda r: r.deliveries(SWARM))) == 2

    async def test_a_persons_guidance_reaches_the_next_session(self, store):
        lease = await store.transact(begin())
        guidance = Guidance("use httpx", "openai:other", "ada-3")
        await store.transact(lambda tx: tx.guide_task(SWARM, TaskId("a"), guidance))
        [(session, _work)] = await store.transact(lambda tx: claim(tx, lease))
        assert (session.model, session.agent_id) == ("openai:other", "ada-3")
        assert (await store.read(lambda r: r.task(SWARM, TaskId("a")))).guidance == guidance

    async def test_an_answer_keeps_the_attempts_and_a_retry_gives_fresh_ones(self, store):
        lease = await store.transact(begin())
        for event, left in ((TaskEvent.ANSWER, 1), (TaskEvent.RETRY, 0)):
            [(session, _work)] = await store.transact(lambda tx: claim(tx, lease))
            await store.transact(lambda tx, s=session: tx.end_session(s.id, SessionOutcome.FAILED, None))
            block = TaskEvent.ASK if event is TaskEvent.ANSWER else TaskEvent.EXHAUST
            await store.transact(
                lambda tx, b=block, c=event is TaskEvent.ANSWER: tx.move_task(
                    SWARM, TaskId("a"), b, note="why", count_attempt=c
                )
            )
            task = await store.transact(lambda tx, e=event: tx.move_task(SWARM, TaskId("a"), e))
            assert (task.attempts, task.note, task.state) == (left, None, TaskState.READY)

    async def test_a_parked_task_lets_go_of_its_files_and_waits_for_what_supersedes_it(self, store):
        lease = await store.transact(begin(planned("a"), planned("b", "a")))
        [(session, _work)] = await store.transact(lambda tx: claim(tx, lease))
        await store.transact(lambda tx: tx.end_session(session.id, SessionOutcome.SUBMITTED, None))
        for event in (TaskEvent.SUBMIT, TaskEvent.PARK):
            await store.transact(lambda tx, e=event: tx.move_task(SWARM, TaskId("a"), e))
        assert await store.read(lambda r: r.file_claims(SWARM)) == {}
        assert (await store.read(lambda r: r.task(SWARM, TaskId("b")))).state is TaskState.WAITING
        fix = await store.transact(lambda tx: tx.insert_task(SWARM, planned("fix-a", supersedes=TaskId("a")), 99))
        assert fix.planned.supersedes == "a"
        await store.transact(lambda tx: tx.move_task(SWARM, TaskId("a"), TaskEvent.SUPERSEDE))
        assert (await store.read(lambda r: r.task(SWARM, TaskId("b")))).state is TaskState.READY


class TestEvents:
    async def test_events_are_chained_without_gaps_and_the_chain_verifies(self, store, clock):
        await store.transact(begin())
        assert await store.read(lambda r: r.last_seq(SWARM)) == 0
        for number in range(5):
            clock.advance(0.25)
            new = NewEvent("task.noted", "platform", {"n": number, "é": ["ü"]}, "a", "ses_1")
            await store.transact(lambda tx, e=new: tx.append(SWARM, e, e))
        events = await store.read(lambda r: r.events(SWARM))
        assert [e.seq for e in events] == list(range(1, 11))
        assert await store.read(lambda r: r.last_seq(SWARM)) == 10
        assert events[0].previous_hash == GENESIS
        assert first_break(events) is None
        assert [e.seq for e in await store.read(lambda r: r.events(SWARM, after=4, limit=2))] == [5, 6]
        assert await store.read(lambda r: r.last_event_at("ses_1")) == clock.now()
        assert await store.read(lambda r: r.last_event_at("ses_2")) is None

    async def test_an_event_of_a_step_that_fails_leaves_no_gap(self, store):
        await store.transact(begin())

        def fails(tx):
            tx.append(SWARM, NewEvent("x.y", "platform", {}))
            raise KeyError("mine")

        ok = NewEvent("x.z", "platform", {})
        results = await asyncio.gather(
            store.transact(lambda tx: tx.append(SWARM, ok)),
            store.transact(fails),
            store.transact(lambda tx: tx.append(SWARM, ok)),
            return_exceptions=True,
        )
        assert isinstance(results[1], KeyError)
        events = await store.read(lambda r: r.events(SWARM))
        assert [e.kind for e in events] == ["x.z", "x.z"]
        assert first_break(events) is None

    async def test_unbounded_things_are_refused(self, store):
        await store.transact(begin())
        with pytest.raises(RejectedError):
            await store.transact(lambda tx: tx.append(SWARM, NewEvent("x.y", "p", {"d": "x" * 70_000})))
        with pytest.raises(RejectedError):
            await store.transact(lambda tx: tx.put_blob("k", b"x" * ((1 << 20) + 1)))
        await store.transact(lambda tx: tx.put_blob("k", b"x" * (1 << 20)))
        await store.transact(lambda tx: tx.put_blob("k", b"\0new"))
        assert await store.read(lambda r: r.blob("k")) == b"\0new"

    async def test_listeners_are_woken_after_a_commit_and_end_with_the_store(self, store):
        wakes = store.commits()
        await store.transact(begin())
        await store.transact(lambda tx: tx.append(SWARM, NewEvent("x.y", "p", {})))
        assert SWARM in (await asyncio.wait_for(anext(wakes), 5)).swarms
        rest = [wake async for wake in _closing(store, wakes)]
        assert len(rest) <= 1


async def _closing(store, wakes):
    await store.close()
    async for wake in wakes:
        yield wake


class TestLedger:
    async def running(self, store, *, limit=Limit(), task_limit=Limit(), session_limit=Limit(), tasks=1):  # noqa: B008
        lease = await store.transact(
            begin(*(planned(f"t{n}") for n in range(tasks)), limit=limit, task_limit=task_limit)
        )
        claimed = await store.transact(lambda tx: claim(tx, lease, tasks, terms=terms_of(limit=session_limit)))
        return [session for session, _work in claimed]

    async def test_a_reservation_is_held_sent_and_settled(self, store, clock):
        [session] = await self.running(store, limit=Limit(USD, 1000))
        name = ReservationId("r1")
        held = await store.transact(lambda tx: tx.reserve(name, session.id, "m", Amount(300, 30), sent=False))
        assert (held.state, held.reserved, held.opened_at) == (ReservationState.HELD, Amount(300, 30), clock.now())
        assert await store.read(lambda r: r.open_reservations(SWARM)) == [held]
        await store.transact(lambda tx: tx.send(name))
        usage = Usage(7, 8, 1, 2)
        settled = await store.transact(lambda tx: tx.settle(name, Amount(100, 15), usage, "req-1"))
        assert (settled.state, settled.settled, settled.usage) == (ReservationState.SETTLED, Amount(100, 15), usage)
        assert (settled.estimated, settled.provider_request_id) == (False, "req-1")
        swarm = await store.read(lambda r: r.account_of(AccountKind.SWARM, SWARM))
        totals = await store.read(lambda r: r.totals(swarm.id))
        assert (totals.limit, totals.spent, totals.held, totals.calls) == (
            Limit(USD, 1000),
            Amount(100, 15),
            Amount(),
            1,
        )
        peak = await store.read(lambda r: r.peak(SWARM))
        assert (peak.peak, peak.spent, peak.calls, peak.estimated_calls) == (Amount(300, 30), Amount(100, 15), 1, 0)
        [use] = await store.read(lambda r: r.session_usage(SWARM))
        assert (use.session_id, use.calls, use.spent, use.input_tokens, use.output_tokens) == (
            session.id,
            1,
            Amount(100, 15),
            7,
            8,
        )

    async def test_each_model_that_was_asked_is_told_apart_and_what_cost_nothing_is_no_call(self, store):
        [session] = await self.running(store)

        def calls(tx):
            for number, (model, amount) in enumerate((("p:a", 5), ("p:a", 6), ("q:b", 7), ("p:a", 0))):
                name = ReservationId(f"r{number}")
                tx.reserve(name, session.id, model, Amount(10, 10), sent=True)
                tx.settle(name, Amount(amount, amount))

        await store.transact(calls)
        assert await store.read(lambda r: r.answered_calls(session.id)) == 3
        found = await store.read(lambda r: r.model_usage(SWARM))
        assert [(use.session_id, use.model, use.calls, use.spent) for use in found] == [
            (session.id, "p:a", 2, Amount(11, 11)),
            (session.id, "q:b", 1, Amount(7, 7)),
        ]

    async def test_a_task_may_ask_for_another_model_by_its_kind_or_role(self, store):
        lease = await store.transact(begin(planned("t0"), planned("t1")))
        terms = replace(terms_of(), models={planned("t0").role: "fast"})
        claimed = await store.transact(lambda tx: claim(tx, lease, 2, terms=terms))
        assert {session.model for session, _work in claimed} == {"fast"}

    async def test_a_reservation_ends_once(self, store):
        [session] = await self.running(store)
        name = ReservationId("r1")
        await store.transact(lambda tx: settle_new(tx, session.id, name, Amount(300), Amount(100)))
        for step in (
            lambda tx: tx.settle(name, Amount(1)),
            lambda tx: tx.free(name),
            lambda tx: tx.send(name),
            lambda tx: tx.reserve(name, session.id, "m", Amount(1), sent=True),
        ):
            with pytest.raises(ConflictError):
                await store.transact(step)
        assert (await store.read(lambda r: r.peak(SWARM))).spent == Amount(100)

    async def test_only_what_was_not_sent_can_be_freed(self, store):
        [session] = await self.running(store, limit=Limit(1000))
        for name, sent in (("r1", False), ("r2", True)):
            await store.transact(
                lambda tx, n=name, s=sent: tx.reserve(ReservationId(n), session.id, "m", Amount(500), sent=s)
            )
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.settle(ReservationId("r1"), Amount(1)))
        await store.transact(lambda tx: tx.free(ReservationId("r1")))
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.free(ReservationId("r2")))

    async def test_the_last_nano_dollar_can_be_reserved_and_none_beyond(self, store):
        one, two = await self.running(store, limit=Limit(10_000), tasks=2)
        await store.transact(lambda tx: settle_new(tx, one.id, "r1", Amount(1), Amount(1)))
        await store.transact(lambda tx: tx.reserve(ReservationId("r2"), two.id, "m", Amount(9_999), sent=True))
        with pytest.raises(BudgetExceededError) as caught:
            await store.transact(lambda tx: tx.reserve(ReservationId("r3"), one.id, "m", Amount(1), sent=True))
        text = str(caught.value)
        for part in ("swarm swm_1", "asked $0.000000001", "limit $0.00001", "spent $0.000000001", "held $0.000009999"):
            assert part in text

    async def test_what_is_left_for_a_session_is_the_least_of_all_above_it_and_fits(self, store):
        caps = {"limit": Limit(1000), "task_limit": Limit(500), "session_limit": Limit(None, 40)}
        one, two = await self.running(store, **caps, tasks=2)

        def left(session):
            return lambda reader: reader.headroom(session.account_id)

        assert await store.read(left(one)) == Limit(500, 40)
        await store.transact(lambda tx: settle_new(tx, one.id, "r1", Amount(300, 30), Amount(200, 10)))
        await store.transact(lambda tx: tx.reserve(ReservationId("r2"), two.id, "m", Amount(450, 1), sent=True))
        assert await store.read(left(one)) == Limit(300, 30)
        await store.transact(lambda tx: tx.reserve(ReservationId("r3"), two.id, "m", Amount(50, 1), sent=True))
        room = await store.read(left(one))
        assert room == Limit(300, 30)
        with pytest.raises(BudgetExceededError):
            await store.transact(lambda tx: tx.reserve(ReservationId("r4"), one.id, "m", Amount(301, 30), sent=True))
        await store.transact(lambda tx: tx.reserve(ReservationId("r5"), one.id, "m", Amount(300, 30), sent=True))
        assert await store.read(left(one)) == Limit(0, 0)

    async def test_the_account_that_is_full_is_named(self, store):
        caps = {"limit": Limit(1000), "task_limit": Limit(500), "session_limit": Limit(None, 10)}
        [session] = await self.running(store, **caps)
        for amount, named in (
            (Amount(400, 11), f"session {session.id}"),
            (Amount(501, 1), f"task {SWARM}/t0"),
        ):
            with pytest.raises(BudgetExceededError, match=named):
                await store.transact(lambda tx, a=amount: tx.reserve(ReservationId("r"), session.id, "m", a, sent=True))
        await store.transact(lambda tx: tx.reserve(ReservationId("r"), session.id, "m", Amount(500, 10), sent=True))

    async def test_a_call_whose_usage_is_unknown_is_charged_in_full(self, store):
        [session] = await self.running(store)
        settled = await store.transact(lambda tx: settle_new(tx, session.id, "r", Amount(50, 5), None))
        assert (settled.settled, settled.estimated) == (Amount(50, 5), True)
        assert (await store.read(lambda r: r.peak(SWARM))).estimated_calls == 1

    async def test_more_than_was_reserved_is_booked_and_freezes_the_account(self, store):
        one, two = await self.running(store, limit=Limit(1000), tasks=2)
        await store.transact(lambda tx: settle_new(tx, one.id, "r1", Amount(100), Amount(400)))
        frozen = await store.read(lambda r: r.account(one.account_id))
        assert (frozen.state, frozen.spent) == (AccountState.FROZEN, Amount(400))
        with pytest.raises(ConflictError, match="frozen"):
            await store.transact(lambda tx: tx.reserve(ReservationId("r2"), one.id, "m", Amount(1), sent=True))
        with pytest.raises(BudgetExceededError):
            await store.transact(lambda tx: tx.reserve(ReservationId("r3"), two.id, "m", Amount(601), sent=True))
        await store.transact(lambda tx: tx.reserve(ReservationId("r4"), two.id, "m", Amount(600), sent=True))
        await store.transact(lambda tx: tx.settle(ReservationId("r4"), Amount(700)))
        swarm = await store.read(lambda r: r.account_of(AccountKind.SWARM, SWARM))
        assert swarm.state is AccountState.FROZEN
        assert (await store.read(lambda r: r.totals(swarm.id))).spent == Amount(1100)
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.raise_limit(swarm.id, Limit(1099)))
        assert (await store.transact(lambda tx: tx.raise_limit(swarm.id, Limit(1200)))).state is AccountState.OPEN

    async def test_a_raised_limit_lets_go_on(self, store):
        [session] = await self.running(store, limit=Limit(100))
        swarm = await store.read(lambda r: r.account_of(AccountKind.SWARM, SWARM))

        def reserve(tx):
            return tx.reserve(ReservationId("r"), session.id, "m", Amount(150), sent=True)

        with pytest.raises(BudgetExceededError):
            await store.transact(reserve)
        await store.transact(lambda tx: tx.raise_limit(swarm.id, Limit(150)))
        await store.transact(reserve)
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.raise_limit(swarm.id, Limit(149)))

    async def test_an_unbounded_swarm_can_be_bounded_while_it_runs(self, store):
        [session] = await self.running(store)
        await store.transact(lambda tx: settle_new(tx, session.id, "r1", Amount(70), Amount(60)))
        swarm = await store.read(lambda r: r.account_of(AccountKind.SWARM, SWARM))
        assert swarm.limit == Limit()
        await store.transact(lambda tx: tx.raise_limit(swarm.id, Limit(100)))
        with pytest.raises(BudgetExceededError):
            await store.transact(lambda tx: tx.reserve(ReservationId("r2"), session.id, "m", Amount(41), sent=True))
        await store.transact(lambda tx: tx.reserve(ReservationId("r3"), session.id, "m", Amount(40), sent=True))

    async def test_an_account_closes_with_its_last_open_reservation(self, store):
        [session] = await self.running(store, limit=Limit(1000))
        await store.transact(lambda tx: tx.reserve(ReservationId("r"), session.id, "m", Amount(300), sent=True))
        await store.transact(lambda tx: tx.end_session(session.id, SessionOutcome.SUBMITTED, None))
        assert (await store.read(lambda r: r.account(session.account_id))).state is AccountState.OPEN
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.reserve(ReservationId("r2"), session.id, "m", Amount(1), sent=True))
        await store.transact(lambda tx: tx.settle(ReservationId("r"), Amount(200)))
        closed = await store.read(lambda r: r.account(session.account_id))
        assert (closed.state, closed.spent) == (AccountState.CLOSED, Amount(200))
        task = await store.read(lambda r: r.account(closed.parent_id))
        assert (task.spent, task.allocated) == (Amount(200), Amount())
        await store.transact(lambda tx: finish(tx, "t0"))
        swarm = await store.read(lambda r: r.account_of(AccountKind.SWARM, SWARM))
        assert (swarm.spent, swarm.held, swarm.allocated) == (Amount(200), Amount(), Amount())

    async def test_after_a_crash_held_is_freed_and_sent_is_charged_in_full(self, store, store_factory):
        [session] = await self.running(store, limit=Limit(1000))
        await store.transact(lambda tx: tx.reserve(ReservationId("h"), session.id, "m", Amount(300), sent=False))
        await store.transact(lambda tx: tx.reserve(ReservationId("s"), session.id, "m", Amount(200), sent=True))
        await store.close()
        again = await store_factory()
        ended = await again.transact(lambda tx: tx.recover_reservations())
        assert [(r.id, r.state, r.estimated) for r in ended] == [
            ("h", ReservationState.FREED, False),
            ("s", ReservationState.SETTLED, True),
        ]
        peak = await again.read(lambda r: r.peak(SWARM))
        assert (peak.peak, peak.spent) == (Amount(500), Amount(200))
        assert await again.read(lambda r: r.open_reservations()) == []
        await again.close()

    async def test_no_interleaving_of_many_callers_exceeds_the_budget(self, store):
        sessions = await self.running(store, limit=Limit(1000), tasks=5)

        async def call(number):
            name, session = ReservationId(f"r{number}"), sessions[number % 5]
            try:
                await store.transact(lambda tx: tx.reserve(name, session.id, "m", Amount(90), sent=True))
            except BudgetExceededError:
                return 0
            await store.transact(lambda tx: tx.settle(name, Amount(40)))
            return 40

        spent = sum(await asyncio.gather(*(call(number) for number in range(100))))
        peak = await store.read(lambda r: r.peak(SWARM))
        assert peak.peak.nano_usd <= 1000
        assert (peak.spent.nano_usd, spent <= 1000) == (spent, True)


def replica(name):
    return ReplicaRow(ReplicaId(name), f"host:{name}", 3.0, 0, f"http://127.0.0.1/{name}", f"http://127.0.0.1/g/{name}")


class TestReplicas:
    async def test_those_that_are_there_are_listed_until_they_leave(self, store):
        for name in ("a", "b"):
            await store.transact(lambda tx, n=name: tx.register_replica(replica(n)))
        await store.transact(lambda tx: tx.beat_replica(ReplicaId("b")))
        assert await store.read(lambda r: r.replicas()) == [replica("a"), replace(replica("b"), beats=1)]
        await store.transact(lambda tx: tx.remove_replica(ReplicaId("a")))
        await store.transact(lambda tx: tx.remove_replica(ReplicaId("a")))
        assert [r.id for r in await store.read(lambda r: r.replicas())] == ["b"]

    async def test_one_that_beat_meanwhile_is_not_expired_and_one_that_was_learns_it(self, store):
        await store.transact(lambda tx: tx.register_replica(replica("a")))
        await store.transact(lambda tx: tx.beat_replica(ReplicaId("a")))
        assert await store.transact(lambda tx: tx.expire_replica(ReplicaId("a"), 0)) is None
        assert await store.transact(lambda tx: tx.expire_replica(ReplicaId("a"), 1)) == []
        assert await store.transact(lambda tx: tx.expire_replica(ReplicaId("a"), 1)) is None
        with pytest.raises(FenceLostError):
            await store.transact(lambda tx: tx.beat_replica(ReplicaId("a")))

    async def test_a_chore_stays_with_its_replica_until_that_is_gone(self, store):
        for name in ("a", "b"):
            await store.transact(lambda tx, n=name: tx.register_replica(replica(n)))

        async def take(subject, name):
            return await store.transact(lambda tx: tx.take_chore(subject, ReplicaId(name)))

        assert [await take("merge", "a"), await take("merge", "b"), await take("tell", "b")] == ["a", "a", "b"]
        await store.transact(lambda tx: tx.expire_replica(ReplicaId("a"), 0))
        assert await store.read(lambda r: r.chores()) == {"tell": "b"}
        assert [await take("merge", "b"), await take("merge", "b")] == ["b", "b"]

    async def test_the_chore_of_one_that_was_never_there_is_taken(self, store):
        await store.transact(lambda tx: tx.register_replica(replica("a")))
        await store.transact(lambda tx: tx.take_chore("merge", ReplicaId("ghost")))
        assert await store.transact(lambda tx: tx.take_chore("merge", ReplicaId("a"))) == "a"

    async def test_the_calls_of_one_that_is_gone_are_charged_in_full_and_no_others(self, store):
        [session] = await TestLedger().running(store, limit=Limit(1000))
        for name in ("a", "b"):
            await store.transact(lambda tx, n=name: tx.register_replica(replica(n)))

        def open_calls(tx):
            for name, by, sent in (("a1", "a", True), ("a2", "a", False), ("b1", "b", True)):
                tx.reserve(ReservationId(name), session.id, "m", Amount(100), sent=sent, replica_id=ReplicaId(by))
            tx.reserve(ReservationId("a3"), session.id, "m", Amount(100), sent=True, replica_id=ReplicaId("a"))
            tx.settle(ReservationId("a3"), Amount(7))

        await store.transact(open_calls)
        assert await store.transact(lambda tx: tx.recover_reservations()) == []
        ended = await store.transact(lambda tx: tx.expire_replica(ReplicaId("a"), 0))
        assert {(r.id, r.state, r.estimated) for r in ended} == {
            ("a1", ReservationState.SETTLED, True),
            ("a2", ReservationState.FREED, False),
        }
        assert [r.id for r in await store.read(lambda r: r.open_reservations())] == ["b1"]
        with pytest.raises(ConflictError):
            await store.transact(lambda tx: tx.settle(ReservationId("a1"), Amount(5)))
        assert (await store.read(lambda r: r.peak(SWARM))).spent == Amount(107)

    async def test_a_call_opened_by_one_that_was_already_gone_is_found(self, store):
        [session] = await TestLedger().running(store, limit=Limit(1000))
        await store.transact(
            lambda tx: tx.reserve(
                ReservationId("r"), session.id, "m", Amount(100), sent=True, replica_id=ReplicaId("ghost")
            )
        )
        assert [r.id for r in await store.read(lambda r: r.orphaned_reservations())] == ["r"]
        [charged] = await store.transact(lambda tx: tx.recover_reservations())
        assert (charged.settled, await store.read(lambda r: r.orphaned_reservations())) == (Amount(100), [])


class TestStore:
    async def test_a_snapshot_does_not_change_under_its_reader(self, store):
        await store.transact(begin())
        loop = asyncio.get_running_loop()

        def look(r):
            before = len(r.events(SWARM))
            write = store.transact(lambda tx: tx.append(SWARM, NewEvent("x.y", "p", {})))
            asyncio.run_coroutine_threadsafe(write, loop).result(5)
            return before, len(r.events(SWARM))

        assert await store.read(look) == (0, 0)
        assert len(await store.read(lambda r: r.events(SWARM))) == 1

    async def test_what_was_committed_is_there_after_reopening(self, store, store_factory):
        await store.transact(begin())
        await store.close()
        again = await store_factory()
        assert (await again.read(lambda r: r.swarm(SWARM))).id == SWARM
        await again.close()

    async def test_a_closed_store_says_so(self, store):
        await store.close()
        with pytest.raises(StoreUnavailableError):
            await store.transact(lambda tx: tx.swarms())
        with pytest.raises(StoreUnavailableError):
            await store.read(lambda r: r.swarms())

    async def test_what_was_asked_before_closing_is_done(self, store, store_factory):
        asked = [asyncio.ensure_future(store.transact(lambda tx: tx.put_blob("k", b"v"))) for _ in range(20)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*asked)
        again = await store_factory()
        assert await again.read(lambda r: r.blob("k")) == b"v"
        await again.close()
