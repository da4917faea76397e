"""The chore that signs where the chains of events stand, in the database and in a file outside it. Asks nothing of anybody,
and writes nothing while no chain grows.
"""

from __future__ import annotations

import asyncio
import logging

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError
from swarmworks.domain.anchor import sign
from swarmworks.store.anchor_file import AnchorFile
from swarmworks.store.protocol import Store

log = logging.getLogger(__name__)

MOST_HEADS = 1_000
PAGE = 500


class Anchoring:
    """`key` signs."""

    def __init__(self, store: Store, clock: Clock, key: bytes, file: AnchorFile) -> None:
        self._store, self._clock, self._key, self._file = store, clock, key, file

    async def once(self) -> bool:
        """Whether there is more to anchor. Safe in several control planes at once: only one anchor follows another."""
        heads, last = await self._store.read(lambda reader: (reader.unanchored(MOST_HEADS), reader.last_anchor()))
        if heads:
            anchor = sign(self._key, last, self._clock.now(), heads)
            try:
                await self._store.transact(lambda tx: tx.append_anchor(anchor))
            except ConflictError:
                return True  # another control plane was faster; what it left out is anchored next
        await self._copy(made=len(heads) > 0)
        return len(heads) == MOST_HEADS

    async def _copy(self, *, made: bool) -> None:
        """What the file lacks: the anchor just made, and those that a crash kept from it."""
        held = await asyncio.to_thread(self._file.last_number)
        page = await self._store.read(lambda reader: reader.anchors(after=held, limit=PAGE))
        while page:
            await asyncio.to_thread(self._file.append, page)
            after = page[-1].number
            page = await self._store.read(lambda reader, after=after: reader.anchors(after=after, limit=PAGE))
            made = False
        if made:
            log.error("%s holds anchors that the database lacks: see swarm audit verify", self._file.path)
