"""A notice: one thing a person should know, in words, with what to type. Drawn from an event, told through channels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import SwarmId


class Severity(StrEnum):
    INFO = "info"  # good to know
    WARNING = "warning"  # something waits for a person, the rest goes on
    URGENT = "urgent"  # nothing goes on without a person

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class ItemKind(StrEnum):
    """What a person has to answer, where there is such a thing."""

    TASK = "task"
    SWARM = "swarm"
    QUESTION = "question"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class Item:
    """Open for as long as nobody has decided it. `state` is the state in which a swarm waits."""

    kind: ItemKind
    id: str
    state: str = ""


@dataclass(frozen=True, slots=True)
class Notice:
    """`kind` and `seq` are those of the event. `title` is one line, `text` says what happened and why it needs a person,
    `command` is what to type. All of it is plain: no control characters, no secrets. `not_through` is a channel that it
    is about, and that therefore does not tell it.
    """

    kind: str
    swarm_id: SwarmId
    seq: int
    at: datetime
    severity: Severity
    title: str
    text: str
    command: str
    item: Item | None = None
    not_through: str = ""
