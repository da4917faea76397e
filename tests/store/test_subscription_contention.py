"""Two control planes count the calls of one subscription at the same moment, for two swarms that do not wait for each other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds, ReservationId, SwarmId
from swarmworks.domain.budget import Amount
from swarmworks.store.postgres import open_postgres
from tests.postgres import a_store, needs_postgres
from tests.store.sample import agents_of, claim, planned, swarm_of, worker

pytestmark = needs_postgres
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
LIMIT, CALLS = 5, 15


def begin(number):
    def step(tx):
        swarm_id = SwarmId(f"swm_{number}")
        tx.set_agents(f"shop{number}", agents_of(1, prefix=f"ada{number}"))
        tx.insert_swarm(swarm_of(planned("a"), swarm_id=swarm_id, project=f"shop{number}"))
        [(session, _work)] = claim(tx, worker(tx, f"w{number}"), 1, swarm_id=swarm_id)
        return session

    return step


async def test_no_more_calls_are_let_in_than_the_window_holds():
    address = a_store()
    async with AsyncExitStack() as stack:
        stores = []
        for _ in range(2):
            stores.append(await open_postgres(address, SystemClock(), RandomIds()))
            stack.push_async_callback(stores[-1].close)
        sessions = [await store.transact(begin(number)) for number, store in enumerate(stores)]

        def call(number, name):
            def step(tx):
                tx.session(sessions[number].id)
                tx.hold_subscription("plan")
                if tx.drawn("plan", SINCE).requests >= LIMIT:
                    return False
                tx.reserve(
                    ReservationId(name), sessions[number].id, "p:m", Amount(0, 1), sent=True, subscription="plan"
                )
                return True

            return step

        for turn in range(CALLS):
            asked = (store.transact(call(number, f"r{turn}-{number}")) for number, store in enumerate(stores))
            await asyncio.gather(*asked)
        assert (await stores[0].read(lambda reader: reader.drawn("plan", SINCE))).requests == LIMIT
