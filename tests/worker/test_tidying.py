"""Working copies of ended sessions: kept until their task is over, given up by name or when there are too many."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swarmworks.git.clones import SharedClones
from swarmworks.git.hub import BareHub
from swarmworks.service.ended_tasks import over
from swarmworks.wire.api import TaskName
from swarmworks.worker.tidying import Tidying
from tests.scenario.harness import PlayedWorker, create, plan, repository, start_plane, task


@pytest.fixture
def hub(tmp_path):
    return BareHub.open_or_create(tmp_path / "kept" / "hub.git")


@pytest.fixture
def copies(hub, tmp_path):
    return SharedClones(hub.path, tmp_path / "kept" / "copies", None)


@pytest.fixture
def base(hub, tmp_path):
    commit = repository(tmp_path / "repo", {"a.txt": "one\n"})
    hub.import_commit(tmp_path / "repo", commit)
    return commit


class Asked:
    def __init__(self, *done: str) -> None:
        self.done = {TaskName("swm_1", name) for name in done}

    async def tasks_over(self, tasks):
        return frozenset(self.done.intersection(tasks))


def tidying(copies, client, most=100):
    return Tidying(SimpleNamespace(copies=copies, client=client, most_copies=most, unsaved=[]))


def ended(copies, base, name, ref=None):
    copy = copies.create(name, base, f"refs/swarm/work/swm_1/{name}/1" if ref is None else ref)
    copies.retire(copy)
    return copy


async def test_a_copy_stays_until_its_task_is_over(copies, base):
    landed, under_way = ended(copies, base, "landed"), ended(copies, base, "under-way")
    at_work = copies.create("at-work", base, "refs/swarm/work/swm_1/landed/2")
    await tidying(copies, Asked()).once()
    assert copies.retired() == [landed, under_way]
    await tidying(copies, Asked("landed")).once()
    assert copies.retired() == [under_way]
    assert not landed.path.exists()
    assert copies.existing() == [at_work]


async def test_what_could_not_be_saved_when_its_session_ended_is_tried_until_it_is(copies, base):
    answers, tried = {"full": [False, True], "well": [True]}, []

    def saving(name):
        async def again():
            tried.append(name)
            return answers[name].pop(0)

        return again

    mine = tidying(copies, Asked())
    mine._context.unsaved += [saving("full"), saving("well")]
    for _ in range(3):
        await mine.once()
    assert tried == ["full", "well", "full"]


async def test_of_too_many_the_oldest_go(copies, base):
    made = [ended(copies, base, f"t{number}") for number in range(4)]
    await tidying(copies, Asked(), most=2).once()
    assert copies.retired() == made[2:]


async def test_a_copy_of_no_task_counts_as_one_too_many_only(copies, base):
    strange = ended(copies, base, "strange", ref="")
    await tidying(copies, Asked()).once()
    assert copies.retired() == [strange]


async def test_which_tasks_are_over(tmp_path):
    plane = await start_plane(tmp_path)
    try:
        first = repository(tmp_path / "project", {"README.md": "x\n"})
        swarm = await create(plane, tmp_path / "project", first, plan(task("a"), task("b", after=("a",))))
        names = [TaskName(swarm, "a"), TaskName(swarm, "b"), TaskName(swarm, "unknown"), TaskName("swm_none", "a")]
        unknown = names[2:]
        assert await plane.read(lambda reader: over(reader, names)) == unknown
        worker = await PlayedWorker.register(plane, tmp_path)
        await worker.run_to_the_end(swarm)
        assert await plane.read(lambda reader: over(reader, names)) == names
    finally:
        await plane.store.close()
