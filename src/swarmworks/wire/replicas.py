"""What the API says of the control planes that share one database."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from swarmworks.base.ids import ReplicaId


class ReplicaView(BaseModel):
    """`me`: the one that answers. `chores`: what it does for all. Other addresses serve the same."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: ReplicaId
    name: str
    api_url: str
    gateway_url: str
    chores: tuple[str, ...]
    me: bool
