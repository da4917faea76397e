"""The event log of each swarm, chained by hashes, and small blobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import RejectedError
from swarmworks.domain.event import GENESIS, Event, canonical_json, chain_hash
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from swarmworks.base.ids import SessionId, SwarmId
    from swarmworks.domain.event import NewEvent

_SQL = load("events")
MAX_BLOB_BYTES = 1 << 20
MAX_EVENT_BYTES = 64 << 10


class EventReads(Scope):
    def events(self, swarm_id: SwarmId, *, after: int = 0, limit: int = 1000) -> list[Event]:
        found_rows = self.db.rows(_SQL["events"], swarm_id=swarm_id, after=after, most=limit)
        return [rows.event(row) for row in found_rows]

    def last_seq(self, swarm_id: SwarmId) -> int:
        row = self.db.row(_SQL["last"], swarm_id=swarm_id)
        return 0 if row is None else int(row["seq"])

    def last_event_at(self, session_id: SessionId) -> datetime | None:
        row = self.db.row(_SQL["last_of_session"], session_id=session_id)
        return None if row is None else datetime.fromisoformat(row["at"])

    def blob(self, key: str) -> bytes | None:
        row = self.db.row(_SQL["blob"], key=key)
        return None if row is None else bytes(row["data"])


class EventWrites(EventReads):
    def append(self, swarm_id: SwarmId, *events: NewEvent) -> list[Event]:
        found(self.db.row(_SQL["swarm"], id=swarm_id), "swarm", swarm_id)
        last = self.db.row(_SQL["last"], swarm_id=swarm_id)
        seq, previous = (last["seq"], last["hash"]) if last else (0, GENESIS)
        at = self.now()
        written: list[dict[str, object]] = []
        for seq_now, new in enumerate(events, start=seq + 1):
            data = canonical_json(new.data)
            if len(data.encode()) > MAX_EVENT_BYTES:
                raise RejectedError(
                    f"the event's data takes more than {MAX_EVENT_BYTES} bytes", where=new.kind, mend="shorten it"
                )
            link = chain_hash(previous, seq_now, at, new, data)
            written.append(
                {
                    "swarm_id": swarm_id,
                    "seq": seq_now,
                    "at": at,
                    "kind": new.kind,
                    "actor": new.actor,
                    "task_id": new.task_id,
                    "session_id": new.session_id,
                    "data": data,
                    "previous_hash": previous,
                    "hash": link,
                }
            )
            previous = link
        self.db.change_many(_SQL["append"], written)
        self.touched.add(swarm_id)
        return [rows.event(each) for each in written]

    def put_blob(self, key: str, data: bytes) -> None:
        if len(data) > MAX_BLOB_BYTES:
            raise RejectedError(
                f"a blob of {len(data):,} bytes; at most {MAX_BLOB_BYTES:,} are kept here",
                where=key,
                mend="cut it, or keep it beside the database",
            )
        self.db.change(_SQL["put_blob"], key=key, data=data)
