"""Every store that claims the protocol is made here; a second one is added to `params`."""

import contextlib

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.ids import SequentialIds
from swarmworks.store.sqlite import open_store


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=["sqlite"])
def store_factory(request, tmp_path, clock):
    """Call it to open the same store again: what was committed is there."""
    ids = SequentialIds()

    async def open_again():
        return await open_store(tmp_path / "state" / "swarm.db", clock, ids)

    return open_again


@pytest.fixture
async def store(store_factory):
    opened = await store_factory()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(opened.close)
        yield opened
