"""Sessions that go on from another one's summary, until they have shown that they know what they took over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope

if TYPE_CHECKING:
    from swarmworks.base.ids import SessionId

_SQL = load("takeovers")


class TakeoverReads(Scope):
    def takeover_pending(self, session_id: SessionId) -> bool:
        row = self.db.row(_SQL["takeover"], session_id=session_id)
        return row is not None and row["accepted_at"] is None


class TakeoverWrites(TakeoverReads):
    def begin_takeover(self, session_id: SessionId, before_id: SessionId) -> None:
        self.db.change(_SQL["insert_takeover"], session_id=session_id, before_id=before_id)

    def try_takeover(self, session_id: SessionId, *, accepted: bool) -> int:
        at = self.now() if accepted else None
        rows = self.db.rows(_SQL["try_takeover"], session_id=session_id, accepted_at=at)
        if not rows:
            raise ConflictError("the session has nothing to take over", where=session_id)
        return int(rows[0]["tries"])
