"""Control planes that share a database: who is in the list, who is struck off it, and who does a chore."""

import asyncio
import dataclasses

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import RandomIds, ReplicaId, ReservationId
from swarmworks.domain.budget import Amount, ReservationState
from swarmworks.service import replicas
from swarmworks.service.electing import Electing
from swarmworks.service.replicas import Replicas
from swarmworks.store.protocol import ReplicaRow
from tests.store.sample import agents_of, claim, planned, swarm_of, worker
from tests.stores import open_test_store

TTL_S = 3.0


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
async def store(tmp_path, clock):
    opened = await open_test_store(tmp_path / "state.db", clock, RandomIds())
    yield opened
    await opened.close()


class Plane:
    """What a control plane does of all this, one step at a time."""

    def __init__(self, store, clock, name, *, alone=False):
        self.reasons = []
        me = ReplicaRow(ReplicaId(name), f"host:{name}", TTL_S, 0, f"http://{name}", f"http://gateway.{name}")
        self.store = store
        self.replicas = Replicas(store, clock, me, alone=alone, lost=self.reasons.append)
        self.electing = Electing(store, me.id)
        self.replicas.listen(self.electing.living)

    async def beat(self):
        await self.store.transact(lambda tx: tx.beat_replica(self.replicas.me.id))

    def sees(self):
        return [one.id for one in self.replicas.living()]


@pytest.fixture
async def planes(store, clock):
    made = [Plane(store, clock, name) for name in ("a", "b", "c")]
    for plane in made:
        await plane.replicas.enter()
    return made


async def silence_of(who, watcher, others, clock):
    """Time goes on without a beat of `who`, until the watcher has struck it off."""
    for _ in range(5):
        for each in others:
            await each.beat()
        clock.advance(1)
        if await watcher.replicas.watch():
            return
    raise AssertionError(f"{who} was never struck off")


async def test_one_that_falls_silent_is_struck_off_and_the_others_stay(planes, clock):
    a, b, c = planes
    await a.replicas.watch()
    assert a.sees() == ["a", "b", "c"]
    await silence_of(b, a, [a, c], clock)
    assert a.sees() == ["a", "c"]
    await c.replicas.watch()
    assert c.sees() == ["a", "c"]


async def test_one_that_was_struck_off_ends_and_says_why(planes, clock):
    a, b, c = planes
    await a.replicas.watch()
    await silence_of(b, a, [a, c], clock)
    await asyncio.wait_for(b.replicas.beat(), 10)
    assert b.replicas.given_up
    [reason] = b.reasons
    assert "host:b" in reason
    assert "given up by the others" in reason


async def test_one_that_leaves_is_gone_at_once_and_names_only_the_others_before(planes):
    a, b, c = planes
    await b.replicas.watch()
    b.replicas.leaving = True
    assert b.sees() == ["a", "c"]
    await b.replicas.leave()
    for plane in (a, c):
        await plane.replicas.watch()
        assert plane.sees() == ["a", "c"]
    assert not b.reasons


async def test_the_only_process_that_can_be_there_strikes_off_who_was_before(planes, store, clock):
    alone = Plane(store, clock, "z", alone=True)
    await alone.replicas.enter()
    assert alone.sees() == ["z"]
    assert not alone.replicas.others


async def test_a_chore_is_done_by_one_and_by_another_when_that_one_is_gone(planes, clock):
    a, b, c = planes
    done, woken = [], []
    chores = []
    for plane in planes:

        async def once(name=plane.replicas.me.id):
            done.append(name)
            return True

        chores.append(plane.electing.guarded("merge queue", once))
        plane.electing.listen(lambda name=plane.replicas.me.id: woken.append(name))
    for _ in range(2):
        assert [await chore() for chore in chores] == [True, False, False]
    assert done == ["a", "a"]
    await b.replicas.watch()
    await silence_of(a, b, [b, c], clock)
    assert woken == ["b"]
    await c.replicas.watch()
    assert woken == ["b", "c"]
    assert [await chores[2](), await chores[1]()] == [True, False]
    assert done == ["a", "a", "c"]


async def test_calls_of_one_that_was_struck_off_are_charged_and_its_late_ones_too(planes, store, clock):
    a, b, c = planes
    await a.replicas.watch()

    def begin(tx):
        tx.set_agents("shop", agents_of(1))
        tx.insert_swarm(swarm_of(planned("t")))
        [(session, _work)] = claim(tx, worker(tx))
        return session.id

    session = await store.transact(begin)

    def call(name, by):
        amount = Amount(100, 10)
        return lambda tx: tx.reserve(ReservationId(name), session, "m", amount, sent=True, replica_id=by.replicas.me.id)

    await store.transact(call("before", b))
    await store.transact(call("other", c))
    await silence_of(b, a, [a, c], clock)
    await store.transact(call("late", b))  # it does not know yet
    await a.replicas.charge_orphans()
    states = {
        name: (await store.read(lambda r, n=name: r.reservation(n))).state for name in ("before", "late", "other")
    }
    assert states == {
        "before": ReservationState.SETTLED,
        "late": ReservationState.SETTLED,
        "other": ReservationState.SENT,
    }


async def test_a_database_that_takes_no_writes_is_said_in_the_end(clock):
    class Full:
        async def transact(self, step):
            clock.advance(replicas.MOST_UNWRITTEN_S / 2)
            raise StoreUnavailableError("the database cannot be used: no space left on device")

    plane = Plane(Full(), clock, "a")
    plane.replicas.me = dataclasses.replace(plane.replicas.me, ttl_s=0.0)
    await plane.replicas.beat()
    assert plane.reasons == ["nothing could be written for 20 s: the database cannot be used: no space left on device"]


async def test_it_beats_faster_as_soon_as_another_is_in_the_list_or_a_beat_failed(store, clock, monkeypatch):
    a, b = Plane(store, clock, "a"), Plane(store, clock, "b")
    await a.replicas.enter()
    written = store.transact
    pauses = []

    async def pausing(seconds):
        pauses.append(seconds)
        match len(pauses):
            case 1:
                await b.replicas.enter()
                await a.replicas.watch()
            case 2:
                await b.replicas.leave()
                await a.replicas.watch()
                monkeypatch.setattr(store, "transact", refused)
            case 3:
                monkeypatch.setattr(store, "transact", written)
            case 4:
                raise asyncio.CancelledError

    async def refused(_step):
        raise StoreUnavailableError("no space left on device")

    monkeypatch.setattr(replicas.asyncio, "sleep", pausing)
    with pytest.raises(asyncio.CancelledError):
        await a.replicas.beat()
    assert pauses == [TTL_S / 3, TTL_S / 4, TTL_S / 4, TTL_S / 3]
