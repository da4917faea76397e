"""A project's days and months, and a swarm's agents: limits beside the tree, on every store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from swarmworks.base.errors import BudgetExceededError, ConflictError
from swarmworks.base.ids import ReservationId
from swarmworks.domain.budget import AccountKind, AccountState, Amount, Limit, Period
from tests.store.sample import SWARM, agents_of, claim, planned, swarm_of, worker

DAY, MONTH = Period.DAY, Period.MONTH


async def running(store, *, agent_limit=Limit(), tasks=2, **limits):  # noqa: B008
    def step(tx):
        tx.set_agents("shop", agents_of(tasks))
        new = swarm_of(*(planned(f"t{n}") for n in range(tasks)), **limits)
        tx.insert_swarm(replace(new, agent_limit=agent_limit))
        return [session.id for session, _work in claim(tx, worker(tx), tasks)]

    return await store.transact(step)


def bound(store, zone="UTC", **limits):
    return store.transact(
        lambda tx: tx.set_windows("shop", zone, {Period(name): each for name, each in limits.items()})
    )


def reserve(store, name, session_id, *amount):
    return store.transact(lambda tx: tx.reserve(ReservationId(name), session_id, "m", Amount(*amount), sent=True))


def settle(store, name, *amount):
    return store.transact(lambda tx: tx.settle(ReservationId(name), Amount(*amount)))


def windows(store):
    return store.read(lambda reader: {each.period: each for each in reader.windows("shop")})


async def test_a_day_takes_no_more_than_its_limit_and_the_next_one_begins_anew(store, clock):
    one, two = await running(store)
    await bound(store, day=Limit(1_000))
    await reserve(store, "r1", one, 700)
    with pytest.raises(BudgetExceededError, match="the budget of day shop/2026-01-01 is full") as caught:
        await reserve(store, "r2", two, 301)
    assert "day_usd" in caught.value.mend
    await reserve(store, "r2", two, 300)
    clock.advance(24 * 3600)
    await reserve(store, "r3", one, 1_000)
    [day] = (await windows(store)).values()
    assert (day.key, day.held, day.spent) == ("2026-01-02", Amount(1_000), Amount())


async def test_what_was_reserved_in_a_day_is_settled_in_that_day(store, clock):
    one, _ = await running(store)
    await bound(store, day=Limit(1_000), month=Limit(5_000))
    await reserve(store, "r1", one, 700, 5)
    clock.advance(24 * 3600)
    await reserve(store, "r2", one, 100, 5)
    await settle(store, "r1", 650, 4)
    first = await store.read(lambda r: r.totals(r.account_of(AccountKind.DAY, "shop/2026-01-01").id))
    assert (first.spent, first.held, first.calls) == (Amount(650, 4), Amount(), 1)
    found = await windows(store)
    assert (found[DAY].spent, found[DAY].held) == (Amount(), Amount(100, 5))
    assert (found[MONTH].key, found[MONTH].spent, found[MONTH].held) == ("2026-01", Amount(650, 4), Amount(100, 5))


async def test_a_clock_that_goes_back_opens_no_day_anew(store, clock):
    one, _ = await running(store)
    await bound(store, day=Limit(1_000))
    await reserve(store, "r1", one, 1_000)
    clock.advance(24 * 3600)
    await reserve(store, "r2", one, 900)
    clock.advance(-24 * 3600)
    await settle(store, "r1", 10)  # which leaves room in the first day
    with pytest.raises(BudgetExceededError, match="day shop/2026-01-02"):
        await reserve(store, "r3", one, 101)
    assert (await windows(store))[DAY].key == "2026-01-02"


async def test_a_day_is_one_of_the_zone(store, clock):
    clock.advance((datetime(2026, 3, 28, 23, 30, tzinfo=UTC) - clock.now()).total_seconds())
    await running(store)
    await bound(store, zone="Europe/Berlin", day=Limit(1_000))
    [day] = (await windows(store)).values()
    assert (day.key, day.starts_at) == ("2026-03-29", datetime(2026, 3, 28, 23, tzinfo=UTC))
    assert day.ends_at - day.starts_at == timedelta(hours=23)  # the clocks go forward


async def test_calls_made_before_a_day_had_a_limit_count_in_it(store, clock):
    one, two = await running(store)
    await reserve(store, "yesterday", one, 5_000)
    await settle(store, "yesterday", 5_000)
    clock.advance(24 * 3600)
    await reserve(store, "r1", one, 500)
    await settle(store, "r1", 400)
    await reserve(store, "r2", one, 300)
    await bound(store, day=Limit(1_000))
    with pytest.raises(BudgetExceededError):
        await reserve(store, "r3", two, 301)
    await reserve(store, "r3", two, 300)
    await settle(store, "r2", 0)
    day = (await windows(store))[DAY]
    assert (day.spent, day.held, day.calls) == (Amount(400), Amount(300), 1)


async def test_a_limit_below_what_is_used_lets_nothing_through_until_it_is_raised(store):
    one, two = await running(store)
    await bound(store, day=Limit(1_000))
    await reserve(store, "r1", one, 800)
    await bound(store, day=Limit(500))
    await settle(store, "r1", 450)
    with pytest.raises(BudgetExceededError, match=r"limit \$0\.0000005"):
        await reserve(store, "r2", two, 51)
    await reserve(store, "r2", two, 50)
    await bound(store, day=Limit(2_000))
    await reserve(store, "r3", two, 1_500)
    await bound(store)
    await reserve(store, "r4", two, 10**9)
    assert await windows(store) == {}


async def test_requests_are_a_limit_and_one_that_cost_nothing_is_none(store):
    one, two = await running(store, limit=Limit(calls=3))
    await reserve(store, "r1", one, 5, 5)
    await settle(store, "r1", 0)
    for name in ("r2", "r3", "r4"):
        await reserve(store, name, two, 5, 5)
    with pytest.raises(BudgetExceededError, match="asked 1 call, limit 3 calls, spent 0 calls, held 3 calls"):
        await reserve(store, "r5", one, 5, 5)


async def test_an_agent_has_a_limit_over_all_its_sessions_of_a_swarm(store):
    one, two = await running(store, agent_limit=Limit(1_000))
    agent = (await store.read(lambda r: r.session(one))).agent_id
    await reserve(store, "r1", one, 900)
    with pytest.raises(BudgetExceededError, match=f"agent {SWARM}/{agent}"):
        await reserve(store, "r2", one, 101)
    await reserve(store, "r2", two, 1_000)
    await settle(store, "r1", 100)
    totals = await store.read(lambda r: r.totals(r.account_of(AccountKind.AGENT, f"{SWARM}/{agent}").id))
    assert (totals.limit, totals.spent, totals.held) == (Limit(1_000), Amount(100), Amount())
    drawn = await store.read(lambda r: r.totals_of_session(one))
    kinds = [await store.read(lambda r, a=account_id: r.account(a).kind) for account_id, _ in drawn]
    assert kinds == ["session", "task", "swarm", "project", "agent"]


async def test_more_than_was_reserved_freezes_the_day_it_was_reserved_in(store, clock):
    one, two = await running(store)
    await bound(store, day=Limit(1_000))
    await reserve(store, "r1", one, 900)
    await settle(store, "r1", 1_500)
    day = await store.read(lambda r: r.account_of(AccountKind.DAY, "shop/2026-01-01"))
    assert (day.state, day.spent) == (AccountState.FROZEN, Amount(1_500))
    with pytest.raises(ConflictError, match="day shop/2026-01-01 is frozen"):
        await reserve(store, "r2", two, 1)
    clock.advance(24 * 3600)
    await reserve(store, "r3", two, 1_000)


async def test_the_database_itself_refuses_a_day_above_its_limit(store):
    one, _ = await running(store)
    await bound(store, day=Limit(1_000))
    await reserve(store, "r1", one, 900)

    def overbook(tx):
        tx.db.change("UPDATE account SET held_nano_usd = 1001 WHERE kind = 'day'")

    with pytest.raises(Exception, match="ck_account_within_nano_usd"):
        await store.transact(overbook)


async def test_what_bounds_a_session_is_known_before_anything_is_used_of_it(store):
    one, _ = await running(store, agent_limit=Limit(tokens=7))
    await bound(store, day=Limit(1_000), month=Limit(calls=5))
    drawn = await store.read(lambda r: r.totals_of_session(one))
    unused = [totals.limit for account_id, totals in drawn if account_id is None]
    assert unused == [Limit(1_000), Limit(calls=5), Limit(tokens=7)]
