"""Mail from agent to agent: only where `[mail] allow` has the pair of their roles, bounded, kept, and on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmworks.base.errors import LimitReachedError, RejectedError
from swarmworks.base.ids import IdSource, MessageId
from swarmworks.domain.agent import Agent
from swarmworks.domain.event import NewEvent
from swarmworks.domain.mail import EVERYBODY, Mail
from swarmworks.domain.session import Session
from swarmworks.policy.redact import redact
from swarmworks.policy.wording import plain
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire.config_mail import MailSection
from swarmworks.wire.options import from_json

MOST_CHARS = 2_000
MOST_SENT = 50
"""Of one session; one to several agents counts for each."""
MOST_UNREAD = 100
"""That wait for one agent."""
MOST_READ = 10
"""At once."""


@dataclass(frozen=True, slots=True)
class Read:
    """`left`: how many more wait."""

    mails: tuple[Mail, ...]
    left: int


class Mailing:
    def __init__(self, store: Store, ids: IdSource) -> None:
        self._store = store
        self._ids = ids

    async def offered(self, session: Session) -> bool:
        """Whether the session's agent may write to anybody, or anybody to it."""

        def look(reader: Reader) -> bool:
            return _rules(reader, session).concerns(_me(reader, session).role)

        return await self._store.read(look)

    async def waiting(self, session: Session) -> int:
        return await self._store.read(lambda reader: reader.unread_mail(session.swarm_id, session.agent_id))

    async def send(self, session: Session, to: str, text: str) -> tuple[str, ...]:
        """`to` is an agent's name, a role, or `all`; the names of those it went to, without those who have too many waiting.
        RejectedError when the sender may not write to anybody of that name, LimitReachedError when too many were sent or wait.
        """

        def write(tx: Tx) -> tuple[str, ...]:
            me, meant = _me(tx, session), _meant(tx, session, to)
            open_to = [one for one in meant if tx.unread_mail(session.swarm_id, one.id) < MOST_UNREAD]
            if not open_to:
                raise LimitReachedError(f"{MOST_UNREAD} messages wait for {meant[0].name} already")
            if tx.mail_sent(session.id) + len(open_to) > MOST_SENT:
                raise LimitReachedError(f"a session may send {MOST_SENT} messages, not more")
            words = plain(text.strip(), MOST_CHARS)
            for agent in open_to:
                mail = tx.insert_mail(MessageId(self._ids.new("mai")), session.id, agent.id, words)
                data = {"mail": mail.id, "to": agent.name, "text": redact(words)}
                actor = f"agent:{me.name}"
                tx.append(session.swarm_id, NewEvent("mail.sent", actor, data, session.task_id, session.id))
            return tuple(agent.name for agent in open_to)

        return await self._store.transact(write)

    async def read(self, session: Session) -> Read:
        """The oldest that wait for the session's agent; they count as read."""

        def write(tx: Tx) -> Read:
            mails = tuple(tx.read_mail(session.swarm_id, session.agent_id, MOST_READ))
            if mails:
                data: dict[str, object] = {"mail": [mail.id for mail in mails]}
                actor = f"agent:{_me(tx, session).name}"
                tx.append(session.swarm_id, NewEvent("mail.read", actor, data, session.task_id, session.id))
            return Read(mails, tx.unread_mail(session.swarm_id, session.agent_id))

        return await self._store.transact(write)


def _rules(reader: Reader, session: Session) -> MailSection:
    return from_json(reader.swarm(session.swarm_id).options).config.mail


def _me(reader: Reader, session: Session) -> Agent:
    return reader.agent(session.agent_id)


def _meant(reader: Reader, session: Session, to: str) -> Sequence[Agent]:
    """Of those that take tasks now: who reviews for the platform never does, and whom an earlier swarm had may never again."""
    rules, me = _rules(reader, session), _me(reader, session)
    agents = reader.active_agents(reader.swarm(session.swarm_id).project)
    allowed = [one for one in agents if one.id != me.id and rules.allows(me.role, one.role)]
    meant = [one for one in allowed if to in {one.name, one.role, EVERYBODY}]
    if not meant:
        known = ", ".join(one.name for one in allowed[:20]) or "nobody"
        raise RejectedError(f"you may not write to {to[:80]!r}; you may write to {known}")
    return meant
