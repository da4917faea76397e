"""What a swarm was started with, as it is stored beside it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from swarmworks.wire.config import SwarmConfig


class SwarmOptions(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    config: SwarmConfig
    model: str
    agents: int
    runtime: str = "builtin"
    kinds: dict[str, str] = {}


def to_json(options: SwarmOptions) -> str:
    return options.model_dump_json(by_alias=True)


def from_json(text: str) -> SwarmOptions:
    return SwarmOptions.model_validate_json(text)
