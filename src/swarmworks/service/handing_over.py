"""From a session whose model's window is full to a fresh one: asked to hand over, and its successor's word held to the record.

The old session ends with its summary before the fresh one begins: two of them at once on one task would be two writers. What
keeps the task safe if the fresh one does not understand it is the record, from which another one begins in full.
"""

from __future__ import annotations

from collections.abc import Sequence

from swarmworks.base.errors import RejectedError
from swarmworks.domain.event import NewEvent
from swarmworks.domain.question import PLATFORM
from swarmworks.domain.session import Session
from swarmworks.policy.context import MOST_TRIES, misunderstood
from swarmworks.policy.wording import plain
from swarmworks.store.protocol import Reader, Store, Tx

MOST_LEFT = 1_000


class HandingOver:
    def __init__(self, store: Store) -> None:
        self._store = store

    async def asked(self, session: Session) -> bool:
        """Whether the session was asked to hand over."""
        return await self._store.read(lambda reader: asked_to_hand_over(reader, session))

    async def pending(self, session: Session) -> bool:
        """Whether the session has still to take over from the one before it."""
        return await self._store.read(lambda reader: reader.takeover_pending(session.id))

    async def take_over(self, session: Session, task: str, owns: Sequence[str], left: str) -> None:
        """RejectedError, in words for the agent, when that is not what the record says. After MOST_TRIES the session is stopped."""

        def write(tx: Tx) -> list[str]:
            if not tx.takeover_pending(session.id):
                return []
            planned = tx.task(session.swarm_id, session.task_id).planned
            problems = misunderstood(session.task_id, planned.owns, task, owns, left)
            tries = tx.try_takeover(session.id, accepted=not problems)
            if problems and tries > MOST_TRIES:
                return problems  # it is being stopped, and on record with why
            actor = f"agent:{session.agent_id.rpartition('/')[2]}"
            data: dict[str, object] = {"left": plain(left, MOST_LEFT), "problems": problems}
            kind = "session.misunderstood" if problems else "session.took_over"
            tx.append(session.swarm_id, NewEvent(kind, actor, data, session.task_id, session.id))
            if problems and tries >= MOST_TRIES:
                reason = f"it did not take its task over: {'; '.join(problems)}"
                tx.stop_session(session.id, reason)
                told = {"reason": reason}
                tx.append(session.swarm_id, NewEvent("session.stopping", PLATFORM, told, session.task_id, session.id))
            return problems

        problems = await self._store.transact(write)
        if problems:
            raise RejectedError(
                f"that is not what the record says: {'; '.join(problems)}. The tool task has the record."
            )


def asked_to_hand_over(reader: Reader, session: Session) -> bool:
    return any(message.sender == PLATFORM for message in reader.messages(session.id))
