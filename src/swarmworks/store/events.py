"""The event log of each swarm, chained by hashes, in the database and in archive files; its anchors; and small blobs."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError, RejectedError
from swarmworks.domain.anchor import Anchor, Head, said
from swarmworks.domain.event import GENESIS, ArchivedEvents, Event, SwarmLog, canonical_json, chain_hash
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from swarmworks.base.ids import SessionId, SwarmId
    from swarmworks.domain.event import NewEvent
    from swarmworks.store.connection import Row

_SQL = load("events")
MAX_BLOB_BYTES = 1 << 20
MAX_EVENT_BYTES = 64 << 10


class EventReads(Scope):
    def events(
        self, swarm_id: SwarmId, *, after: int = 0, limit: int = 1000, session_id: SessionId | None = None
    ) -> list[Event]:
        found_events: list[Event] = []
        while len(found_events) < limit and (row := self.db.row(_SQL["archived_next"], swarm_id=swarm_id, after=after)):
            piece = rows.archived_events(row)
            missing = limit - len(found_events)
            found_events += self.archives.read(piece, after=after, limit=missing, session_id=session_id)
            after = piece.last_seq
        if len(found_events) < limit:
            found_events += self._kept(swarm_id, after, limit - len(found_events), session_id)
        return found_events

    def _kept(self, swarm_id: SwarmId, after: int, limit: int, session_id: SessionId | None) -> list[Event]:
        values = {"swarm_id": swarm_id, "after": after, "most": limit}
        if session_id is None:
            return [rows.event(row) for row in self.db.rows(_SQL["events"], **values)]
        return [rows.event(row) for row in self.db.rows(_SQL["events_of_session"], session_id=session_id, **values)]

    def last_seq(self, swarm_id: SwarmId) -> int:
        return self._end(swarm_id)[0]

    def _end(self, swarm_id: SwarmId) -> tuple[int, str]:
        """The number and the hash of the last event, wherever it is."""
        last = self.db.row(_SQL["last"], swarm_id=swarm_id) or self._archived_end(swarm_id)
        return (last["seq"], last["hash"]) if last else (0, GENESIS)

    def _archived_end(self, swarm_id: SwarmId) -> Row | None:
        return self.db.row(_SQL["archived_last"], swarm_id=swarm_id)

    def archived(self, swarm_id: SwarmId) -> list[ArchivedEvents]:
        return [rows.archived_events(row) for row in self.db.rows(_SQL["archived"], swarm_id=swarm_id)]

    def archive_fault(self, archived: ArchivedEvents) -> str | None:
        return self.archives.fault(archived)

    def logged_swarms(self) -> list[SwarmId]:
        return [row["id"] for row in self.db.rows(_SQL["logged_swarms"])]

    def logs(self) -> list[SwarmLog]:
        return [rows.swarm_log(row) for row in self.db.rows(_SQL["logs"])]

    def unanchored(self, limit: int) -> list[Head]:
        found_rows = self.db.rows(_SQL["unanchored"], most=limit)
        return [Head(row["swarm_id"], row["seq"], row["hash"]) for row in found_rows]

    def anchors(self, *, after: int = 0, limit: int = 1000) -> list[Anchor]:
        return [rows.anchor(row) for row in self.db.rows(_SQL["anchors"], after=after, most=limit)]

    def last_anchor(self) -> Anchor | None:
        row = self.db.row(_SQL["last_anchor"])
        return None if row is None else rows.anchor(row)

    def last_event_at(self, session_id: SessionId) -> datetime | None:
        row = self.db.row(_SQL["last_of_session"], session_id=session_id)
        return None if row is None else datetime.fromisoformat(row["at"])

    def blob(self, key: str) -> bytes | None:
        row = self.db.row(_SQL["blob"], key=key)
        return None if row is None else bytes(row["data"])


class EventWrites(EventReads):
    def append(self, swarm_id: SwarmId, *events: NewEvent) -> list[Event]:
        found(self.db.row(_SQL["swarm"], swarm_id=swarm_id), "swarm", swarm_id)
        seq, previous = self._end(swarm_id)
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
        self.db.post(_SQL["append"], written)
        self.touched.add(swarm_id)
        return [rows.event(each) for each in written]

    def archive_events(self, archived: ArchivedEvents) -> None:
        end = self._archived_end(archived.swarm_id)
        here = self.db.row(_SQL["hash_at"], swarm_id=archived.swarm_id, seq=archived.last_seq)
        if archived.first_seq != (end["seq"] if end else 0) + 1 or here is None or here["hash"] != archived.last_hash:
            raise ConflictError("these events were archived meanwhile", where=archived.swarm_id)
        values = {"swarm_id": archived.swarm_id, "last_seq": archived.last_seq}
        self.db.change(
            _SQL["insert_archived"],
            first_seq=archived.first_seq,
            last_hash=archived.last_hash,
            file=archived.file,
            sha256=archived.sha256,
            archived_at=self.now(),
            **values,
        )
        if self.db.change(_SQL["delete_archived"], **values) != archived.events:
            raise ConflictError("there are other events than those in the file", where=archived.swarm_id)
        self.touched.add(archived.swarm_id)

    def append_anchor(self, anchor: Anchor) -> None:
        last = self.last_anchor()
        if (last.hash if last else GENESIS) != said(anchor).previous:
            raise ConflictError("somebody else has made this anchor", where=f"anchor {anchor.number}")
        self.db.change(
            _SQL["insert_anchor"], number=anchor.number, statement=anchor.statement, signature=anchor.signature
        )
        heads = said(anchor).heads
        self.db.change_many(_SQL["put_anchored"], [{"swarm_id": head.swarm_id, "seq": head.seq} for head in heads])

    def put_blob(self, key: str, data: bytes) -> None:
        if len(data) > MAX_BLOB_BYTES:
            raise RejectedError(
                f"a blob of {len(data):,} bytes; at most {MAX_BLOB_BYTES:,} are kept here",
                where=key,
                mend="cut it, or keep it beside the database",
            )
        self.db.change(_SQL["put_blob"], key=key, data=data)
