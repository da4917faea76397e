"""What is particular to the store on PostgreSQL: several control planes at once, lost connections, and its wake-ups."""

import asyncio
import random

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import BudgetExceededError
from swarmworks.base.ids import RandomIds, ReservationId, SwarmId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.store import postgres
from swarmworks.store.postgres import open_postgres
from tests.postgres import a_store
from tests.store.sample import agents_of, claim, planned, swarm_of, worker

PLANES = 3


async def planes(address):
    return [await open_postgres(address, SystemClock(), RandomIds()) for _ in range(PLANES)]


async def test_three_control_planes_write_to_the_same_swarms(tmp_path):
    stores = await planes(a_store())
    swarms = [SwarmId(f"swm_{n}") for n in range(3)]
    rng = random.Random(1)

    def begin(tx):
        tx.set_agents("shop", agents_of(100))
        for swarm_id in swarms:
            tx.insert_swarm(
                swarm_of(*(planned(f"t{n}") for n in range(20)), swarm_id=swarm_id, limit=Limit(10_000, None))
            )
        return worker(tx)

    lease = await stores[0].transact(begin)
    started = []

    async def take(store, swarm_id):
        for session, _work in await store.transact(lambda tx: claim(tx, lease, 1, swarm_id=swarm_id)):
            started.append(session)

    await asyncio.gather(*(take(rng.choice(stores), swarm_id) for swarm_id in swarms for _ in range(20)))
    assert len({(s.swarm_id, s.task_id) for s in started}) == len(started) == 60
    refused = 0

    async def call(number, session):
        nonlocal refused
        name = ReservationId(f"r{number}")
        store = rng.choice(stores)
        try:
            await store.transact(lambda tx: tx.reserve(name, session.id, "m", Amount(100, 10), sent=True))
        except BudgetExceededError:
            refused += 1
            return
        await rng.choice(stores).transact(
            lambda tx: (
                tx.settle(name, Amount(rng.randrange(101), 5)),
                tx.append(session.swarm_id, NewEvent("a.b", "x", {"n": number})),
            )
        )

    await asyncio.gather(*(call(n, rng.choice(started)) for n in range(900)))
    for swarm_id in swarms:
        events = await stores[1].read(lambda r, s=swarm_id: r.events(s, limit=10_000))
        assert first_break(events) is None
        totals = await stores[2].read(lambda r, s=swarm_id: r.totals(r.swarm(s).account_id))
        peak = await stores[2].read(lambda r, s=swarm_id: r.peak(s))
        assert totals.held == Amount(0, 0)
        assert totals.spent == peak.spent
        assert peak.peak.nano_usd <= 10_000
    for store in stores:
        await store.close()


async def test_closing_does_not_wait_for_a_line_on_which_nothing_comes(monkeypatch):
    monkeypatch.setattr(postgres, "LISTEN_AGAIN_S", 600.0)
    address = a_store()
    store, other = [await open_postgres(address, SystemClock(), RandomIds()) for _ in range(2)]
    commits = aiter(store.commits())
    await other.transact(lambda tx: tx.insert_swarm(swarm_of(planned("t0"))))
    await anext(commits)  # it listens
    async with asyncio.timeout(60):
        await store.close()
        await other.close()
