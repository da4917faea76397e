"""What a worker's executors share: the control plane, the hub, the sandbox and the places on this machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from swarmworks.base.clock import Clock
from swarmworks.base.ids import SwarmId
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.git.protocol import Hub, Identity, WorkingCopies
from swarmworks.policy.egress import Place
from swarmworks.runtime.protocol import Runtime
from swarmworks.sandbox.protocol import Sandbox
from swarmworks.wire.api import PlaneAddress
from swarmworks.wire.config import SwarmConfig
from swarmworks.worker.gateways import Gateways
from swarmworks.worker.transport import SameHub, Transport

COMMITTER = Identity("Swarmworks", "swarm@swarmworks.invalid")


@dataclass(frozen=True, slots=True)
class Places:
    """Folders of this worker. `package` is the installed `swarmworks` package, `interpreter` the Python that agents and
    the product's own checks run on.
    """

    environments: Path
    caches: Path
    scratch: Path
    package: Path
    interpreter: Path


def _none(_variable: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Outside:
    """What roles may reach besides the gateway, as the worker's environment has it. `database_address`: of a database, by the
    variable that holds it; "" for none. `hosts`: where those are that are not to be resolved.
    """

    database_address: Callable[[str], str] = _none
    hosts: Mapping[str, Place] = field(default_factory=dict[str, Place])


class WorkerContext:
    """`most_copies`: how many working copies of ended sessions are kept at most. `transport`: how commits come and go where the hub
    is not the project's own.
    """

    def __init__(
        self,
        client: ControlPlaneClient,
        hub: Hub,
        copies: WorkingCopies,
        sandbox: Sandbox,
        places: Places,
        clock: Clock,
        runtimes: Mapping[str, Runtime],
        outside: Outside | None = None,
        most_copies: int = 100,
        transport: Transport | None = None,
    ) -> None:
        self.client = client
        self.hub = hub
        self.copies = copies
        self.sandbox = sandbox
        self.places = places
        self.clock = clock
        self.gateways = Gateways(clock, lambda: client.url)
        self.runtimes = runtimes
        self.outside = outside or Outside()
        self.most_copies = most_copies
        self.transport = transport or SameHub()
        self.unsaved: list[Callable[[], Awaitable[bool]]] = []
        """Of sessions that ended while their work could not be saved: each tries again, and says whether it is saved now."""
        self._configs: dict[SwarmId, SwarmConfig] = {}

    def learn(self, planes: Sequence[PlaneAddress]) -> None:
        """Where the living control planes are, as one of them says: none named, and nothing is known but what was."""
        if planes:
            self.client.learn([plane.api_url for plane in planes])
            self.gateways.learn(planes)

    async def config(self, swarm_id: SwarmId) -> SwarmConfig:
        """The configuration a swarm was started with; it never changes while the swarm exists."""
        if swarm_id not in self._configs:
            self._configs[swarm_id] = await self.client.config(swarm_id)
        return self._configs[swarm_id]
