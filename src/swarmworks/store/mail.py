"""Mail between agents: kept until it is read, and after."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.domain.session import SessionState
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from swarmworks.base.ids import AgentId, MessageId, SessionId, SwarmId
    from swarmworks.domain.mail import Mail

_SQL = load("mail")
_PEOPLE_SQL = load("people")


class MailReads(Scope):
    def unread_mail(self, swarm_id: SwarmId, recipient: AgentId) -> int:
        row = self.db.row(_SQL["count_unread"], swarm_id=swarm_id, recipient=recipient)
        return 0 if row is None else int(row["unread"])

    def mail_sent(self, session_id: SessionId) -> int:
        row = self.db.row(_SQL["count_sent"], session_id=session_id)
        return 0 if row is None else int(row["sent"])


class MailWrites(MailReads):
    def insert_mail(self, mail_id: MessageId, session_id: SessionId, recipient: AgentId, text: str) -> Mail:
        session = found(self.db.row(_PEOPLE_SQL["asking_session"], id=session_id), "session", session_id)
        if session["state"] == SessionState.ENDED:
            raise ConflictError("the session has ended", where=session_id)
        self.db.change(
            _SQL["insert_mail"],
            id=mail_id,
            swarm_id=session["swarm_id"],
            session_id=session_id,
            recipient=recipient,
            text=text,
            sent_at=self.now(),
        )
        self.touched.add(session["swarm_id"])
        return rows.mail(found(self.db.row(_SQL["mail"], id=mail_id), "mail", mail_id))

    def read_mail(self, swarm_id: SwarmId, recipient: AgentId, most: int) -> list[Mail]:
        waiting = self.db.rows(_SQL["unread"], swarm_id=swarm_id, recipient=recipient, most=most)
        if not waiting:
            return []
        at = self.now()
        self.db.change(_SQL["mark_read"], ids=tuple(row["id"] for row in waiting), read_at=at)
        self.touched.add(swarm_id)
        return [replace(rows.mail(row), read_at=datetime.fromisoformat(at)) for row in waiting]
