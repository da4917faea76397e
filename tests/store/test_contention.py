"""Three control planes at the same rows: nothing is taken twice, nobody waits in a circle, one swarm of a project opens."""

import asyncio
import random
import threading

import psycopg

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds, SwarmId, WorkId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.domain.session import SessionOutcome
from swarmworks.domain.swarm import OPEN
from swarmworks.domain.task import TaskEvent, TaskState
from swarmworks.store.postgres import open_postgres
from swarmworks.store.protocol import NewWork
from tests.postgres import a_store, needs_postgres
from tests.store.sample import ROOMY, agents_of, claim, planned, swarm_of, worker

pytestmark = needs_postgres

PLANES, SWARMS, TASKS, PIECES = 3, 4, 12, 25
NAMES = [SwarmId(f"swm_{n}") for n in range(SWARMS)]
SOME = Capacity(1000, 5, 1 << 40)
GATES = Capacity(0, 1, 1 << 20)


async def planes(address):
    return [await open_postgres(address, SystemClock(), RandomIds()) for _ in range(PLANES)]


async def closed(stores):
    for store in stores:
        await store.close()


def deadlocks(address):
    with psycopg.connect(address) as connection:
        connection.execute(
            "SELECT pg_stat_force_next_flush()" if connection.info.server_version >= 150000 else "SELECT 1"
        )
        [count] = connection.execute(
            "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        ).fetchone()
    return count


def begin(tx):
    for number, swarm_id in enumerate(NAMES):
        tx.set_agents(f"p{number}", agents_of(TASKS, prefix=f"p{number}"))
        tasks = (planned(f"t{n}") for n in range(TASKS))
        tx.insert_swarm(swarm_of(*tasks, swarm_id=swarm_id, project=f"p{number}"))
        for n in range(PIECES):
            work_id = WorkId(f"g{number}-{n}")
            tx.enqueue_work(NewWork(work_id, WorkKind.GATES, swarm_id, "t0", work_id, GATES, "{}"))
    return [worker(tx, f"w{n}", ROOMY) for n in range(2)]


def end(tx, lease, session, work):
    tx.finish_work(lease, work.id, work.fence, "{}")
    tx.end_session(session.id, SessionOutcome.SUBMITTED, None)
    for event in (TaskEvent.SUBMIT, TaskEvent.APPROVE, TaskEvent.LAND):
        tx.move_task(session.swarm_id, session.task_id, event)


async def test_claims_renewals_and_finishes_of_three_control_planes_take_everything_once_and_never_deadlock():
    address = a_store()
    stores = await planes(address)
    rng = random.Random(4)

    leases = await stores[0].transact(begin)
    taken, sessions = [], []

    async def gates(store, lease):
        while works := await store.transact(lambda tx: tx.claim_work(lease, SOME, (WorkKind.GATES,))):
            taken.extend(work.id for work in works)
            for work in works:
                other = rng.choice(stores)
                await other.transact(lambda tx, one=work: tx.finish_work(lease, one.id, one.fence, "{}"))

    async def tasks(store, lease, swarm_id):
        while pairs := await store.transact(
            lambda tx: (tx.hold_worker(lease), claim(tx, lease, 2, swarm_id=swarm_id))[1]
        ):
            for session, work in pairs:
                sessions.append((session.swarm_id, session.task_id))
                other = rng.choice(stores)
                await other.transact(lambda tx, one=(session, work): end(tx, lease, *one))

    async def renewals(store, lease):
        for _ in range(10):
            await store.transact(
                lambda tx: tx.renew_worker(lease, frozenset())
            )  # all of it unnamed: its rows are written

    await asyncio.gather(
        *(gates(store, lease) for store in stores for lease in leases),
        *(tasks(rng.choice(stores), rng.choice(leases), swarm_id) for swarm_id in NAMES for _ in range(2)),
        *(renewals(store, lease) for store in stores for lease in leases),
    )
    counts = await stores[0].read(lambda reader: [reader.task_counts(one) for one in NAMES])
    assert len(taken) == len(set(taken)) == SWARMS * PIECES
    assert len(sessions) == len(set(sessions)) == SWARMS * TASKS
    assert [count[TaskState.LANDED] for count in counts] == [TASKS] * SWARMS
    await closed(stores)
    assert deadlocks(address) == 0


async def test_of_control_planes_that_open_a_swarm_of_a_new_project_at_once_one_does():
    stores = await planes(a_store())

    def open_one(tx, number):
        tx.hold_project("shop")
        if tx.swarms("shop", states=OPEN):
            return False
        tx.insert_swarm(swarm_of(planned("a"), swarm_id=SwarmId(f"swm_{number}")))
        return True

    opened = await asyncio.gather(
        *(store.transact(lambda tx, n=number: open_one(tx, n)) for number, store in enumerate(stores * 3))
    )
    assert sorted(opened)[-2:] == [False, True]
    assert len(await stores[0].read(lambda reader: reader.swarms("shop"))) == 1
    await closed(stores)


async def test_transactions_that_write_to_two_swarms_in_opposite_order_both_end_and_never_wait_in_a_circle():
    address = a_store()
    stores = await planes(address)
    both = threading.Barrier(2)
    await stores[0].transact(
        lambda tx: [tx.insert_swarm(swarm_of(planned("a"), swarm_id=one, project=one)) for one in NAMES[:2]]
    )
    met = set()

    def crossing(tx, first, second):
        tx.append(first, NewEvent("a.b", "x", {}))
        if first not in met:  # it may run again
            met.add(first)
            both.wait(30)
        tx.append(second, NewEvent("a.b", "x", {}))

    one, other = NAMES[:2]
    await asyncio.gather(
        stores[0].transact(lambda tx: crossing(tx, one, other)), stores[1].transact(lambda tx: crossing(tx, other, one))
    )
    assert await stores[2].read(lambda reader: [reader.last_seq(each) for each in NAMES[:2]]) == [2, 2]
    await closed(stores)
    assert deadlocks(address) == 0
