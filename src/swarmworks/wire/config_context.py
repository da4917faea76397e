"""`[context]` of swarm.toml: when a session whose model's window fills up hands over to a fresh one."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator


class ContextSection(BaseModel):
    """`hand_over_percent` of the window; 0: never. `windows`: tokens, by `provider:model`, where none is published or less is
    to be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    hand_over_percent: Annotated[int, Field(ge=0, le=100)] = 80
    windows: dict[str, Annotated[int, Field(ge=1_000, le=100_000_000)]] = Field(default_factory=dict[str, int])

    @field_validator("windows")
    @classmethod
    def _full_names(cls, windows: dict[str, int]) -> dict[str, int]:
        for name in windows:
            provider, colon, model = name.partition(":")
            if not (provider and colon and model):
                raise ValueError(f'{name!r} names no model: write "provider:model"')
        return windows
