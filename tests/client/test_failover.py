"""One client, several control planes that share their state: what it does when the one it talks to goes away."""

from __future__ import annotations

import asyncio

import pytest

from swarmworks.base.errors import (
    ConflictError,
    ControlPlaneUnavailableError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from swarmworks.base.ids import SwarmId, WorkerId, WorkId
from swarmworks.client.addresses import Addresses
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import Capacity, WorkKind
from swarmworks.wire.api import LeaseWork, RenewWorker, StopSwarm
from tests.client.fake_plane import FakePlane

ME = WorkerId("wkr_1")
RENEWAL = RenewWorker(fence=1, holding=(WorkId("wrk_1"),))
SWARM = SwarmId("swm_1")


def error(code, what="no"):
    return {"code": code, "what": what, "where": "", "mend": ""}


@pytest.fixture
async def planes():
    async with FakePlane() as one, FakePlane() as two, FakePlane() as three:
        yield [one, two, three]


@pytest.fixture
async def client(planes):
    async with ControlPlaneClient([plane.url for plane in planes], "token") as made:
        yield made


async def test_it_stays_with_one_control_plane_as_long_as_that_answers(planes, client):
    for _ in range(3):
        await client.swarms()
    assert [len(plane.asked) for plane in planes] == [3, 0, 0]
    assert client.url == planes[0].url


async def test_a_control_plane_that_is_gone_is_replaced_within_the_same_request(planes, client):
    await client.swarms()
    await planes[0].end()
    assert await client.swarms() == []
    assert client.url == planes[1].url
    await client.swarms()
    assert [len(plane.asked) for plane in planes] == [1, 2, 0]


async def test_a_wish_that_never_reached_anybody_is_brought_to_another(planes, client):
    await planes[0].end()
    planes[1].answer = lambda *_: (409, error("conflict", "it has ended"))
    with pytest.raises(ConflictError, match="it has ended"):
        await client.stop(SWARM, StopSwarm())
    assert planes[1].paths() == ["/api/v1/swarms/swm_1/stop"]


async def test_a_wish_whose_answer_was_lost_is_not_done_twice_and_says_so(planes, client):
    planes[0].breaking = True
    with pytest.raises(ControlPlaneUnavailableError, match="may have done what was asked") as caught:
        await client.stop(SWARM, StopSwarm())
    assert "swarm status" in caught.value.mend
    assert [len(plane.asked) for plane in planes] == [1, 0, 0]


async def test_a_question_whose_answer_was_lost_is_asked_elsewhere(planes, client):
    planes[0].breaking = True
    assert await client.swarms() == []
    assert [len(plane.asked) for plane in planes] == [1, 1, 0]


async def test_when_nobody_answers_every_address_is_named(planes, client):
    for plane in planes:
        await plane.end()
    with pytest.raises(ControlPlaneUnavailableError) as caught:
        await client.swarms()
    assert all(plane.url in caught.value.where for plane in planes)


async def test_one_that_cannot_reach_its_store_is_left_for_one_that_can(planes, client):
    planes[0].answer = lambda *_: (503, error("store_unavailable"))
    assert await client.swarms() == []
    assert client.url == planes[1].url


async def test_a_wish_that_the_store_could_not_take_is_answered_as_it_is(planes, client):
    planes[0].answer = lambda *_: (503, error("store_unavailable"))
    with pytest.raises(StoreUnavailableError):
        await client.stop(SWARM, StopSwarm())
    assert [len(plane.asked) for plane in planes] == [1, 0, 0]


async def test_a_stranger_at_the_address_of_one_that_ended_is_passed_over(planes, client):
    planes[0].answer = lambda *_: (401, error("unauthenticated"))
    planes[1].answer = lambda *_: (404, b"<html>not here</html>")
    assert await client.swarms() == []
    assert client.url == planes[2].url


async def test_a_token_that_is_valid_nowhere_is_refused_as_such(planes, client):
    for plane in planes:
        plane.answer = lambda *_: (401, error("unauthenticated"))
    with pytest.raises(UnauthenticatedError):
        await client.swarms()


async def test_what_the_control_plane_refuses_is_asked_of_no_other(planes, client):
    planes[0].answer = lambda *_: (409, error("fence_lost"))
    with pytest.raises(ConflictError):
        await client.renew_worker(ME, RENEWAL, timeout_s=5)
    assert [len(plane.asked) for plane in planes] == [1, 0, 0]


async def test_a_renewal_is_answered_in_time_although_a_control_plane_hangs(planes, client):
    planes[0].hanging = planes[1].hanging = True
    planes[2].answer = lambda *_: (200, {"stop": {"wrk_1": "enough"}})
    renewed = await client.renew_worker(ME, RENEWAL, timeout_s=1.5)
    assert renewed.stop == {"wrk_1": "enough"}
    assert client.url == planes[2].url


async def test_a_slow_answer_counts_although_another_was_asked_meanwhile(planes, client):
    async def slow():
        await planes[1].until(lambda plane: len(plane.asked) == 1)
        return 200, {"stop": {"wrk_1": "slow"}}

    planes[0].answer = lambda *_: slow()
    planes[1].hanging = planes[2].hanging = True
    renewed = await client.renew_worker(ME, RENEWAL, timeout_s=2.0)
    assert renewed.stop == {"wrk_1": "slow"}
    assert client.url == planes[0].url


async def test_nobody_waits_for_work_at_a_control_plane_that_was_left(planes, client):
    """A hanging one would keep the question for work for as long as it may take, and the worker would stand idle."""
    planes[0].hanging = True
    planes[1].answer = lambda path, _: (200, {"work": []} if path.endswith("/lease") else {})
    lease = LeaseWork(fence=1, free=Capacity(1, 1, 1), kinds=(WorkKind.SESSION,), wait_s=20)
    asking = asyncio.create_task(client.lease(ME, lease))
    await planes[0].until(lambda plane: len(plane.asked) == 1)
    await client.renew_worker(ME, RENEWAL, timeout_s=0.5)
    assert (await asyncio.wait_for(asking, 5)).work == ()
    await planes[0].until(lambda plane: plane.hung_up == 2)


async def test_one_that_no_longer_names_itself_among_the_living_is_left_before_it_ends(planes, client):
    await client.swarms()
    client.learn([planes[2].url])
    await client.swarms()
    assert [len(plane.asked) for plane in planes] == [1, 0, 1]


async def test_those_that_came_later_are_known_and_those_given_are_kept():
    async with FakePlane() as given, FakePlane() as later, ControlPlaneClient(given.url, "token") as client:
        client.learn([given.url, later.url])
        await given.end()
        await client.swarms()
        assert client.url == later.url
        client.learn([later.url])
        async with given:
            await later.end()
            await client.swarms()
            assert client.url == given.url


async def test_new_addresses_are_looked_for_when_all_that_are_known_are_gone():
    async with FakePlane() as new:
        async with FakePlane() as old:
            client = ControlPlaneClient(old.url, "token", find=lambda: [old.url, new.url])
            await client.swarms()
        async with client:
            await client.swarms()
            assert client.url == new.url


async def test_a_client_that_goes_away_leaves_no_request_behind(planes, client):
    planes[0].hanging = True
    asking = asyncio.create_task(client.swarms())
    await planes[0].until(lambda plane: len(plane.asked) == 1)
    asking.cancel()
    await planes[0].until(lambda plane: plane.hung_up == 1)
    with pytest.raises(asyncio.CancelledError):
        await asking


def test_the_clients_of_one_that_ended_are_spread_over_the_others():
    chosen = set()
    for shuffle in (list.reverse, list.sort):
        addresses = Addresses(["http://a"], shuffle=shuffle)
        addresses.learn(["http://a", "http://b", "http://c"])
        addresses.leave("http://a")
        chosen.add(addresses.current)
    assert chosen == {"http://b", "http://c"}


def test_the_only_one_that_is_known_is_never_left():
    addresses = Addresses(["http://a/"])
    addresses.leave("http://a")
    assert addresses.current == "http://a"
    assert addresses.following(["http://a"]) is None
