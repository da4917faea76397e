"""Which replica does which chore: one does it at a time, and another takes over when that one is gone.

For economy only. Every chore stays safe to run twice, so a replica may believe for a while that a chore is still its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from swarmworks.base.ids import ReplicaId
from swarmworks.store.protocol import Store


class Electing:
    """What is known of the others' chores stays true until one of them is gone: nothing is asked meanwhile."""

    def __init__(self, store: Store, me: ReplicaId) -> None:
        self._store = store
        self._me = me
        self._holders: dict[str, ReplicaId] = {}
        self._listeners: list[Callable[[], None]] = []

    async def elected(self, subject: str) -> bool:
        holder = self._holders.get(subject)
        if holder is None:
            holder = await self._store.transact(lambda tx: tx.take_chore(subject, self._me))
            self._holders[subject] = holder
        return holder == self._me

    def guarded(self, subject: str, once: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        """`once`, by the replica that was elected; the others have nothing to do."""

        async def when_elected() -> bool:
            return await self.elected(subject) and await once()

        return when_elected

    def listen(self, listener: Callable[[], None]) -> None:
        """`listener` is called when a chore may be free."""
        self._listeners.append(listener)

    def living(self, ids: frozenset[str]) -> None:
        gone = [subject for subject, holder in self._holders.items() if holder not in {*ids, self._me}]
        for subject in gone:
            del self._holders[subject]
        if gone:
            for listener in self._listeners:
                listener()
