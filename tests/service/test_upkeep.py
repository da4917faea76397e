"""The hub is tidied up when nothing is under way; what a swarm needs to go on is never given up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from swarmworks.base.clock import ManualClock, SystemClock
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.swarm import StopReason
from swarmworks.git.objects import blob_name
from swarmworks.git.packwriter import PackWriter
from swarmworks.git.upkeep import MARK, count
from swarmworks.policy import upkeep as policy
from swarmworks.policy.upkeep import FULL_EVERY, RETENTION
from swarmworks.service.upkeep import HubUpkeep
from tests.git.conftest import git
from tests.scenario.harness import PlayedWorker, create, plan, repository, start_plane, task


@pytest.fixture
def clock():
    made = ManualClock(SystemClock().now())
    made.advance(FULL_EVERY.total_seconds() + 60)
    return made


@pytest.fixture
async def plane(tmp_path, clock):
    made = await start_plane(tmp_path, clock=clock)
    yield made
    await made.store.close()


@pytest.fixture
async def swarm(plane, tmp_path):
    base = repository(tmp_path / "repo", {"README.md": "x\n"})
    return await create(plane, tmp_path / "repo", base, plan(task("a"), task("b")))


@pytest.fixture
def upkeep(plane, clock, tmp_path):
    return HubUpkeep(plane.store, plane.hub, clock, lambda: [tmp_path / "copies"])


def refs(plane):
    return {ref.split("/")[2] for ref in plane.hub.refs("refs/swarm/")}


async def test_nothing_is_done_while_work_is_under_way(plane, swarm, upkeep, tmp_path):
    worker = await PlayedWorker.register(plane, tmp_path)
    await worker.take(WorkKind.SESSION)
    before = count(plane.hub.path)
    await upkeep.once()
    assert count(plane.hub.path) == before
    assert not (plane.hub.path / MARK).exists()


async def test_too_many_packs_become_one_while_work_is_under_way_and_nothing_is_given_up(
    plane, swarm, upkeep, tmp_path, monkeypatch
):
    monkeypatch.setattr(policy, "MOST_PACKS_AT_ALL_COSTS", 2)
    worker = await PlayedWorker.register(plane, tmp_path)
    await worker.take(WorkKind.SESSION)
    unreferenced = []
    for number in range(3):
        writer = PackWriter()
        content = f"number {number}\n".encode()
        writer.add(blob_name(content), b"blob", content)
        writer.finish(plane.hub.path / "objects" / "pack")
        unreferenced.append(blob_name(content))
    await upkeep.once()
    assert count(plane.hub.path) == (0, 1)
    for name in unreferenced:
        assert git(plane.hub.path, "cat-file", "-t", name) == "blob"
    assert not (plane.hub.path / MARK).exists()


async def test_what_was_handed_in_is_pinned_and_dropped_long_after_its_swarm_landed(
    plane, swarm, upkeep, tmp_path, clock
):
    worker = await PlayedWorker.register(plane, tmp_path)
    await worker.run_to_the_end(swarm)
    assert await plane.state(swarm) == "landed"
    changes = await plane.read(lambda reader: reader.changes(swarm))
    assert [plane.hub.resolve(f"refs/swarm/pin/{one.id}") for one in changes] == [one.head for one in changes]
    await upkeep.once()
    loose, packs = count(plane.hub.path)
    assert (packs, refs(plane) >= {"pin", "candidate"}) == (1, True)
    assert loose == 0
    clock.advance((RETENTION + timedelta(days=1)).total_seconds())
    await upkeep.once()
    assert refs(plane) & {"pin", "candidate"} == set()
    assert plane.hub.list_files(await plane.head(swarm)) == ["README.md", "a.txt", "b.txt"]


async def test_a_swarm_that_may_go_on_keeps_its_references(plane, swarm, upkeep, tmp_path, clock):
    worker = await PlayedWorker.register(plane, tmp_path)
    [first, *_] = await worker.take(WorkKind.SESSION)
    await worker.session(first, {first.task.owns[0]: "x\n"})
    await plane.swarms.stop(swarm, StopReason.PERSON, "person:ana")
    await plane.watching.expire_all()
    await plane.settle()
    clock.advance((RETENTION * 3).total_seconds())
    await upkeep.once()
    assert "pin" in refs(plane)
