"""What workers are answered: those that are older than the control plane, too."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest

from swarmworks.api.app import build_app
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.lease import WorkKind
from swarmworks.service.conversing import Conversing
from swarmworks.wire.api import RenewWorker
from tests.scenario.harness import PlayedWorker, create, plan, repository, start_plane, task

OLDER = {"lost", "stop", "limited", "say", "tell", "hand_over", "planes"}
"""What a worker knew of the answer before it confirmed what it was told."""


@pytest.fixture
async def said(tmp_path):
    """A worker whose session is told something, and a client for it."""
    plane = await start_plane(tmp_path)
    base = repository(tmp_path / "repo", {"README.md": "hello\n"})
    swarm = await create(plane, tmp_path / "repo", base, plan(task("a")))
    worker = await PlayedWorker.register(plane, tmp_path)
    (session,) = await worker.take(WorkKind.SESSION)
    await Conversing(plane.store, RandomIds(), SystemClock()).say(swarm, "a", "mind the sum", "person:Ana")
    services = SimpleNamespace(
        watching=plane.watching,
        finishing=plane.finishing,
        replicas=SimpleNamespace(living=lambda: ()),
        operator_token="operator",
        worker_token="worker",
    )
    transport = httpx.ASGITransport(app=build_app(services))  # type: ignore[arg-type]
    headers = {"authorization": "Bearer worker"}
    async with httpx.AsyncClient(transport=transport, base_url="http://plane", headers=headers) as http:
        client = ControlPlaneClient("http://plane", "worker")
        client._http = http
        request = RenewWorker(fence=worker.lease.fence, holding=(session.work_id,))
        yield SimpleNamespace(http=http, client=client, worker=worker, session=session, request=request)
    await plane.store.close()


async def test_an_older_worker_is_told_once_and_nothing_that_it_does_not_know(said):
    path, body = f"/api/v1/workers/{said.worker.lease.worker_id}/renew", said.request.model_dump(mode="json")
    first = (await said.http.post(path, json=body)).json()
    assert first["say"] == {said.session.work_id: ["mind the sum"]}
    assert set(first) <= OLDER
    assert "say" not in (await said.http.post(path, json=body)).json()


async def test_one_that_confirms_is_told_until_it_has(said):
    async def renewed(heard=()):
        return await said.client.renew_worker(said.worker.lease.worker_id, said.request, heard=heard, timeout_s=5)

    first, again = await renewed(), await renewed()
    assert first.say == again.say == {said.session.work_id: ("mind the sum",)}
    assert (await renewed(again.words)).say == {}
