"""Keeping the project's hub in order: one chore, done by one control plane, and while work is under way only
what cannot wait.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path

from swarmworks.base.clock import Clock
from swarmworks.domain.lease import WorkState
from swarmworks.domain.swarm import SwarmState
from swarmworks.git.hub import BareHub
from swarmworks.git.upkeep import borrowed, count, join, last_full, pack, tidy
from swarmworks.policy.upkeep import FULL_EVERY, RETENTION, HubFacts, Upkeep, due
from swarmworks.store.protocol import Reader, Store

log = logging.getLogger(__name__)

KINDS = ("work", "pin", "candidate")


class HubUpkeep:
    """`copies`: where working copies of this machine lie."""

    def __init__(self, store: Store, hub: BareHub, clock: Clock, copies: Callable[[], Iterable[Path]]) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._copies = copies

    async def once(self) -> bool:
        """The chore. Never more to do at once."""
        busy = await self._store.read(_busy)
        loose, packs = await asyncio.to_thread(count, self._hub.path)
        since = timedelta(seconds=self._clock.now().timestamp() - last_full(self._hub.path))
        over = await self._over() if since >= FULL_EVERY and not busy else []
        match due(HubFacts(loose, packs, busy, since, len(over))):
            case Upkeep.PACK:
                await asyncio.to_thread(pack, self._hub)
            case Upkeep.JOIN:
                await asyncio.to_thread(join, self._hub)
            case Upkeep.FULL:
                await self._full(over)
            case Upkeep.NOTHING:
                pass
        return False

    async def _over(self) -> list[str]:
        before = self._clock.now() - RETENTION
        over = await self._store.read(lambda reader: _over(reader, before))
        return [ref for ref in await asyncio.to_thread(self._hub.refs, "refs/swarm/") if _subject(ref) in over]

    async def _full(self, refs: list[str]) -> None:
        needed = await asyncio.to_thread(borrowed, self._copies())
        if await asyncio.to_thread(tidy, self._hub, refs, needed, RETENTION):
            log.info("the hub is in order again; %d references of swarms that landed were dropped", len(refs))


def _busy(reader: Reader) -> bool:
    return bool(reader.works(states=(WorkState.QUEUED, WorkState.LEASED)) or reader.open_intents())


def _over(reader: Reader, before: datetime) -> set[str]:
    """The swarms that landed before that, and their changes. One that was stopped or is blocked may go on at any time."""
    over: set[str] = set()
    for swarm in reader.swarms(states=(SwarmState.LANDED,)):
        if swarm.ended_at is not None and swarm.ended_at < before:
            over |= {swarm.id, *(change.id for change in reader.changes(swarm.id))}
    return over


def _subject(ref: str) -> str:
    """The swarm whose work a reference holds, or the change it was made for."""
    parts = ref.removeprefix("refs/swarm/").split("/")
    return parts[1] if parts[0] in KINDS and len(parts) > 1 else ""
