"""Connections to PostgreSQL that break at the worst moments: every transaction is made once, and nobody is told of it."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import RandomIds, SwarmId
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.store import postgres_connection
from swarmworks.store.postgres import open_postgres
from swarmworks.store.postgres_connection import PostgresConnection
from tests.postgres import a_store, needs_postgres
from tests.store.sample import planned, swarm_of

pytestmark = needs_postgres
SWARM = SwarmId("swm_1")


@pytest.fixture
async def address():
    return a_store()


@pytest.fixture
async def store(address):
    opened = await open_postgres(address, SystemClock(), RandomIds())
    await opened.transact(lambda tx: tx.insert_swarm(swarm_of(planned("t0"), swarm_id=SWARM)))
    yield opened
    await opened.close()


def break_all(address: str) -> None:
    """Every connection of the store's, from the server's side."""
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'swarm-%'"
        )


def tell(number: int):
    return lambda tx: tx.append(SWARM, NewEvent("a.b", "x", {"n": number}))


async def numbers(store) -> list[str]:
    events = await store.read(lambda reader: reader.events(SWARM, limit=1000))
    assert first_break(events) is None
    return [event.data for event in events if event.kind == "a.b"]


async def test_connections_that_broke_while_nobody_used_them(store, address):
    break_all(address)
    assert await numbers(store) == []
    break_all(address)
    await store.transact(tell(1))
    assert len(await numbers(store)) == 1


async def test_a_connection_that_breaks_in_the_middle_of_a_step_costs_neither_it_nor_its_neighbours(store, address):
    breaks = iter([True])

    def broken(tx):
        tell(1)(tx)
        if next(breaks, False):
            break_all(address)
        tell(2)(tx)

    await asyncio.gather(store.transact(tell(0)), store.transact(broken), store.transact(tell(3)))
    assert [data.count('"n":') for data in await numbers(store)] == [1] * 4


@pytest.mark.parametrize("made", [True, False])
async def test_a_connection_that_breaks_at_its_commit_is_asked_what_became_of_it(store, address, monkeypatch, made):
    whole, breaks = PostgresConnection._control, iter([True])

    def control(self, statement):
        if statement != "COMMIT" or not next(breaks, False):
            return whole(self, statement)
        if made:
            whole(self, statement)
        break_all(address)
        return whole(self, "SELECT 1")

    monkeypatch.setattr(PostgresConnection, "_control", control)
    await store.transact(tell(1))
    assert len(await numbers(store)) == 1


async def test_a_database_that_stays_away_is_said_after_the_time_it_is_waited_for(store, address, monkeypatch):
    monkeypatch.setattr(postgres_connection, "PATIENCE_S", 0.1)
    name = address.rpartition("/")[2]
    with psycopg.connect(address.replace(name, "postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
        with pytest.raises(StoreUnavailableError, match="cannot be used"):
            await store.transact(tell(1))
        with pytest.raises(StoreUnavailableError, match="cannot be used"):
            await numbers(store)
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await store.transact(tell(2))
    assert len(await numbers(store)) == 1


async def test_a_statement_the_server_never_prepared_because_one_before_it_failed_works_at_its_next_use(store):
    def seven(tx, *divisors):
        tx.db.post("SELECT 1 / :divisor::int", [{"divisor": each} for each in divisors])
        return tx.db.rows("SELECT 7 AS seven")

    for _ in range(20):
        with pytest.raises(psycopg.errors.DivisionByZero):
            await store.transact(lambda tx: seven(tx, 0))
        assert await store.transact(seven) == [{"seven": 7}]
