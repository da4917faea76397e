"""What a session did, on record: its normal-form events, bounded and cleaned of secrets, in the swarm's chained log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from swarmworks.base.errors import FenceLostError
from swarmworks.base.ids import SessionId, WorkerId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.session import SessionState
from swarmworks.policy.redact import redact
from swarmworks.store.protocol import Store, Tx

MOST_TEXT = 2000
MOST_DOING = 80
MOST_SESSIONS = 2000
"""Sessions that ended without an `end` (lost, killed) are forgotten when others have come, oldest first."""


class Auditing:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._doing: dict[SessionId, str] = {}

    def doing(self, session_id: SessionId) -> str:
        """What the session did last, in a few words; kept in memory only."""
        return self._doing.get(session_id, "")

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
        for event in events:
            self._note(session_id, event)

    def _note(self, session_id: SessionId, event: Mapping[str, object]) -> None:
        if event.get("type") == "tool_call":
            arguments = event.get("arguments")
            values = list(cast("Mapping[str, object]", arguments).values()) if isinstance(arguments, Mapping) else []
            words = f"{event.get('tool', '')} {values[0] if values else ''}"[:MOST_TEXT]
            self._doing[session_id] = redact(words)[:MOST_DOING].strip()
            while len(self._doing) > MOST_SESSIONS:
                self._doing.pop(next(iter(self._doing)))
        elif event.get("type") == "end":
            self._doing.pop(session_id, None)


def _bounded(event: Mapping[str, object]) -> dict[str, object]:
    return {key: _value(value) for key, value in list(event.items())[:20] if key != "type"}


def _value(value: object) -> object:
    if isinstance(value, str):
        return redact(value[:MOST_TEXT])
    if isinstance(value, bool | int | float) or value is None:
        return value
    return redact(str(value)[:MOST_TEXT])
