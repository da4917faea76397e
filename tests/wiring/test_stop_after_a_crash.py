"""`swarm stop` where no control plane works any more: what a crash left open is ended, and another swarm can begin."""

from __future__ import annotations

import pytest

from swarmworks.domain.lease import WorkKind
from swarmworks.domain.session import SessionState
from swarmworks.domain.swarm import StopReason
from swarmworks.settings import load_project
from swarmworks.wire.api import StopSwarm
from swarmworks.wiring import plane as wiring
from tests import stores
from tests.postgres import needs_postgres
from tests.scenario.harness import PlayedWorker, create, git, plan, repository, start_plane, task

CONFIG = 'gates = "none"\n[project]\nname = "testing"\n[models]\ndefault = "rehearsal"\n'
TTL_S = 0.6


@pytest.fixture(params=["file", pytest.param("postgres", marks=needs_postgres)])
def project(request, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "ON_POSTGRES", request.param == "postgres")
    repository(tmp_path, {"swarm.toml": CONFIG})
    found = load_project(tmp_path)
    found.state.mkdir()
    for name, value in stores.store_environment(found.state / "state.db").items():
        monkeypatch.setenv(name, value)
    return found


async def crashed(project, move=None):
    """A swarm with a session under way, and nobody there any more. Its id."""
    plane = await start_plane(project.state, ttl_s=TTL_S)
    swarm = await create(plane, project.root, git(project.root, "rev-parse", "HEAD"), plan(task("a")))
    worker = await PlayedWorker.register(plane, project.state)
    assert await worker.take(WorkKind.SESSION)
    if move is not None:
        await move(plane, swarm)
    await plane.store.close()
    return swarm


async def stopping(plane, swarm):
    await plane.swarms.stop(swarm, StopReason.PERSON, "person:tester")


async def paused(plane, swarm):
    await plane.swarms.pause(swarm, "person:tester")


@pytest.mark.parametrize("move", [None, paused, stopping])
async def test_what_a_crash_left_open_is_stopped_and_another_swarm_can_begin(project, monkeypatch, move):
    monkeypatch.setattr(wiring, "SERVER_TTL_S", TTL_S)
    swarm = await crashed(project, move)
    async with wiring.running(project, work=False) as live:
        ended = await live.client.stop(swarm, StopSwarm())
        assert (ended.state, ended.reason, ended.tasks["ready"]) == ("stopped", "person", 1)
        said = [event.kind for event in (await live.client.events(swarm, limit=100)).events]
        assert said[-3:] == ["session.ended", "task.returned", "swarm.stopped"]
        assert said.count("swarm.stopping") == 1
    plane = await start_plane(project.state)
    assert await plane.read(lambda reader: reader.workers()) == []
    sessions = await plane.read(lambda reader: reader.sessions(swarm))
    assert [one.state for one in sessions] == [SessionState.ENDED]
    assert await create(plane, project.root, git(project.root, "rev-parse", "HEAD"), plan(task("b")))
    await plane.store.close()
