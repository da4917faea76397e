"""Every store that claims the protocol is made here; a second one is added to `params`."""

import contextlib

import pytest

from swarmworks.base.clock import ManualClock
from swarmworks.base.ids import SequentialIds
from swarmworks.store.postgres import open_postgres
from swarmworks.store.sqlite import open_store
from tests.pgbouncer import needs_pgbouncer, through_pgbouncer
from tests.postgres import a_store, needs_postgres


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=needs_postgres),
        pytest.param("pgbouncer", marks=needs_pgbouncer),
    ]
)
def store_factory(request, tmp_path, clock):
    """Call it to open the same store again: what was committed is there."""
    ids = SequentialIds()
    if request.param == "sqlite":

        async def open_again():
            return await open_store(tmp_path / "state" / "swarm.db", clock, ids)

        return open_again
    server = a_store()
    address = server if request.param == "postgres" else through_pgbouncer(server)

    async def open_postgres_again():
        archive = tmp_path / "state" / "archive"
        return await open_postgres(address, clock, ids, listen_address=server, archive=archive)

    return open_postgres_again


@pytest.fixture
async def store(store_factory):
    opened = await store_factory()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(opened.close)
        yield opened
