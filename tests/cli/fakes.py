"""A launcher and a control plane for tests: the real client talks to a scripted plane, in the process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from swarmworks.base.errors import ConflictError, SwarmworksError, UsageError
from swarmworks.base.findings import Check
from swarmworks.cli.context import LiveControlPlane, OpenProject, ProviderKey, Verified
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.budget import Amount
from swarmworks.domain.gate import GateResult
from swarmworks.domain.isolation import Property
from swarmworks.notify.protocol import Channel
from swarmworks.runtime.protocol import Found
from swarmworks.sandbox.protocol import Probe
from swarmworks.wire.api import EventRow, QueueStatus, SwarmReport, SwarmStatus, SwarmSummary
from swarmworks.wire.config_file import load_config
from swarmworks.wire.why import WhyReport
from tests.cli import sample
from tests.cli.inbox_sample import FakeInbox

CONFIG = """\
[project]
name = "task-management"
[gates.tests]
run = "pytest"
"""
URL = "http://control-plane.test"


@dataclass
class FakePlane:
    """`steps`: the statuses a swarm goes through; each question for news is answered with the next one. When none is
    left the asker waits, until a stop is asked for: then `after_stop` follows.
    """

    steps: list[SwarmStatus]
    events: list[EventRow] = field(default_factory=list)
    swarms: list[SwarmSummary] = field(default_factory=lambda: [sample.summary()])
    after_stop: list[SwarmStatus] = field(default_factory=list)
    report: SwarmReport = field(default_factory=sample.report)
    why: WhyReport = field(default_factory=sample.why)
    queue: QueueStatus = field(default_factory=sample.queue)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    errors: dict[str, SwarmworksError] = field(default_factory=dict)
    on_wait: list[Any] = field(default_factory=list)
    inbox: FakeInbox = field(default_factory=FakeInbox)
    files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._moved = asyncio.Event()
        self.now = self.steps.pop(0)

    def client(self) -> ControlPlaneClient:
        client = ControlPlaneClient(URL, "token")
        client._http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer), base_url=URL)
        return client

    def bodies(self, path_end: str) -> list[Any]:
        return [body for method, path, body in self.requests if method == "POST" and path.endswith(path_end)]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.requests.append((request.method, path, json.loads(request.content) if request.content else None))
        try:
            if "/inbox" in path:
                return await self._inbox(request.method, path, self.requests[-1][2])
            return await self._answer(request.method, path, request.url.params)
        except SwarmworksError as error:
            body = {"code": error.code, "what": error.what, "where": error.where, "mend": error.mend}
            return httpx.Response(error.http_status, json=body)

    async def _answer(self, method: str, path: str, params: httpx.QueryParams) -> httpx.Response:
        last = path.rpartition("/")[2]
        if (last, method) == ("swarms", "GET"):
            return httpx.Response(200, json=[one.model_dump(mode="json") for one in self.swarms])
        if last in self.errors:
            raise self.errors[last]
        if last == "events":
            page = [one.model_dump(mode="json") for one in self.events if one.seq > int(params["after"])]
            return httpx.Response(200, json={"events": page, "state": self.now.state})
        if last == "file":
            return httpx.Response(200, content=self.files[params["path"]])
        if last in {"why", "queue", "report"}:
            return httpx.Response(200, json=getattr(self, last).model_dump(mode="json"))
        if last == "pause":
            self.now = self.now.model_copy(update={"state": "paused"})
        elif last == "stop":
            self._stop()
        elif method == "GET" and int(params["after"]) >= self.now.version:
            await self._next()
        return httpx.Response(200, json=self.now.model_dump(mode="json"))

    async def _inbox(self, method: str, path: str, body: Any) -> httpx.Response:
        if method == "GET" and path.endswith("/inbox"):
            return httpx.Response(200, content=(await self.inbox.items()).model_dump_json())
        name, _, what = path.partition("/inbox/")[2].partition("/")
        if method == "GET":
            return httpx.Response(200, content=(await self.inbox.detail(name)).model_dump_json())
        return httpx.Response(200, content=(await getattr(self.inbox, what)(name, body)).model_dump_json())

    def _stop(self) -> None:
        before = self.now.state
        self.now = self.now.model_copy(update={"state": "stopping", "version": self.now.version + 1})
        self.steps = list(self.after_stop)
        self._moved.set()
        if before in {"stopping", "stopped"}:
            raise ConflictError(f"the swarm is {before}")

    async def _next(self) -> None:
        if not self.steps:
            for call in self.on_wait:
                call()
            self.on_wait = []
            await self._moved.wait()
            return
        version = self.now.version
        self.now = self.steps.pop(0)
        self.now = self.now.model_copy(update={"version": max(version + 1, self.now.version)})


@dataclass
class FakeLauncher:
    """`running`: whether somebody else runs a control plane for the project already."""

    root: Path
    plane: FakePlane | None = None
    running: bool = False
    gives_up: str | None = None
    refuses: SwarmworksError | None = None
    missing: dict[Property, str] = field(default_factory=dict)
    keys: list[ProviderKey] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    telemetry: list[Check] | UsageError = field(default_factory=list)
    config: str = CONFIG
    started: list[dict[str, Any]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    served: list[Any] = field(default_factory=list)
    verified: tuple[GateResult, ...] = ()
    least: Amount = Amount()  # noqa: RUF009
    files: tuple[str, ...] = ("app/main.py", "tests/test_main.py", "pyproject.toml")

    def project(self, path: Path) -> OpenProject:
        del path
        if self.refuses is not None:
            raise self.refuses
        config = load_config(self.config, name="swarm.toml", environment={})
        return OpenProject(root=self.root, name=config.project.name, config=config, state=self.root / ".swarm")

    def base_commit(self, project: OpenProject, *, allow_dirty: bool) -> str:
        if not allow_dirty and (project.root / "dirty").exists():
            raise ConflictError("uncommitted changes in dirty", where=str(project.root), mend="commit them")
        return "0" * 40

    def smallest_call(self, project: OpenProject, model: str) -> Amount:
        del project, model
        return self.least

    def tracked_files(self, project: OpenProject, commit: str) -> tuple[str, ...]:
        del project, commit
        return self.files

    @asynccontextmanager
    async def control_plane(self, project: OpenProject, **asked: Any) -> AsyncIterator[LiveControlPlane]:
        self.started.append(asked)
        self.counts.append(project.config.agents.count)
        async with self._live() as live:
            yield live

    @asynccontextmanager
    async def connect(self, project: OpenProject) -> AsyncIterator[LiveControlPlane | None]:
        del project
        if not self.running:
            yield None
            return
        async with self._live() as live:
            yield live

    @asynccontextmanager
    async def _live(self) -> AsyncIterator[LiveControlPlane]:
        assert self.plane is not None
        gave_up: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self.gives_up is not None:
            gave_up.set_result(self.gives_up)
        async with self.plane.client() as client:
            yield LiveControlPlane(client, URL, gave_up)

    def probe(self, project: OpenProject | None) -> Probe:
        del project
        return Probe("fake", frozenset(Property) - self.missing.keys(), self.missing)

    def provider_keys(self, project: OpenProject) -> list[ProviderKey]:
        del project
        return self.keys

    def check_telemetry(self, project: OpenProject) -> list[Check]:
        del project
        if isinstance(self.telemetry, UsageError):
            raise self.telemetry
        return self.telemetry

    async def verify(self, project: OpenProject, commit: str, say: Any) -> Verified:
        del project, commit
        say("building ...")
        return Verified(self.verified)

    def runtimes(self, project: OpenProject | None) -> dict[str, Found]:
        del project
        return {"claude": Found("/usr/bin/claude", version="2.1.197 (Claude Code)")}

    def notice_channels(self, project: OpenProject) -> list[Channel]:
        del project
        return self.channels

    async def serve(self, project: OpenProject, port: int) -> None:
        self.served.append((project.name, port))

    async def work(self, project: OpenProject, urls: Sequence[str], name: str | None, *, own_hub: bool) -> None:
        self.served.append((project.name, urls, name))
        self.counts.append(project.config.agents.count)
