"""People are told by a control plane as it runs: the service, its channels and its clock, put together."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.domain.event import NewEvent
from swarmworks.settings import Project
from swarmworks.wire.config_file import load_config
from swarmworks.wiring.replicas import assemble_replicas, this_replica
from swarmworks.wiring.telling import start_telling
from tests.store import sample
from tests.store.sample import SWARM
from tests.stores import open_test_store

CONFIG = """\
gates = "none"
[project]
name = "shop"
[[notify.channels]]
name = "log"
kind = "command"
severity = "info"
argv = ["sh", "-c", "cat >> FOLDER/notices; echo >> FOLDER/notices"]
"""


@pytest.fixture
async def project(tmp_path):
    config = load_config(CONFIG.replace("FOLDER", str(tmp_path)), name="swarm.toml", environment={})
    return Project(tmp_path, config, tmp_path / ".swarm")


async def opened(stack: AsyncExitStack, project: Project):
    store = await open_test_store(project.state / "state.db", SystemClock(), RandomIds())
    stack.push_async_callback(store.close)
    return store


async def tell(stack: AsyncExitStack, project: Project, store, gave_up=None) -> None:
    me = this_replica("http://127.0.0.1:1", "http://127.0.0.1:2")
    replicas, electing = assemble_replicas(store, SystemClock(), me, alone=True, lost=print)
    await replicas.enter()
    gave_up = gave_up or asyncio.get_running_loop().create_future()
    await start_telling(stack, project, store, gave_up, replicas, electing)


def told(project: Project) -> list[str]:
    path: Path = project.root / "notices"
    return [json.loads(line)["title"] for line in path.read_text().splitlines()] if path.exists() else []


async def heard(store, kind: str) -> None:
    async for _ in store.commits():
        if any(one.kind == kind for one in await store.read(lambda reader: reader.events(SWARM))):
            return


async def say(store, kind: str, **data) -> None:
    await store.transact(lambda tx: tx.append(SWARM, NewEvent(kind, "platform", data)))


async def test_a_commit_is_all_it_takes(project):
    async with AsyncExitStack() as stack:
        store = await opened(stack, project)
        await store.transact(lambda tx: tx.insert_swarm(sample.swarm_of(sample.planned("a"))))
        await tell(stack, project, store)
        hearing = asyncio.create_task(heard(store, "notice.sent"))
        await asyncio.sleep(0)
        await say(store, "budget.warning", percent=91)
        await asyncio.wait_for(hearing, 20)
        assert told(project) == ["Swarm swm_1 has used 91 % of its budget"]


async def test_what_happens_last_is_told_before_the_control_plane_ends(project):
    """As `swarm run` does, which ends with its swarm."""
    async with AsyncExitStack() as stack:
        store = await opened(stack, project)
        await store.transact(lambda tx: tx.insert_swarm(sample.swarm_of(sample.planned("a"))))
        gave_up = asyncio.get_running_loop().create_future()
        await tell(stack, project, store, gave_up)
        await say(store, "swarm.landed")
        gave_up.set_result("the worker died 5 times")
    assert sorted(told(project)) == ["Swarm swm_1 cannot go on on this machine", "Swarm swm_1 has landed"]


async def test_what_a_crash_left_untold_is_told_by_the_next_control_plane(project):
    async with AsyncExitStack() as stack:
        store = await opened(stack, project)
        await store.transact(lambda tx: tx.insert_swarm(sample.swarm_of(sample.planned("a"))))
        await say(store, "swarm.landed")
    async with AsyncExitStack() as stack:
        await tell(stack, project, await opened(stack, project))
    assert told(project) == ["Swarm swm_1 has landed"]
