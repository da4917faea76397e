"""What the check of the log says, line by line while it goes on: `GET /audit/verify`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from swarmworks.base.ids import SwarmId


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckedAnchors(Model):
    """All anchors there are. `problems` is empty when each is signed with a key of ours, none is missing, and the file
    beside the database holds the same.
    """

    line: Literal["anchors"] = "anchors"
    anchors: int
    newest_at: datetime | None
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()


class CheckedSwarm(Model):
    """`archived` of its events lie in files; up to event `anchored` an anchor confirms the chain, 0: none does."""

    line: Literal["swarm"] = "swarm"
    swarm_id: SwarmId
    events: int
    archived: int
    anchored: int
    problems: tuple[str, ...]


class Checking(Model):
    """Still at it: `events` of this swarm were looked at."""

    line: Literal["checking"] = "checking"
    swarm_id: SwarmId
    events: int


AuditLine = Annotated[CheckedAnchors | CheckedSwarm | Checking, Field(discriminator="line")]
AUDIT_LINE: TypeAdapter[CheckedAnchors | CheckedSwarm | Checking] = TypeAdapter(AuditLine)
