"""What the commands need from above: a way to the project, and a way to a control plane. `wiring` implements it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from swarmworks.base.findings import Check
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.budget import Amount
from swarmworks.domain.gate import GateResult
from swarmworks.git.user_branch import UserBranch
from swarmworks.notify.protocol import Channel
from swarmworks.runtime.protocol import Found
from swarmworks.sandbox.protocol import Probe
from swarmworks.wire.config import SwarmConfig

if TYPE_CHECKING:  # or every command would load the databases' drivers
    from swarmworks.store.copying import Copied
    from swarmworks.store.migrating import Migrated


@dataclass(frozen=True, slots=True)
class OpenProject:
    root: Path
    name: str
    config: SwarmConfig
    state: Path

    def with_agents(self, count: int) -> OpenProject:
        """As if the configuration had that many."""
        agents = self.config.agents.model_copy(update={"count": count})
        return replace(self, config=self.config.model_copy(update={"agents": agents}))


@dataclass(frozen=True, slots=True)
class LiveControlPlane:
    """`gave_up` becomes the reason when the control plane can no longer do its work, such as a worker that keeps dying."""

    client: ControlPlaneClient
    url: str
    gave_up: asyncio.Future[str]


@dataclass(frozen=True, slots=True)
class Verified:
    """What the project's gates say of a commit as it stands."""

    results: tuple[GateResult, ...]


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

    def tracked_files(self, project: OpenProject, commit: str) -> tuple[str, ...]:
        """Every file of `commit`."""
        ...

    def smallest_call(self, project: OpenProject, model: str) -> Amount:
        """What is reserved at least for one call of `model`, as swarm.toml names it."""
        ...

    def user_branch(self, project: OpenProject, name: str) -> UserBranch:
        """A branch of the user's, as it stands. UsageError for what is none; ConflictError in the middle of a rebase."""
        ...

    def remote_branch(self, project: OpenProject, remote: str, name: str) -> UserBranch:
        """A branch of a remote, as it stands there now. UsageError for what is none."""
        ...

    def refuse_uncommitted(self, project: OpenProject, branch: UserBranch, candidate: str | None) -> None:
        """ConflictError when moving the branch to `candidate` (None: still to be made) would touch uncommitted work."""
        ...

    def move_branch(self, project: OpenProject, branch: UserBranch, candidate: str, message: str) -> bool:
        """Bring the commit from the hub and move the branch to it; False when the branch has moved meanwhile."""
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

    def make_secret_key(self, project: OpenProject) -> str:
        """The file with the key that seals secrets, made now; ConflictError when there is one."""
        ...

    async def verify(self, project: OpenProject, commit: str, say: Callable[[str], None]) -> Verified:
        """Build the environment and run the gates on `commit`, unchanged. UnavailableError when it cannot be built."""
        ...

    def notice_channels(self, project: OpenProject) -> list[Channel]:
        """Those of the configuration, in its order, with the secrets this process may read."""
        ...

    def runtimes(self, project: OpenProject | None) -> Mapping[str, Found]:
        """What this machine has of each agent's program that is not part of the platform, by the runtime's name."""
        ...

    def check_telemetry(self, project: OpenProject) -> list[Check]:
        """Whether the collector of model calls answers; empty where none is configured."""
        ...

    def check_store(self, project: OpenProject, *, chains: bool) -> list[Check]:
        """Of the configured database; with `chains` every event is read."""
        ...

    def migrate_store(self, project: OpenProject, *, dry_run: bool) -> Migrated:
        """The configured database, to this version's schema. StoreUnavailableError when it cannot be."""
        ...

    def copy_store(self, project: OpenProject, source: Path | None, target: str | None) -> Copied:
        """A SQLite file (None: the project's) into an empty PostgreSQL database (None: the configured one)."""
        ...

    async def serve(self, project: OpenProject, port: int) -> None: ...
    async def work(self, project: OpenProject, urls: Sequence[str], name: str | None, *, own_hub: bool) -> None:
        """A worker of the control planes at `urls`. `name` sets it apart from others on this machine; with `own_hub` it does not
        open the project's.
        """
        ...
