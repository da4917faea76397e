"""How long a worker may be silent before it is given up, by where the state lies."""

from __future__ import annotations

import pytest

from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import Capacity
from swarmworks.settings import load_project
from swarmworks.wire.api import RegisterWorker
from swarmworks.wiring import plane as wiring
from tests import stores
from tests.postgres import needs_postgres
from tests.scenario.harness import repository

CONFIG = 'gates = "none"\n[project]\nname = "testing"\n[models]\ndefault = "rehearsal"\n'
TOKEN = "worker-of-the-tests-only"
ROOM = Capacity(agents=1, cpu_slots=1, memory_bytes=1 << 30)


@pytest.mark.parametrize(
    ("on_postgres", "ttl_s"), [(False, 3.0), pytest.param(True, 15.0, marks=needs_postgres)], ids=["file", "postgres"]
)
async def test_where_the_state_lies_on_a_server_a_pause_of_seconds_costs_no_lease(
    tmp_path, monkeypatch, on_postgres, ttl_s
):
    monkeypatch.setattr(stores, "ON_POSTGRES", on_postgres)
    monkeypatch.setenv("SWARM_WORKER_TOKEN", TOKEN)
    monkeypatch.setenv("SWARM_OPERATOR_TOKEN", f"not-the-{TOKEN}")
    repository(tmp_path, {"swarm.toml": CONFIG})
    project = load_project(tmp_path)
    project.state.mkdir()
    for name, value in stores.store_environment(project.state / "state.db").items():
        monkeypatch.setenv(name, value)
    async with wiring.running(project, work=False) as live, ControlPlaneClient(live.url, TOKEN) as client:
        registered = await client.register_worker(RegisterWorker(name="w", capacity=ROOM))
    assert registered.ttl_s == ttl_s
