"""The chore that moves the events of swarms long ended from the database to archive files, where every reader finds them."""

from __future__ import annotations

import asyncio
import logging

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import SwarmLog
from swarmworks.policy.retention import Retention, due
from swarmworks.store.archive import MOST_EVENTS, Archives
from swarmworks.store.protocol import Store

log = logging.getLogger(__name__)


class Archiving:
    """`archives` is where the store reads archived events from."""

    def __init__(self, store: Store, clock: Clock, archives: Archives, retention: Retention) -> None:
        self._store, self._clock, self._archives, self._retention = store, clock, archives, retention

    async def once(self) -> bool:
        """Safe to end anywhere and in several control planes at once: a row goes with the record of the file it is in."""
        logs = {one.swarm_id: one for one in await self._store.read(lambda reader: reader.logs())}
        for swarm_id in due(list(logs.values()), self._clock.now(), self._retention):
            await self._archive(swarm_id, logs[swarm_id])
        return False

    async def _archive(self, swarm_id: SwarmId, found: SwarmLog) -> None:
        """What no anchor confirms yet waits: no anchor is made of what has left the database."""
        first, last = found.first_seq, min(found.last_seq, found.anchored_seq)
        after = first - 1
        while after < last:
            limit = min(MOST_EVENTS, last - after)
            events = await self._store.read(
                lambda reader, after=after, limit=limit: reader.events(swarm_id, after=after, limit=limit)
            )
            try:
                piece = await asyncio.to_thread(self._archives.write, events)
                await self._store.transact(lambda tx, piece=piece: tx.archive_events(piece))
            except ValueError as error:
                log.error("not archived: %s; see swarm audit verify", error)  # noqa: TRY400 - the words say it all
                return
            except ConflictError:
                return  # another control plane is at it
            after = piece.last_seq
        if after >= first:
            log.info("%d events of swarm %s were moved to the archive", after - first + 1, swarm_id)
