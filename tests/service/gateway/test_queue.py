"""Waiting for money: sessions take turns, nobody waits longer than a minute, nothing is passed over. In virtual time."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmworks.base.ids import AccountId, SessionId
from swarmworks.service.gateway.queue import BusyError, FairQueue
from swarmworks.service.gateway.wire import ClientGoneError
from tests.virtual_time import LoopClock, run

ACCOUNT = AccountId("swarm")
WAIT_S, POLL_S = 60.0, 1.0


class Purse:
    """Money for calls, each of which holds some for a while. `admitted`: who got it, in order."""

    def __init__(self, room, *queues):
        self.room, self.queues, self.admitted = room, queues or (queue(),), []

    async def attempt(self, session, need):
        if need > self.room:
            raise BusyError("full", account_id=ACCOUNT)
        self.room -= need
        self.admitted.append((session, asyncio.get_running_loop().time()))

    async def call(self, session, need, takes_s, *, left=lambda: False, at=0):
        """The seconds it waited, None when it was refused."""
        loop, line = asyncio.get_running_loop(), self.queues[at]
        began = loop.time()
        try:
            await line.admit(SessionId(session), [ACCOUNT], lambda: self.attempt(session, need), left=left)
        except BusyError:
            assert loop.time() - began <= WAIT_S + POLL_S
            return None
        waited = loop.time() - began
        await asyncio.sleep(takes_s)
        self.room += need
        line.money_came_free()
        return waited


def queue(**more):
    return FairQueue(
        LoopClock(), **{"wait_s": WAIT_S, "poll_s": POLL_S, "length": 1_000, "session_length": 100, **more}
    )


async def gathered(*calls):
    return await asyncio.gather(*calls)


def test_a_session_with_many_calls_does_not_starve_one_with_few():
    purse = Purse(1)
    greedy = [purse.call("greedy", 1, 5) for _ in range(50)]
    run(gathered(*greedy, purse.call("modest", 1, 5), purse.call("modest", 1, 5)))
    assert [session for session, _at in purse.admitted][:5] == ["greedy", "greedy", "modest", "greedy", "modest"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=6), st.floats(0.5, 4))
def test_while_they_wait_no_session_gets_two_turns_more_than_another(numbers, takes_s):
    purse = Purse(1)
    run(gathered(*(purse.call(f"s{one}", 1, takes_s) for one, calls in enumerate(numbers) for _ in range(calls))))
    order = [session for session, _at in purse.admitted][1:]  # the first found no line
    left = {f"s{one}": calls for one, calls in enumerate(numbers)}
    left["s0"] -= 1
    since = dict.fromkeys(left, 0)
    for session in order:
        others = [name for name, calls in left.items() if calls and name != session]
        assert all(since[session] <= since[name] for name in others)
        left[session] -= 1
        since[session] += 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 10), st.floats(0.1, 100)), min_size=1, max_size=25),
    st.integers(1, 12),
    st.integers(1, 3),
)
def test_nobody_waits_longer_than_a_minute_and_all_money_comes_back(calls, room, replicas):
    """With several replicas on one budget, too."""
    purse = Purse(room, *(queue() for _ in range(replicas)))
    made = [purse.call(f"s{who}", need, takes_s, at=n % replicas) for n, (who, need, takes_s) in enumerate(calls)]
    waited = run(gathered(*made))
    assert all(each is None or each <= WAIT_S + POLL_S for each in waited)
    assert (purse.room, [each.waiting for each in purse.queues]) == (room, [0] * replicas)


def test_a_large_call_is_not_passed_over_by_small_ones():
    purse = Purse(10)

    async def small(number):
        await asyncio.sleep(number * 0.5)
        return await purse.call(f"small{number}", 3, 2)

    async def main():
        first = asyncio.gather(*(small(n) for n in range(60)))
        await asyncio.sleep(0.6)
        waited = await purse.call("large", 10, 1)
        await first
        return waited

    assert run(main()) <= 2


def test_a_line_has_an_end_for_all_and_for_each_session():
    purse = Purse(0, queue(length=5, session_length=3))

    async def main():
        made = [asyncio.create_task(purse.call(who, 1, 1)) for who in ["a"] * 5 + ["b"] * 5]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        standing = purse.queues[0].waiting
        assert await asyncio.gather(*made) == [None] * 10
        return standing

    assert run(main()) == 5


def test_who_has_left_is_not_served():
    purse = Purse(0)

    async def main():
        with pytest.raises(ClientGoneError):
            await purse.call("a", 1, 1, left=lambda: True)

    run(main())
