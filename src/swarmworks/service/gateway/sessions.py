"""What the gateway remembers of sessions, in memory: calls begun, and when the last one moved."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError

if TYPE_CHECKING:
    from datetime import datetime

    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import SessionId

REMEMBERED = 20_000


class TooManyCallsError(LimitReachedError):
    code = "too_many_calls"


@dataclass(slots=True)
class _Entry:
    calls: int
    counts: int
    last_at: datetime


class SessionBook:
    """Calls are counted when they begin, so that several at once cannot pass a limit together. After a restart the count
    goes on from the calls the ledger settled.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: OrderedDict[SessionId, _Entry] = OrderedDict()

    def knows(self, session_id: SessionId) -> bool:
        return session_id in self._entries

    def open(self, session_id: SessionId, settled_calls: int) -> None:
        """Begin to remember a session; nothing happens when it is known."""
        if session_id not in self._entries:
            self._entries[session_id] = _Entry(settled_calls, 0, self._clock.now())
            if len(self._entries) > REMEMBERED:
                self._entries.popitem(last=False)

    def begin_call(self, session_id: SessionId, *, limit: int) -> None:
        """TooManyCallsError at the limit."""
        entry = self._entry(session_id)
        if entry.calls >= limit:
            raise TooManyCallsError(
                f"this session has made its {limit} model calls",
                where=str(session_id),
                mend="raise the limit of calls, or make the task smaller",
            )
        entry.calls += 1

    def withdraw_call(self, session_id: SessionId) -> None:
        """A call that was refused before it was sent does not count."""
        if session_id in self._entries:
            self._entries[session_id].calls -= 1

    def begin_count(self, session_id: SessionId, *, limit: int) -> None:
        """Counting tokens before a call is free, and bounded all the same."""
        entry = self._entry(session_id)
        if entry.counts >= limit:
            raise TooManyCallsError(f"this session has counted tokens {limit} times", where=str(session_id))
        entry.counts += 1

    def touch(self, session_id: SessionId) -> None:
        if session_id in self._entries:
            self._entries[session_id].last_at = self._clock.now()

    def last_at(self, session_id: SessionId) -> datetime | None:
        entry = self._entries.get(session_id)
        return entry.last_at if entry else None

    def _entry(self, session_id: SessionId) -> _Entry:
        self.open(session_id, 0)  # pushed out since it was opened: only with very many sessions at once
        self._entries.move_to_end(session_id)
        entry = self._entries[session_id]
        entry.last_at = self._clock.now()
        return entry
