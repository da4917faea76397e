import pytest

from tests.scenario.harness import start_plane


@pytest.fixture
async def plane(tmp_path):
    """The services of a control plane on a store and a hub of their own, without a server."""
    made = await start_plane(tmp_path)
    yield made
    await made.store.close()
