"""A landing that two control planes decide, or that one decides late: on the branch once, or not at all."""

import asyncio

import pytest

from swarmworks.base.errors import GitError
from swarmworks.base.ids import RandomIds
from swarmworks.domain.lease import WorkKind
from swarmworks.service.merging import Merging
from tests.scenario.harness import PlayedWorker, create, git, plan, repository, start_plane, task


class PausedError(Exception):
    """The process stood still from here on."""


@pytest.fixture
async def plane(tmp_path):
    made = await start_plane(tmp_path / "state")
    yield made
    await made.store.close()


async def to_the_intent(plane, tmp_path):
    """A landing whose intent is on record, and whose process stands still before it moved the branch."""
    base = repository(tmp_path / "repo", {"readme": "hello\n"})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (work,) = await worker.take(WorkKind.SESSION)
    await worker.session(work, {"a.txt": "x\n"})
    (gates,) = await worker.take(WorkKind.GATES)
    await worker.gates(gates)
    await plane.settle()
    (build,) = await worker.take(WorkKind.BUILD)
    kept = plane.merging._move
    seen = []

    async def pause(intent):
        seen.append(intent)
        raise PausedError

    plane.merging._move = pause
    with pytest.raises(PausedError):
        await worker.finish_build(build, worker.build(build))
    plane.merging._move = kept
    return swarm, base, seen[0]


def another(plane):
    return Merging(plane.store, plane.hub, RandomIds(), plane.merging._clock)


async def landed_events(plane, swarm):
    return [e.kind for e in await plane.read(lambda r: r.events(swarm)) if e.kind.startswith("change.landed")]


async def test_another_control_plane_finishes_it_and_the_late_one_is_content(plane, tmp_path):
    swarm, base, intent = await to_the_intent(plane, tmp_path)
    await another(plane).recover()
    assert await plane.states(swarm) == {"a": "landed"}
    await plane.merging._move(intent)
    assert await plane.head(swarm) == intent.new
    assert len(plane.hub.log(base, await plane.head(swarm))) == 1
    assert await landed_events(plane, swarm) == ["change.landed"]


async def test_two_that_decide_at_once_land_it_once(plane, tmp_path):
    swarm, _base, intent = await to_the_intent(plane, tmp_path)
    await asyncio.gather(another(plane).recover(), plane.merging._move(intent), another(plane).recover())
    assert (await plane.states(swarm), await plane.head(swarm)) == ({"a": "landed"}, intent.new)
    assert await landed_events(plane, swarm) == ["change.landed"]


async def test_what_was_voided_is_not_landed_by_a_late_move(plane, tmp_path):
    swarm, base, intent = await to_the_intent(plane, tmp_path)
    elsewhere = git(plane.hub.path, "commit-tree", f"{base}^{{tree}}", "-p", base, "-m", "somebody else's")
    assert plane.hub.update_ref(intent.ref, elsewhere, base)
    await another(plane).recover()
    assert await plane.read(lambda r: r.open_intents()) == []
    await plane.merging._move(intent)
    assert await plane.head(swarm) == elsewhere
    assert await landed_events(plane, swarm) == []


async def test_a_branch_that_could_not_be_moved_voids_nothing(plane, tmp_path):
    """Or somebody's late move would land what was voided."""
    swarm, _base, intent = await to_the_intent(plane, tmp_path)
    late = another(plane)

    class Stuck:
        def update_ref(self, *_arguments):
            raise GitError("cannot lock ref")

        def __getattr__(self, name):
            return getattr(plane.hub, name)

    late._hub = Stuck()
    with pytest.raises(GitError):
        await late.recover()
    assert [one.id for one in await plane.read(lambda r: r.open_intents())] == [intent.id]
    await plane.merging._move(intent)
    assert await plane.states(swarm) == {"a": "landed"}
