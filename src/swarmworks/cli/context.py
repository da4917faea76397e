"""What the commands need from above: a way to the project, and a way to a control plane. `wiring` implements it."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.sandbox.protocol import Probe
from swarmworks.wire.config import SwarmConfig


@dataclass(frozen=True, slots=True)
class OpenProject:
    root: Path
    name: str
    config: SwarmConfig
    state: Path


@dataclass(frozen=True, slots=True)
class LiveControlPlane:
    """`gave_up` becomes the reason when the control plane can no longer do its work, such as a worker that keeps dying."""

    client: ControlPlaneClient
    url: str
    gave_up: asyncio.Future[str]


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """Whether a configured provider's key is there; `source` names the variable or file, never the key."""

    provider: str
    source: str
    present: bool


class Launcher(Protocol):
    def project(self, path: Path) -> OpenProject:
        """The project `path` lies in; errors name the mend."""
        ...

    def base_commit(self, project: OpenProject, *, allow_dirty: bool) -> str:
        """The commit a swarm would start from. Refuses what is no repository, has no commit, or has uncommitted work."""
        ...

    def control_plane(
        self, project: OpenProject, *, work: bool, port: int = 0, model: str | None = None
    ) -> AbstractAsyncContextManager[LiveControlPlane]:
        """Start one inside this process, on loopback; with `work`, a worker too. `model` is checked to be usable."""
        ...

    def connect(self, project: OpenProject) -> AbstractAsyncContextManager[LiveControlPlane | None]:
        """The control plane that is running for this project, None when there is none."""
        ...

    def probe(self, project: OpenProject | None) -> Probe:
        """What the sandbox gives on this machine."""
        ...

    def provider_keys(self, project: OpenProject) -> list[ProviderKey]:
        """One for each configured provider, in the order of the configuration."""
        ...

    async def serve(self, project: OpenProject, port: int) -> None: ...
    async def work(self, project: OpenProject, url: str) -> None: ...
