"""How much of requests' bodies lies in memory: what is being read, and what waits to be sent.

Whoever may open connections may fill each of them up to the limit of a body and say nothing more. So a session has a few
bodies' worth of bytes, and the process a bound for all of them.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from swarmworks.base.errors import LimitReachedError

if TYPE_CHECKING:
    from collections.abc import Generator

    from swarmworks.base.ids import SessionId


class CrowdedError(LimitReachedError):
    """There is no room for this body now; there will be when others have been sent."""

    code = "bodies_busy"
    http_status = 429
    retryable = True


class Held:
    """Of one request. `take` while it is being read; `release` once its bytes are gone."""

    def __init__(self, bodies: Bodies, session_id: SessionId) -> None:
        self._bodies = bodies
        self._session_id = session_id
        self._bytes = 0

    def take(self, size: int) -> None:
        """CrowdedError when so many more find no room."""
        self._bodies.take(self._session_id, size)
        self._bytes += size

    def release(self) -> None:
        held, self._bytes = self._bytes, 0
        self._bodies.give_back(self._session_id, held)


class Bodies:
    def __init__(self, *, session_bytes: int, all_bytes: int) -> None:
        self._session_bytes = session_bytes
        self._all_bytes = all_bytes
        self._held: Counter[SessionId] = Counter()
        self.held_bytes = 0

    @contextmanager
    def holding(self, session_id: SessionId) -> Generator[Held]:
        held = Held(self, session_id)
        try:
            yield held
        finally:
            held.release()

    def take(self, session_id: SessionId, size: int) -> None:
        if self._held[session_id] + size > self._session_bytes:
            raise CrowdedError(
                f"this session's requests that wait are larger than {self._session_bytes:,} bytes together",
                where=str(session_id),
                mend="make fewer calls at once, or shorter ones",
            )
        if self.held_bytes + size > self._all_bytes:
            raise CrowdedError(
                f"all requests that wait are larger than {self._all_bytes:,} bytes together", mend="try again later"
            )
        self._held[session_id] += size
        self.held_bytes += size

    def give_back(self, session_id: SessionId, size: int) -> None:
        self.held_bytes -= size
        self._held[session_id] -= size
        if not self._held[session_id]:
            del self._held[session_id]
