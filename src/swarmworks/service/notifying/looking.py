"""What the log and the books of a swarm say that a person should know: read in one snapshot, changed by nobody here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast

from swarmworks.base.errors import NotFoundError
from swarmworks.base.ids import QuestionId, ReviewId, SwarmId, TaskId
from swarmworks.domain.event import GENESIS, Event, NewEvent, chain_hash
from swarmworks.domain.notice import Item, ItemKind, Notice
from swarmworks.domain.question import QuestionState
from swarmworks.domain.review import ReviewState
from swarmworks.domain.swarm import OPEN
from swarmworks.domain.task import TaskState
from swarmworks.policy.notices import BUDGET_PERCENT, KINDS, Happened, notice_of
from swarmworks.store.protocol import Near, Reader

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Place:
    """How far a log was read, and the hash found there."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class Page:
    """`broken`: the first event that does not fit the one before it."""

    notices: tuple[Notice, ...]
    end: Place
    broken: int | None
    full: bool


def read_page(reader: Reader, swarm_id: SwarmId, start: Place) -> Page:
    events = reader.events(swarm_id, after=start.seq, limit=PAGE)
    place, broken = start, None
    for event in events:
        if broken is None and not _follows(event, place):
            broken = event.seq
        place = Place(event.seq, event.hash)
    notices = [notice_of(_happened(event)) for event in events if event.kind in KINDS]
    return Page(tuple(one for one in notices if one is not None), place, broken, len(events) == PAGE)


def _follows(event: Event, before: Place) -> bool:
    new = NewEvent(event.kind, event.actor, {}, event.task_id, event.session_id)
    hash_now = chain_hash(before.hash, event.seq, event.at.isoformat(), new, event.data)
    return (event.seq, event.previous_hash, event.hash) == (before.seq + 1, before.hash, hash_now)


def _happened(event: Event) -> Happened:
    try:
        data: object = json.loads(event.data)
    except ValueError:  # a damaged log is said to be one by its chain
        data = {}
    known = cast("dict[str, object]", data) if isinstance(data, dict) else {}
    return Happened(event.kind, event.swarm_id, event.seq, event.at, event.task_id, known)


def nearly_used_up(reader: Reader, swarm_id: SwarmId) -> tuple[Near, ...]:
    """What a swarm that goes on is about to use up."""
    if reader.swarm(swarm_id).state not in OPEN:
        return ()
    return tuple(reader.near_limits(swarm_id, BUDGET_PERCENT))


def is_open(reader: Reader, swarm_id: SwarmId, item: Item | None) -> bool:
    """Whether a person still has to decide it."""
    if item is None:
        return False
    try:
        if item.kind is ItemKind.TASK:
            return reader.task(swarm_id, TaskId(item.id)).state is TaskState.BLOCKED
        if item.kind is ItemKind.SWARM:
            return reader.swarm(swarm_id).state == item.state
        if item.kind is ItemKind.QUESTION:
            return reader.question(QuestionId(item.id)).state is QuestionState.OPEN
        return reader.review(ReviewId(item.id)).state is ReviewState.OPEN
    except NotFoundError:
        return False
