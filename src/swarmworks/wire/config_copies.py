"""`[copies]` of swarm.toml: how often work in progress is saved, and which working copies are kept."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class CopiesSection(BaseModel):
    """`save_every_s`: how often what an agent has written is committed while it works. `kept`: how many working copies of
    sessions that ended are kept until their task has landed, the oldest given up first; 0: none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    save_every_s: Annotated[float, Field(ge=1, le=86_400)] = 180.0
    kept: Annotated[int, Field(ge=0, le=100_000)] = 100
