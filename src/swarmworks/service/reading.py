"""Reads one file of what a swarm has landed, for who wants the result and has no checkout of it: a plan above all."""

from __future__ import annotations

import asyncio

from swarmworks.base.errors import NotFoundError, RejectedError
from swarmworks.base.ids import SwarmId
from swarmworks.git.protocol import Hub
from swarmworks.store.protocol import Store

MOST_BYTES = 4 << 20


class Reading:
    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub

    async def file(self, swarm_id: SwarmId, path: str) -> bytes:
        """The file as it stands on the integration branch. NotFoundError when nothing of that name landed,
        LimitReachedError when it is larger than MOST_BYTES.
        """
        if not path or path.startswith("/") or any(part in {"", ".", ".."} for part in path.split("/")):
            raise RejectedError(f"{path[:200]!r} is no file of a repository", mend="write it relative to the root")
        swarm = await self._store.read(lambda reader: reader.swarm(swarm_id))
        head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref)
        data = None
        if head is not None:
            data = await asyncio.to_thread(self._hub.read_file, head, path, limit_bytes=MOST_BYTES)
        if data is None:
            raise NotFoundError(f"there is no file {path!r} in what swarm {swarm_id} landed")
        return data
