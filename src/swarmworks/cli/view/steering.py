"""What a person at the dashboard can do to the swarm. `watching` implements it; the dashboard only asks."""

from __future__ import annotations

from typing import Protocol

from swarmworks.base.ids import SwarmId
from swarmworks.client.control_plane import ControlPlaneClient


class Steering(Protocol):
    @property
    def client(self) -> ControlPlaneClient: ...

    @property
    def swarm_id(self) -> SwarmId: ...

    @property
    def owned(self) -> bool:
        """Whether the control plane ends with this command."""
        ...

    async def pause(self) -> None: ...
    async def go_on(self) -> None: ...
    async def stop(self) -> None: ...

    def leave(self) -> None:
        """As Ctrl-C: stops in order where the control plane is ours, and only stops watching where it is not."""
        ...
