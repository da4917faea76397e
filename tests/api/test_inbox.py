"""The inbox over the API, with the services and the client that are used."""

from __future__ import annotations

from types import SimpleNamespace
from urllib.parse import quote

import httpx
import pytest

from swarmworks.api.app import build_app
from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import ConflictError, ForbiddenError, NotFoundError
from swarmworks.base.ids import RandomIds
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.service.inbox.detail import InboxView
from swarmworks.wire.inbox import Approve, Reject, RetryTask
from tests.scenario.harness import configuration, create, plan, repository, start_plane, task

GATE = {"name": "plan", "question": "Is it right?", "on": "plan", "deciders": ("Ana Müller",)}


@pytest.fixture
async def plane(tmp_path):
    made = await start_plane(tmp_path)
    yield made
    await made.store.close()


@pytest.fixture
async def clients(plane):
    services = SimpleNamespace(
        inbox=InboxView(plane.store, plane.hub, SystemClock()),
        deciding=Deciding(plane.store, plane.hub, RandomIds(), SystemClock(), working=False),
        operator_token="operator",
        worker_token="worker",
    )
    transport = httpx.ASGITransport(app=build_app(services))  # type: ignore[arg-type]
    made = []

    def client(person="", token="operator"):
        one = ControlPlaneClient("http://plane", token, person)
        headers = {"authorization": f"Bearer {token}", "swarm-person": quote(person)}
        one._http = httpx.AsyncClient(transport=transport, base_url="http://plane", headers=headers)
        made.append(one)
        return one

    yield client
    for one in made:
        await one._http.aclose()


async def test_what_waits_is_listed_and_decided_by_the_person_who_is_named(plane, clients, tmp_path):
    base = repository(tmp_path / "repo", {"README.md": "x\n"})
    config = configuration(review={"gates": [GATE]})
    swarm_id = await create(plane, tmp_path / "repo", base, plan(task("a")), config=config)
    ana, bob = clients("Ana Müller"), clients("Bob")
    (item,) = (await ana.inbox.items(swarm_id)).items
    assert (item.kind, item.gate, item.deciders) == ("review", "plan", ("Ana Müller",))
    assert (await ana.inbox.detail(item.short)).plan == ("a  Do a  (implement_feature, api)",)
    with pytest.raises(ForbiddenError, match="Bob may not decide"):
        await bob.inbox.approve(item.id, Approve())
    said = await ana.inbox.approve(item.id, Approve(reason="yes"))
    assert said.said == "the plan is approved at the gate plan"
    assert not said.goes_on
    with pytest.raises(ConflictError, match="approved by Ana Müller at"):
        await ana.inbox.reject(item.id, Reject(reason="no"))
    assert (await ana.inbox.items()).items == ()


async def test_what_is_not_there_and_who_is_no_operator_are_refused(clients):
    with pytest.raises(NotFoundError, match="there is no task 'a/b:c'"):
        await clients("Ana").inbox.retry("a/b:c", RetryTask())
    with pytest.raises(ForbiddenError):
        await clients("Ana", token="worker").inbox.items()
