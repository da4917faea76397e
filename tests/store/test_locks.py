"""Locks that another process holds: nobody waits behind them who does not need them, and nobody gives up too early."""

import asyncio
import contextlib
import time

import psycopg
import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import RandomIds, ReplicaId, ReservationId, SwarmId
from swarmworks.domain.budget import Amount, ReservationState
from swarmworks.domain.event import NewEvent
from swarmworks.store import postgres_schema
from swarmworks.store.postgres import open_postgres
from swarmworks.store.postgres_connection import PostgresConnection
from swarmworks.store.protocol import ReplicaRow
from tests.postgres import a_database, needs_postgres
from tests.store.sample import agents_of, claim, planned, swarm_of, worker

pytestmark = needs_postgres

ONE, TWO = SwarmId("swm_1"), SwarmId("swm_2")
MINE, OTHER = ReplicaId("rep_1"), ReplicaId("rep_2")


@pytest.fixture
def address():
    return a_database()


@contextlib.asynccontextmanager
async def opened(address):
    async with contextlib.AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            stores.append(await open_postgres(address, SystemClock(), RandomIds()))
            stack.push_async_callback(stores[-1].close)
        yield stores


def begin(tx):
    tx.set_agents("shop", agents_of(4))
    for replica in (MINE, OTHER):
        tx.register_replica(ReplicaRow(replica, "r", 3.0, 0, "http://a", "http://g"))
    lease = worker(tx)
    sessions = []
    for swarm_id in (ONE, TWO):
        tx.insert_swarm(swarm_of(planned("t0"), swarm_id=swarm_id))
        sessions += [session for session, _work in claim(tx, lease, 1, swarm_id=swarm_id)]
    for number, session in enumerate(sessions):
        name = ReservationId(f"r{number}")
        tx.reserve(name, session.id, "m", Amount(100, 10), sent=True, replica_id=OTHER)
    return lease


@contextlib.asynccontextmanager
async def locked(address, swarm_id):
    """By somebody who is at work, so that the server does not end the wait for us."""
    async with await psycopg.AsyncConnection.connect(address) as connection:
        await connection.execute("SELECT 1 FROM swarm WHERE id = %s FOR UPDATE", [swarm_id])
        yield connection


def of_both(tx):
    tx.append(ONE, NewEvent("a.b", "x", {}))
    tx.append(TWO, NewEvent("a.b", "x", {}))


async def test_a_step_of_two_swarms_waits_for_the_second(address):
    async with opened(address) as (store, other):
        await store.transact(begin)
        async with locked(address, TWO) as holder:
            writing = asyncio.ensure_future(store.transact(of_both))
            await other.transact(lambda tx: tx.append(ONE, NewEvent("c.d", "x", {})))  # the first is free meanwhile
            done, _ = await asyncio.wait([writing], timeout=1.0)
            assert not done
            await holder.rollback()
            await writing
        assert [event.kind for event in await store.read(lambda r: r.events(TWO))] == ["a.b"]


async def test_a_beat_does_not_stand_behind_a_lock(address):
    async with opened(address) as (store, _other):
        await store.transact(begin)
        async with locked(address, TWO) as holder:
            writing = asyncio.ensure_future(store.transact(of_both))
            settling = asyncio.ensure_future(store.transact(lambda tx: tx.settle(ReservationId("r1"), Amount(1, 1))))
            slowest = 0.0
            for _ in range(4):
                began = time.monotonic()
                await store.transact(lambda tx: tx.beat_replica(MINE))
                slowest = max(slowest, time.monotonic() - began)
            assert slowest < 2.0
            assert not writing.done()
            assert not settling.done()
            await holder.rollback()
            await asyncio.gather(writing, settling)


async def test_a_lost_replica_is_struck_off_while_one_of_its_swarms_is_held(address):
    async with opened(address) as (store, _other):
        await store.transact(begin)
        async with locked(address, TWO) as holder:
            charged = await store.transact(lambda tx: tx.expire_replica(OTHER, 0))
            assert [each.id for each in charged] == ["r0"]
            assert [each.id for each in await store.read(lambda r: r.orphaned_reservations())] == ["r1"]
            await holder.rollback()
        await store.transact(lambda tx: tx.recover_reservations())
        assert (await store.read(lambda r: r.reservation(ReservationId("r1")))).state is ReservationState.SETTLED


async def test_a_renewal_waits_for_nobody(address):
    async with opened(address) as (store, _other):
        lease = await store.transact(begin)
        async with locked(address, ONE), locked(address, TWO), asyncio.timeout(5):
            for _ in range(3):
                await store.transact(lambda tx: tx.renew_worker(lease, frozenset()))


async def test_a_worker_that_is_given_work_at_this_moment_is_not_removed(address):
    async with opened(address) as (store, other):

        def alone(tx):
            tx.set_agents("shop", agents_of(1))
            tx.insert_swarm(swarm_of(planned("t0"), swarm_id=ONE))
            return worker(tx)

        lease = await store.transact(alone)
        async with locked(address, ONE) as holder:
            claiming = asyncio.ensure_future(
                store.transact(lambda tx: (tx.hold_worker(lease), claim(tx, lease, 1, swarm_id=ONE)))
            )
            removing = asyncio.ensure_future(other.transact(lambda tx: tx.remove_worker(lease)))
            await asyncio.wait([claiming, removing], timeout=0.5)
            await holder.rollback()
            await asyncio.gather(claiming, removing, return_exceptions=True)
        there = {each.id for each in await store.read(lambda r: r.workers())}
        held = {each.worker_id for each in await store.read(lambda r: r.leased_to(lease.worker_id))}
        assert held <= there


async def test_a_column_added_by_another_version_stops_neither_reads_nor_writes(address):
    async with opened(address) as (store, _other):
        await store.transact(begin)
        for _ in range(40):  # often enough for every reader to keep the plan
            await store.read(lambda r: r.swarm(ONE))
            await store.transact(lambda tx: tx.append(ONE, NewEvent("a.b", "x", {})))
        with psycopg.connect(address) as connection:
            connection.execute("ALTER TABLE swarm ADD COLUMN later TEXT")
        for _ in range(8):
            assert (await store.read(lambda r: r.swarm(ONE))).id == ONE
            await store.transact(lambda tx: tx.append(ONE, NewEvent("a.b", "x", {})))


async def test_the_schema_is_not_changed_under_control_planes_of_an_older_version(address, monkeypatch):
    async with opened(address) as (store, _other):
        await store.transact(begin)
        with psycopg.connect(address) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0004'")

        def beat_at_the_last_moment(seconds):
            assert seconds == 3.0
            with psycopg.connect(address) as connection:
                connection.execute("UPDATE replica SET beats = beats + 1 WHERE id = %s", (MINE,))

        monkeypatch.setattr(postgres_schema.time, "sleep", beat_at_the_last_moment)
        with pytest.raises(StoreUnavailableError, match="older version use it") as refused:
            await open_postgres(address, SystemClock(), RandomIds())
        assert "end all of them first" in refused.value.mend


async def test_the_writer_outlives_what_it_does_not_know(address, monkeypatch):
    async with opened(address) as (store, _other):
        await store.transact(begin)

        def broken(self):
            raise psycopg.DataError("something new")

        with monkeypatch.context() as patched:
            patched.setattr(PostgresConnection, "commit", broken)
            with pytest.raises(psycopg.DataError):
                await store.transact(of_both)
        await store.transact(of_both)
        assert len(await store.read(lambda r: r.events(ONE))) == 1


async def test_news_of_many_swarms_at_once_wakes_whoever_listens(address):
    async with opened(address) as (store, other):
        heard, own = other.commits(), store.commits()
        names = [SwarmId(f"swm_{n:04}_{'x' * 40}") for n in range(200)]

        def many(tx):
            for name in names:
                tx.insert_swarm(swarm_of(planned("t0"), swarm_id=name, project=name))

        await store.transact(many)
        async with asyncio.timeout(10):
            while not (await anext(heard)).unsure:
                pass
            assert names[0] in (await anext(own)).swarms
