"""That a provider's account stopped answering, or answers again, on the record of every swarm that is open."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from swarmworks.base.errors import UnavailableError
from swarmworks.domain.event import NewEvent
from swarmworks.domain.swarm import OPEN

if TYPE_CHECKING:
    from swarmworks.service.gateway.lanes import AccountChange
    from swarmworks.store.protocol import Store, Tx

_log = logging.getLogger(__name__)
PLATFORM = "platform"


class Announcing:
    """Call it with each change; it is written soon, in order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._under_way: asyncio.Task[None] | None = None
        self._due: list[AccountChange] = []

    def __call__(self, change: AccountChange) -> None:
        self._due.append(change)
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._write_all())

    async def close(self) -> None:
        if self._under_way is not None:
            await self._under_way

    async def _write_all(self) -> None:
        while self._due:
            change = self._due.pop(0)
            try:
                await self._store.transact(lambda tx, one=change: _write(tx, one))
            except UnavailableError as error:
                _log.warning("that %s changed is not on record: %s", change.account, error)


def _write(tx: Tx, change: AccountChange) -> None:
    data: dict[str, object] = {"account": change.account, "model": change.model}
    if change.outage is not None:
        data |= {"reason": str(change.outage), "wait_s": round(change.wait_s)}
    kind = "provider.answers" if change.outage is None else "provider.unavailable"
    for swarm in tx.swarms(states=OPEN):
        tx.append(swarm.id, NewEvent(kind, PLATFORM, data))
