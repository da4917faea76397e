"""What a session did, on record: its normal-form events, bounded and cleaned of secrets, in the swarm's chained log."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from typing import cast

from swarmworks.base.errors import FenceLostError
from swarmworks.base.ids import SessionId, SwarmId, WorkerId
from swarmworks.domain.event import Event, NewEvent
from swarmworks.domain.session import SessionState
from swarmworks.policy.redact import redact
from swarmworks.store.protocol import Reader, Store, Tx

MOST_TEXT = 2000
MOST_DOING = 80
MOST_BEHIND = 500
MOST_SESSIONS = 2000
"""Sessions that ended without an `end` (lost, killed) are forgotten when others have come, oldest first."""

_FIRST_VALUE = re.compile(r"""\{'[^']*': (['"]?)(.*?)(?:\1[,}]|$)""", re.DOTALL)


class Auditing:
    """`doing` is read from the log, since another control plane may have recorded what a session did last."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._doing: dict[SessionId, str] = {}
        self._read_to: dict[SwarmId, int] = {}
        self._reading = threading.Lock()

    def doing(self, reader: Reader, swarm_id: SwarmId) -> Mapping[SessionId, str]:
        """What each session of the swarm did last, in a few words. Every event is looked at once; what lies further back
        than MOST_BEHIND is not looked for. Called in snapshots, on any thread.
        """
        with self._reading:
            start = max(self._read_to.get(swarm_id, 0), reader.last_seq(swarm_id) - MOST_BEHIND)
            for event in reader.events(swarm_id, after=start, limit=MOST_BEHIND):
                start = event.seq
                self._note(event)
            self._read_to[swarm_id] = start
            while len(self._read_to) > MOST_SESSIONS:
                self._read_to.pop(next(iter(self._read_to)))
            return dict(self._doing)

    async def record(self, session_id: SessionId, worker_id: WorkerId, events: Sequence[Mapping[str, object]]) -> None:
        """FenceLostError when the session has ended or runs elsewhere: nothing is written."""

        def write(tx: Tx) -> None:
            session = tx.session(session_id)
            if session.state is SessionState.ENDED or session.worker_id != worker_id:
                raise FenceLostError(f"session {session_id} is no longer yours")
            actor = f"agent:{session.agent_id.rpartition('/')[2]}"
            rows = [
                NewEvent(f"session.{event.get('type', 'unknown')}", actor, _bounded(event), session.task_id, session_id)
                for event in events
            ]
            tx.append(session.swarm_id, *rows)

        await self._store.transact(write)

    def _note(self, event: Event) -> None:
        if event.session_id is None:
            return
        session_id = SessionId(event.session_id)
        if event.kind == "session.tool_call":
            self._doing[session_id] = _words(event)
            while len(self._doing) > MOST_SESSIONS:
                self._doing.pop(next(iter(self._doing)))
        elif event.kind in {"session.end", "session.ended"}:
            self._doing.pop(session_id, None)


def _words(event: Event) -> str:
    """The tool and its first argument. Arguments are on record as Python writes them, cut when they are long."""
    try:
        data = cast("dict[str, object]", json.loads(event.data))
    except ValueError:  # a damaged log is said to be one by its chain
        return ""
    first = _FIRST_VALUE.match(str(data.get("arguments", "")))
    return f"{data.get('tool', '')} {first[2] if first else ''}"[:MOST_DOING].strip()


def _bounded(event: Mapping[str, object]) -> dict[str, object]:
    return {key: _value(value) for key, value in list(event.items())[:20] if key != "type"}


def _value(value: object) -> object:
    if isinstance(value, str):
        return redact(value[:MOST_TEXT])
    if isinstance(value, bool | int | float) or value is None:
        return value
    return redact(str(value)[:MOST_TEXT])
