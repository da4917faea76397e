"""What the sections of swarm.toml have in common."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
WholeSeconds = Annotated[float, Field(gt=0, le=31_536_000)]
Count = Annotated[int, Field(gt=0, le=10**15)]
Dollars = Annotated[Decimal, Field(ge=0, le=1_000_000, decimal_places=9)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Line = Annotated[str, Field(min_length=1, max_length=4_000)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
