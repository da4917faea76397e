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
from swarmworks.policy.planning.effects import MOST_OWNED
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.service.inbox.detail import MOST_TASKS, InboxView, _Span
from swarmworks.wire.inbox import Approve, ChangeSize, InboxDetail, Reject, RetryTask
from tests.scenario.harness import configuration, create, git, plan, repository, start_plane, task

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
    assert (await ana.inbox.detail(item.short)).plan == ("a  Do a  (implement_feature, api) writes a.txt",)
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


async def test_a_plan_of_many_tasks_is_counted_whole_and_says_what_each_writes_and_runs(plane, clients, tmp_path):
    base = repository(tmp_path / "repo", {"README.md": "x\n"})
    run = "ruff format x\nrm -r y"
    first = task("a", kind="command", owns=tuple(f"{number}.py" for number in range(MOST_OWNED + 2)), run=run)
    tasks = [first, *(task(f"t{number}") for number in range(MOST_TASKS))]
    config = configuration(review={"gates": [GATE]})
    swarm_id = await create(plane, tmp_path / "repo", base, plan(*tasks), config=config)
    client = clients("Ana Müller")
    (item,) = (await client.inbox.items(swarm_id)).items
    detail = await client.inbox.detail(item.short)
    assert (len(detail.plan), detail.tasks) == (MOST_TASKS, MOST_TASKS + 1)
    owned = ", ".join(f"{number}.py" for number in range(MOST_OWNED))
    assert detail.plan[0].endswith(f"(command, api) writes {owned} and 2 more; runs: ruff format x ␤ rm -r y")


async def test_a_difference_of_many_files_is_counted_whole(plane, clients, tmp_path, monkeypatch):
    monkeypatch.setattr("swarmworks.service.inbox.detail.MOST_FILES", 2)
    base = repository(tmp_path / "repo", {"README.md": "x\n"})
    swarm_id = await create(
        plane, tmp_path / "repo", base, plan(task("a")), config=configuration(review={"gates": [GATE]})
    )
    client = clients("Ana Müller")
    (item,) = (await client.inbox.items(swarm_id)).items
    for number in range(4):
        (tmp_path / "repo" / f"{number}.py").write_text("1\n2\n")
    (tmp_path / "repo" / "README.md").write_text("y\n")
    git(tmp_path / "repo", "add", "-A")
    git(tmp_path / "repo", "commit", "-qm", "much")
    head = git(tmp_path / "repo", "rev-parse", "HEAD")
    plane.hub.import_commit(tmp_path / "repo", head)
    detail = InboxView(plane.store, plane.hub, SystemClock())._with_diff(InboxDetail(item=item), _Span(base, head))
    assert len(detail.changed) == 2
    assert detail.whole == ChangeSize(files=5, added=9, removed=1)
