"""What the command line is handed: each method loads what it needs when it is called, so that `--help` loads nothing."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmworks.cli.context import LiveControlPlane, OpenProject, ProviderKey
    from swarmworks.sandbox.protocol import Probe


def _load(name: str) -> Any:
    """The allowed late import: a command loads what it needs when it is called."""
    return importlib.import_module(name)


class ProcessLauncher:
    def project(self, path: Path) -> OpenProject:
        context, settings = _load("swarmworks.cli.context"), _load("swarmworks.settings")
        found = settings.find_project(path)
        return context.OpenProject(root=found.root, name=found.name, config=found.config, state=found.state)

    def base_commit(self, project: OpenProject, *, allow_dirty: bool) -> str:
        return _load("swarmworks.wiring.checkout").base_commit(project.root, allow_dirty=allow_dirty)

    def control_plane(
        self, project: OpenProject, *, work: bool, port: int = 0, model: str | None = None
    ) -> AbstractAsyncContextManager[LiveControlPlane]:
        return _load("swarmworks.wiring.plane").running(_project(project), work=work, port=port, model=model)

    @asynccontextmanager
    async def connect(self, project: OpenProject) -> AsyncGenerator[LiveControlPlane | None]:
        settings, context = _load("swarmworks.settings"), _load("swarmworks.cli.context")
        client_module, errors = _load("swarmworks.client.control_plane"), _load("swarmworks.base.errors")
        run = settings.read_run_file(project.state)
        if run is None or not _lives(run.pid):
            yield None
            return
        async with client_module.ControlPlaneClient(run.url, run.token) as client:
            try:
                await client.swarms()
            except (errors.SwarmworksError, ValueError):
                alive = False
            else:
                alive = True
            live = context.LiveControlPlane(client, run.url, asyncio.get_running_loop().create_future())
            yield live if alive else None

    def probe(self, project: OpenProject | None) -> Probe:
        state = project.state if project is not None else Path("/tmp") / f"swarm-probe-{os.getuid()}"  # noqa: S108
        return _load("swarmworks.sandbox.best").best_sandbox(state).probe()

    def provider_keys(self, project: OpenProject) -> list[ProviderKey]:
        context, settings = _load("swarmworks.cli.context"), _load("swarmworks.settings")
        accounts = settings.providers(project.config).values()
        return [context.ProviderKey(each.name, each.key_source, each.key is not None) for each in accounts]

    async def serve(self, project: OpenProject, port: int) -> None:
        await _load("swarmworks.wiring.plane").serve(_project(project), port)

    async def work(self, project: OpenProject, url: str) -> None:
        await _load("swarmworks.wiring.worker").work(_project(project), url)


def _lives(pid: int) -> bool:
    """Whether there is such a process: the file of one that was killed stays, and its port may be somebody else's now."""
    return Path(f"/proc/{pid}").exists()


def _project(project: OpenProject) -> Any:
    settings = _load("swarmworks.settings")
    return settings.Project(root=project.root, config=project.config, state=project.state)
