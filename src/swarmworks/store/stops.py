"""Sessions that are to be ended for a reason their worker cannot see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.ids import SessionId
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

_SQL = load("ledger")


class StopReads(Scope):
    def session_stops(self, session_ids: Sequence[SessionId]) -> dict[SessionId, str]:
        return {SessionId(row["session_id"]): row["reason"] for row in self.db.rows(_SQL["stops"], ids=session_ids)}


class StopWrites(StopReads):
    def stop_session(self, session_id: SessionId, reason: str) -> None:
        self.db.change(_SQL["stop_session"], session_id=session_id, reason=reason, at=self.now())
