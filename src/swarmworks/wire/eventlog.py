"""An event as a line of JSON: what `swarm audit export` prints and what archive files hold.

A line has everything the event's hash is made of, so that a chain can be verified from lines alone.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, cast

from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import Event, canonical_json


def event_line(event: Event) -> str:
    """Without the line's end. Plain ASCII: no reader takes a character of a text for the end of a line."""
    row = {
        "swarm_id": event.swarm_id,
        "seq": event.seq,
        "at": event.at.isoformat(),
        "kind": event.kind,
        "actor": event.actor,
        "task_id": event.task_id,
        "session_id": event.session_id,
        "data": _data(event.data),
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }
    return json.dumps(row, separators=(",", ":"))


def parse_event(line: str | bytes) -> Event:
    """ValueError when the line is no event."""
    try:
        row: dict[str, Any] = json.loads(line)
        data = row["data"]
        return Event(
            swarm_id=SwarmId(row["swarm_id"]),
            seq=int(row["seq"]),
            at=datetime.fromisoformat(row["at"]),
            kind=row["kind"],
            actor=row["actor"],
            task_id=row["task_id"],
            session_id=row["session_id"],
            data=data if isinstance(data, str) else canonical_json(data),
            previous_hash=row["previous_hash"],
            hash=row["hash"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an event: {error}") from error


def _data(text: str) -> object:
    """As an object when that says the very same; as the text itself otherwise, since it is the text that was hashed."""
    try:
        data = cast("dict[str, Any] | None", json.loads(text))
    except ValueError:
        return text
    return data if isinstance(data, dict) and canonical_json(data) == text else text
