"""What the command line is handed: each method loads what it needs when it is called, so that `--help` loads nothing."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swarmworks.base.findings import Check
    from swarmworks.cli.context import LiveControlPlane, OpenProject, ProviderKey, Verified
    from swarmworks.domain.budget import Amount
    from swarmworks.git.user_branch import UserBranch
    from swarmworks.notify.protocol import Channel
    from swarmworks.runtime.protocol import Found
    from swarmworks.sandbox.protocol import Probe
    from swarmworks.store.copying import Copied
    from swarmworks.store.migrating import Migrated


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

    def tracked_files(self, project: OpenProject, commit: str) -> tuple[str, ...]:
        return _load("swarmworks.wiring.checkout").tracked_files(project.root, commit)

    def smallest_call(self, project: OpenProject, model: str) -> Amount:
        return _load("swarmworks.wiring.models").smallest_call(project.config, model)

    def user_branch(self, project: OpenProject, name: str) -> UserBranch:
        return _load("swarmworks.wiring.checkout").user_branch(project.root, name)

    def remote_branch(self, project: OpenProject, remote: str, name: str) -> UserBranch:
        return _load("swarmworks.wiring.checkout").remote_branch(project.root, remote, name)

    def refuse_uncommitted(self, project: OpenProject, branch: UserBranch, candidate: str | None) -> None:
        _load("swarmworks.wiring.checkout").refuse_uncommitted(project.state, branch, candidate)

    def move_branch(self, project: OpenProject, branch: UserBranch, candidate: str, message: str) -> bool:
        person = _load("swarmworks.settings").person(project.root)
        checkout = _load("swarmworks.wiring.checkout")
        return checkout.move_branch(project.root, project.state, branch, candidate, message, person)

    def control_plane(
        self, project: OpenProject, *, work: bool, port: int = 0, model: str | None = None
    ) -> AbstractAsyncContextManager[LiveControlPlane]:
        return _load("swarmworks.wiring.plane").running(_project(project), work=work, port=port, model=model)

    @asynccontextmanager
    async def connect(self, project: OpenProject) -> AsyncGenerator[LiveControlPlane | None]:
        settings, context = _load("swarmworks.settings"), _load("swarmworks.cli.context")
        client_module, errors = _load("swarmworks.client.control_plane"), _load("swarmworks.base.errors")
        run = settings.read_run_file(project.state)
        if run is None:
            yield None
            return
        urls, person = run.urls(run.token), settings.person(project.root)

        def started_meanwhile() -> Sequence[str]:
            now = settings.read_run_file(project.state)
            return now.urls(run.token) if now is not None else ()

        async with client_module.ControlPlaneClient(urls, run.token, person, started_meanwhile) as client:
            if len(urls) > 1:  # past one that hangs, soon
                with contextlib.suppress(errors.SwarmworksError):
                    await client.health()
            try:
                await client.swarms()
            except (errors.SwarmworksError, ValueError):
                alive = False
            else:
                alive = True
            live = context.LiveControlPlane(client, client.url, asyncio.get_running_loop().create_future())
            yield live if alive else None

    def probe(self, project: OpenProject | None) -> Probe:
        state = project.state if project is not None else Path("/tmp") / f"swarm-probe-{os.getuid()}"  # noqa: S108
        return _load("swarmworks.sandbox.best").probed(state)

    def provider_keys(self, project: OpenProject) -> list[ProviderKey]:
        context, settings = _load("swarmworks.cli.context"), _load("swarmworks.settings")
        accounts = settings.providers(project.config).values()
        return [
            context.ProviderKey(
                f"{each.name}/{key.name}" if key.name else each.name,
                key.key_source if key.key_fault is None else f"{key.key_source}: {key.key_fault}",
                key.key is not None or key.key_secret is not None,
            )
            for each in accounts
            for key in each.keys
        ]

    def make_secret_key(self, project: OpenProject) -> str:
        file = _load("swarmworks.settings").secret_key_file(_project(project))
        file.make()
        return file.where

    async def verify(self, project: OpenProject, commit: str, say: Callable[[str], None]) -> Verified:
        return await _load("swarmworks.wiring.verifying").verify(_project(project), commit, say)

    def runtimes(self, project: OpenProject | None) -> Mapping[str, Found]:
        return _load("swarmworks.wiring.runtimes").probed(project.config if project is not None else None)

    def notice_channels(self, project: OpenProject) -> list[Channel]:
        return _load("swarmworks.wiring.channels").channels_of(project.config)

    def check_telemetry(self, project: OpenProject) -> list[Check]:
        return _load("swarmworks.wiring.telemetry").check(_project(project))

    def check_store(self, project: OpenProject, *, chains: bool) -> list[Check]:
        return _load("swarmworks.wiring.storekeeping").check(_project(project), chains=chains)

    def migrate_store(self, project: OpenProject, *, dry_run: bool) -> Migrated:
        return _load("swarmworks.wiring.storekeeping").migrate(_project(project), dry_run=dry_run)

    def copy_store(self, project: OpenProject, source: Path | None, target: str | None) -> Copied:
        return _load("swarmworks.wiring.storekeeping").copy(_project(project), source, target)

    async def serve(self, project: OpenProject, port: int) -> None:
        await _load("swarmworks.wiring.plane").serve(_project(project), port)

    async def work(self, project: OpenProject, urls: Sequence[str], name: str | None, *, own_hub: bool) -> None:
        await _load("swarmworks.wiring.worker").work(_project(project), urls, name, own_hub=own_hub)


def _project(project: OpenProject) -> Any:
    settings = _load("swarmworks.settings")
    return settings.Project(root=project.root, config=project.config, state=project.state)
