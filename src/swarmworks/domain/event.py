"""Events: what happened, who did it, in an append-only log chained by hashes, one chain per swarm.

`hash = sha256(previous_hash || canonical JSON of the event without its hash)`, so that a changed, dropped or reordered
event breaks every hash after it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from swarmworks.base.ids import SwarmId

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be written. `kind` is `subject.verb`, such as `task.landed` or `session.tool`; `actor` is
    `agent:<name>`, `worker:<id>`, `person:<name>` or `platform`. `data` must be JSON, bounded and free of secrets.
    """

    kind: str
    actor: str
    data: Mapping[str, object]
    task_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    swarm_id: SwarmId
    seq: int  # 1, 2, 3, ... without gaps within the swarm
    at: datetime
    kind: str
    actor: str
    task_id: str | None
    session_id: str | None
    data: str  # canonical JSON text
    previous_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class SwarmLog:
    """The part of a swarm's chain that is in the database; `ended_at` is None while the swarm goes on. Up to event
    `anchored_seq`, wherever it is, the chain was anchored; 0: none of it was.
    """

    swarm_id: SwarmId
    ended_at: datetime | None
    first_seq: int
    last_seq: int
    anchored_seq: int

    @property
    def events(self) -> int:
        return self.last_seq - self.first_seq + 1


@dataclass(frozen=True, slots=True)
class ArchivedEvents:
    """A piece of a swarm's chain that lies in a file. `sha256` is that of its lines, so that how they are compressed does
    not matter; `file` is relative to the archive's folder.
    """

    swarm_id: SwarmId
    first_seq: int
    last_seq: int
    last_hash: str
    file: str
    sha256: str

    @property
    def events(self) -> int:
        return self.last_seq - self.first_seq + 1


def canonical_json(data: Mapping[str, object]) -> str:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def chain_hash(previous_hash: str, seq: int, at: str, new: NewEvent, data_json: str) -> str:
    """`at` is the ISO form as stored; `data_json` the canonical JSON of `new.data`."""
    body = json.dumps([seq, at, new.kind, new.actor, new.task_id, new.session_id, data_json], separators=(",", ":"))
    return hashlib.sha256(previous_hash.encode() + body.encode()).hexdigest()


def first_break(events: Iterable[Event], *, seq: int = 0, previous: str = GENESIS) -> int | None:
    """The sequence number of the first event that does not fit the chain, None when it is intact. `seq` and `previous`
    are the number and the hash of the event before the first of `events`.
    """
    expected_seq = seq + 1
    for event in events:
        new = NewEvent(event.kind, event.actor, {}, event.task_id, event.session_id)
        wanted = chain_hash(previous, event.seq, event.at.isoformat(), new, event.data)
        if event.seq != expected_seq or event.previous_hash != previous or event.hash != wanted:
            return event.seq
        previous, expected_seq = event.hash, event.seq + 1
    return None
