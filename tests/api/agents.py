"""One swarm with running sessions, and MCP clients that hold their tokens."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.service.conversing import Conversing
from swarmworks.service.inbox.deciding import Deciding
from swarmworks.service.waking import Waking
from swarmworks.wire.inbox import AnswerQuestion
from swarmworks.wire.work import SessionResult
from swarmworks.wiring.agents_tools import agents_tools
from tests.scenario.harness import PlayedWorker, configuration, create, plan, repository, start_plane, task

JSON = {"content-type": "application/json", "accept": "application/json, text/event-stream"}


class Site:
    """One of the swarm's sessions, as its agent's MCP client sees the platform."""

    def __init__(self, plane, swarm_id, worker, work, client, waking, handed_in):
        self.handed_in = handed_in
        self.plane = plane
        self.waking = waking
        self.swarm_id = swarm_id
        self.worker = worker
        self.work = work
        self.client = client

    async def send(self, body, **headers):
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        auth = {"authorization": f"Bearer {self.work.token}"}
        return await self.client.post("/mcp", content=raw, headers={**JSON, **auth, **headers})

    async def rpc(self, method, **params):
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
        answer = (await self.send(body)).json()
        assert answer["id"] == 7
        return answer

    async def tool(self, name, **arguments):
        result = (await self.rpc("tools/call", name=name, arguments=arguments))["result"]
        (part,) = result["content"]
        return part["text"], result["isError"]

    async def end(self, outcome, handoff=None, files=None):
        head = await asyncio.to_thread(self.worker.commit, self.work, files or {"t0.txt": "begun"})
        result = SessionResult(outcome=outcome, base=self.work.base, head=head, handoff=handoff and json.dumps(handoff))
        await self.plane.finishing.finish(self.worker.lease, self.work.work_id, self.work.fence, result)

    async def events(self, kind):
        return [row for row in (await self.plane.status.events(self.swarm_id, 0, 1000))[0] if row.kind == kind]

    async def questions(self):
        return await self.plane.read(lambda reader: reader.questions(self.swarm_id))

    async def task(self):
        return (await self.plane.read(lambda reader: reader.tasks(self.swarm_id)))[0]

    async def answer(self, text):
        """A person's, to the question that is open."""
        deciding = Deciding(self.plane.store, self.plane.hub, RandomIds(), SystemClock(), working=True)
        (question,) = [one for one in await self.questions() if str(one.state) == "open"]
        return await deciding.answer(question.id, AnswerQuestion(text=text), "person:Ada")

    async def asked(self):
        """When a question is on record."""
        while not (found := await self.questions()):
            ticket = self.waking.ticket()
            if not await self.questions():
                await ticket
        return found


@asynccontextmanager
async def sites(tmp_path, *tasks, deaf=(), **config):
    """One for each task, in the order of the plan. `deaf`: the programs that hear nothing."""
    plane = await start_plane(tmp_path / "plane")
    base = repository(tmp_path / "repository", {"README.md": "hello\n"})
    swarm_id = await create(
        plane, tmp_path / "repository", base, plan(*(tasks or (task("t0"),))), config=configuration(**config)
    )
    worker = await PlayedWorker.register(plane, tmp_path)
    works = sorted(await worker.take(), key=lambda work: work.task.id)
    waking = Waking(plane.store, SystemClock())
    watching = asyncio.create_task(waking.run())
    handed_in = []
    services = SimpleNamespace(
        store=plane.store,
        ids=RandomIds(),
        conversing=Conversing(plane.store, RandomIds(), SystemClock(), deaf),
        waking=waking,
    )
    server = agents_tools(services, handed_in.append)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://mcp") as client:
        found = [Site(plane, swarm_id, worker, work, client, waking, handed_in) for work in works]
        for one in found:
            one.server = server
        yield found
    watching.cancel()
    await plane.store.close()
