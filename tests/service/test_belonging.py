"""A database goes with one hub: the control plane of another folder is refused before it does anything."""

import asyncio

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import RandomIds
from swarmworks.git.hub import BareHub
from swarmworks.git.identity import FILE_NAME, hub_id
from swarmworks.service.belonging import KEY, begin_in, look_in
from swarmworks.settings import load_project
from swarmworks.wiring import plane
from tests import stores
from tests.postgres import needs_postgres
from tests.scenario.harness import repository


@pytest.fixture(params=[False, pytest.param(True, marks=needs_postgres)], ids=["file", "server"])
async def store(request, tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "ON_POSTGRES", request.param)
    opened = await stores.open_test_store(tmp_path / "state.db", SystemClock(), RandomIds())
    yield opened
    await opened.close()


def test_a_hub_has_one_id_for_ever(tmp_path):
    paths = [BareHub.open_or_create(tmp_path / name).path for name in ("a.git", "b.git")]
    ids = [hub_id(path) for path in paths]
    assert ids[0] != ids[1]
    assert [hub_id(path) for path in paths] == ids
    assert [path.name for path in paths[0].glob(f"*{FILE_NAME}*")] == [FILE_NAME]


async def test_the_first_hub_has_the_database_and_every_other_is_refused(store):
    await begin_in(store, "one", "/a/hub.git", alone=False)
    await begin_in(store, "one", "/a/hub.git", alone=False)
    for enter in (begin_in, look_in):
        with pytest.raises(ConflictError, match="belongs to another project's repository") as refused:
            await enter(store, "two", "/b/hub.git", alone=False)
        assert refused.value.where == "/b/hub.git"
    assert await store.read(lambda reader: reader.blob(KEY)) == b"one"


async def test_of_two_that_begin_at_once_one_is_refused(store):
    entering = (begin_in(store, name, name, alone=False) for name in ("one", "two"))
    found = await asyncio.gather(*entering, return_exceptions=True)
    assert sorted(type(one).__name__ for one in found) == ["ConflictError", "NoneType"]


async def test_who_only_looks_does_not_take_a_database(store):
    await look_in(store, "one", "/a/hub.git", alone=False)
    await begin_in(store, "two", "/b/hub.git", alone=False)


async def test_a_state_that_was_moved_without_its_hub_is_refused_before_it_is_a_replica(tmp_path, monkeypatch):
    monkeypatch.setattr(plane, "_check_sandbox", lambda _project: None)
    repository(tmp_path, {"swarm.toml": 'gates = "none"\n[project]\nname = "shop"\n[models]\ndefault = "rehearsal"\n'})
    project = load_project(tmp_path)
    project.state.mkdir()
    opened = await stores.open_store(project.state / "state.db", SystemClock(), RandomIds())
    await begin_in(opened, "another", "elsewhere", alone=True)
    await opened.close()
    monkeypatch.setattr(plane, "start_replica", None)
    with pytest.raises(ConflictError, match="belongs to another") as refused:
        async with plane.running(project, work=True):
            pass
    assert "bring back the hub.git" in refused.value.mend
