"""Checks what the log says of itself: every chain, wherever its events lie, against the anchors and the file outside the
database. Read page by page, so that a log of any length takes no more memory and holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from swarmworks.base.ids import SwarmId
from swarmworks.domain.anchor import Anchor, Head, fault, said
from swarmworks.domain.event import GENESIS, ArchivedEvents, Event, first_break
from swarmworks.store.anchor_file import AnchorFile
from swarmworks.store.protocol import Store
from swarmworks.wire.audit import CheckedAnchors, CheckedSwarm, Checking
from swarmworks.wire.eventlog import event_line

PAGE = 2_000
ANCHOR_PAGE = 200
MOST_PROBLEMS = 20


@dataclass(slots=True)
class _Anchors:
    """`heads` of the chains that are asked about, by swarm, in the order they were stated; `reach`: the newest anchored event
    of every swarm.
    """

    count: int = 0
    newest_at: datetime | None = None
    problems: list[str] = field(default_factory=list[str])
    notes: list[str] = field(default_factory=list[str])
    heads: dict[SwarmId, list[Head]] = field(default_factory=lambda: defaultdict(list))
    reach: dict[SwarmId, int] = field(default_factory=dict[SwarmId, int])


@dataclass(slots=True)
class _Chain:
    """How far the chain of a swarm was followed."""

    swarm_id: SwarmId
    heads: list[Head]
    seq: int = 0
    hash: str = GENESIS
    anchored: int = 0
    problems: list[str] = field(default_factory=list[str])


class Verifying:
    """`keys` by their ids: those that may have signed."""

    def __init__(self, store: Store, keys: Mapping[str, bytes], file: AnchorFile) -> None:
        self._store, self._keys, self._file = store, keys, file

    async def swarms(self, swarm_id: SwarmId | None) -> list[SwarmId]:
        """The one that is named, or all. NotFoundError when there is none of that name."""
        if swarm_id is None:
            return await self._store.read(lambda reader: reader.logged_swarms())
        return [await self._store.read(lambda reader: reader.swarm(swarm_id).id)]

    async def verify(self, swarms: list[SwarmId]) -> AsyncIterator[CheckedAnchors | CheckedSwarm | Checking]:
        anchors = await self._anchors(frozenset(swarms))
        anchors.problems += await self._removed(anchors.reach)
        yield CheckedAnchors(
            anchors=anchors.count,
            newest_at=anchors.newest_at,
            problems=tuple(anchors.problems[:MOST_PROBLEMS]),
            notes=tuple(anchors.notes),
        )
        for swarm_id in swarms:
            heads = sorted(anchors.heads.pop(swarm_id, []), key=lambda head: head.seq)
            async for line in self._chain(_Chain(swarm_id, heads)):
                yield line

    async def export(self, swarms: list[SwarmId], since: datetime | None) -> AsyncIterator[str]:
        """The events as lines of JSON, swarm after swarm, each in its own order; `since` leaves out older ones."""
        for swarm_id in swarms:
            after = 0
            while page := await self._page(swarm_id, after, PAGE):
                after = page[-1].seq
                yield "".join(f"{event_line(event)}\n" for event in page if since is None or event.at >= since)

    async def _page(self, swarm_id: SwarmId, after: int, limit: int) -> list[Event]:
        return await self._store.read(lambda reader: reader.events(swarm_id, after=after, limit=limit))

    async def _anchors(self, swarms: frozenset[SwarmId]) -> _Anchors:
        found, previous = _Anchors(), None
        outside = await self._outside(found)
        held = max(outside, default=0)
        while page := await self._anchor_page(previous):
            for anchor in page:
                wrong = fault(anchor, previous, self._keys)
                if wrong is None:
                    self._believe(found, anchor, swarms)
                else:
                    found.problems.append(f"anchor {anchor.number}: {wrong}")
                elsewhere = outside.pop(anchor.number, None)
                if elsewhere is not None and elsewhere != anchor.hash:
                    found.problems.append(f"anchor {anchor.number} is not the one in {self._file.path}")
                elif elsewhere is None and anchor.number <= held:
                    found.problems.append(f"anchor {anchor.number} is missing in {self._file.path}")
                previous = anchor
        found.problems += [
            f"the database lacks anchor {number}, which {self._file.path} holds" for number in sorted(outside)
        ]
        if previous is not None and previous.number > held:
            found.notes.append(f"{self._file.path} holds anchors up to {held} of {previous.number}")
        return found

    async def _outside(self, found: _Anchors) -> dict[int, str]:
        """The hashes of the anchors in the file. Of several under one number the first counts: where a file can only be
        appended to, it is the one that nobody could change.
        """
        content = await asyncio.to_thread(self._file.read)
        outside: dict[int, str] = {}
        twice: set[int] = set()
        for anchor in content.anchors:
            if outside.setdefault(anchor.number, anchor.hash) != anchor.hash:
                twice.add(anchor.number)
        found.problems += [f"{self._file.path} holds different anchors {number}" for number in sorted(twice)]
        if content.strange:
            found.problems.append(f"{self._file.path} holds a line that is no anchor: line {content.strange[0]}")
        if content.torn:
            found.notes.append(f"{self._file.path} holds a line that was left half-written: line {content.torn[0]}")
        return outside

    async def _removed(self, reach: Mapping[SwarmId, int]) -> list[str]:
        """Read after the anchors, so that no swarm that begins meanwhile is taken for a missing one."""
        present = frozenset(await self._store.read(lambda reader: reader.logged_swarms()))
        return [
            f"swarm {swarm_id} is missing: its events 1-{seq} were anchored"
            for swarm_id, seq in sorted(reach.items())
            if swarm_id not in present
        ]

    async def _anchor_page(self, previous: Anchor | None) -> list[Anchor]:
        after = 0 if previous is None else previous.number
        return await self._store.read(lambda reader: reader.anchors(after=after, limit=ANCHOR_PAGE))

    @staticmethod
    def _believe(found: _Anchors, anchor: Anchor, swarms: frozenset[SwarmId]) -> None:
        told = said(anchor)
        found.count += 1
        found.newest_at = told.at
        for head in told.heads:
            found.reach[head.swarm_id] = max(head.seq, found.reach.get(head.swarm_id, 0))
            if head.swarm_id in swarms:
                found.heads[head.swarm_id].append(head)

    async def _chain(self, chain: _Chain) -> AsyncIterator[CheckedSwarm | Checking]:
        pieces = await self._store.read(lambda reader: reader.archived(chain.swarm_id))
        unreadable: dict[int, ArchivedEvents] = {}
        for piece in pieces:
            wrong = await self._store.read(lambda reader, piece=piece: reader.archive_fault(piece))
            if wrong is not None:
                chain.problems.append(f"events {piece.first_seq}-{piece.last_seq}: {wrong}")
                unreadable[piece.first_seq] = piece
        broken = False
        while not broken:
            if (piece := unreadable.pop(chain.seq + 1, None)) is not None:
                chain.seq, chain.hash = piece.last_seq, piece.last_hash
                continue
            limit = min([PAGE, *(first - chain.seq - 1 for first in unreadable if first > chain.seq)])
            page = await self._page(chain.swarm_id, chain.seq, limit)
            if not page:
                break
            broken = _follow(chain, page)
            yield Checking(swarm_id=chain.swarm_id, events=chain.seq)
        if not broken:
            _missing(chain)
        yield CheckedSwarm(
            swarm_id=chain.swarm_id,
            events=chain.seq,
            archived=sum(piece.events for piece in pieces),
            anchored=chain.anchored,
            problems=tuple(chain.problems[:MOST_PROBLEMS]),
        )


def _follow(chain: _Chain, page: list[Event]) -> bool:
    """Whether the chain breaks in this page."""
    broken = first_break(page, seq=chain.seq, previous=chain.hash)
    if broken is not None:
        chain.problems.append(f"the chain breaks at event {broken}: it, or one before it, is not what was written")
        return True
    hashes = {event.seq: event.hash for event in page}
    while chain.heads and chain.heads[0].seq <= page[-1].seq:
        head = chain.heads.pop(0)
        here = hashes.get(head.seq)
        if here == head.hash:
            chain.anchored = head.seq
        elif here is not None:
            chain.problems.append(f"event {head.seq} is not the one that was anchored: the chain was written anew")
    chain.seq, chain.hash = page[-1].seq, page[-1].hash
    return False


def _missing(chain: _Chain) -> None:
    stated = max((head.seq for head in chain.heads), default=0)
    if stated > chain.seq:
        chain.problems.append(f"events {chain.seq + 1}-{stated} are missing: they were anchored")
