"""This control plane among its replicas: it is in the list as long as it beats, and watches that the others do.

Fail-stop: whoever finds itself struck off the list has been given up. Its model calls are charged, its chores are done by
others; it ends, and comes back only as a new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from swarmworks.base.clock import Clock
from swarmworks.base.errors import FenceLostError, UnavailableError
from swarmworks.base.ids import ReplicaId
from swarmworks.domain.budget import Reservation
from swarmworks.policy.silence import Sign, Silence
from swarmworks.store.protocol import ReplicaRow, Store, Tx

log = logging.getLogger(__name__)

BEATS_PER_TTL = 4
LONE_BEATS_PER_TTL = 3
"""While no other is in the list. Whoever enters it looks for a whole TTL before it takes a silence for a death."""
LOOKS_PER_TTL = 3
CLOSE_S = 2
DRAIN_S = 25
MOST_UNWRITTEN_S = 20.0


class Replicas:
    """`alone`: no other process can have the database open, so whoever else is in the list is dead. `lost` is called once,
    with the reason, when this one was given up.
    """

    def __init__(self, store: Store, clock: Clock, me: ReplicaRow, *, alone: bool, lost: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._lost = lost
        self._silence: Silence[ReplicaId] = Silence(me.ttl_s / 2)
        self._living: tuple[ReplicaRow, ...] = ()
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self.me = me
        self.alone = alone
        self.leaving = False
        self.given_up = False

    def listen(self, listener: Callable[[frozenset[str]], None]) -> None:
        """`listener` is told the ids of the living after every look."""
        self._listeners.append(listener)

    def living(self) -> tuple[ReplicaRow, ...]:
        """As of the last look, the oldest first. Without this one when it is about to end: nobody should come any more."""
        return tuple(one for one in self._living if not (self.leaving and one.id == self.me.id))

    @property
    def others(self) -> bool:
        return any(one.id != self.me.id for one in self._living)

    @property
    def grace_s(self) -> int:
        """How long requests under way may take at the end: when others go on with the sessions, model calls are worth it."""
        return DRAIN_S if self.others and not self.given_up else CLOSE_S

    async def enter(self) -> None:
        """From now on this one is a replica. What dead ones left under way is charged in full."""

        def write(tx: Tx) -> list[Reservation]:
            if self.alone:
                for dead in tx.replicas():
                    tx.remove_replica(dead.id)
            tx.register_replica(self.me)
            return tx.recover_reservations()

        _note_charged(await self._store.transact(write))
        self._living = tuple(await self._store.read(lambda reader: reader.replicas()))

    async def leave(self) -> None:
        """At the orderly end, when nothing is under way any more. A database that is away finds out by the silence."""
        try:
            _note_charged(await self._store.transact(lambda tx: tx.remove_replica(self.me.id)))
        except UnavailableError as error:
            log.warning("%s could not be struck off the list of replicas: %s", self.me.name, error)

    async def beat(self) -> None:
        """Until cancelled, or given up. Never slower after a failure: a late beat is taken for a death. A database that takes
        no write for MOST_UNWRITTEN_S, because its disk is full, is no plant to work in: that is said, and this one ends.
        """
        written = self._clock.monotonic()
        while True:
            beats = BEATS_PER_TTL
            try:
                await self._store.transact(lambda tx: tx.beat_replica(self.me.id))
                written = self._clock.monotonic()
                beats = BEATS_PER_TTL if self.others else LONE_BEATS_PER_TTL
            except FenceLostError:
                self._give_up()
                return
            except UnavailableError as error:
                log.warning("no beat of this replica: %s", error)
                if self._clock.monotonic() - written >= MOST_UNWRITTEN_S:
                    self._lost(f"nothing could be written for {MOST_UNWRITTEN_S:g} s: {error}")
                    return
            await asyncio.sleep(self.me.ttl_s / beats)

    async def watch(self) -> bool:
        """The chore: strike off those that did not beat for a TTL. True when one was."""
        began = self._clock.monotonic()
        rows = await self._store.read(lambda reader: reader.replicas())
        signs = {one.id: Sign(one.beats, one.ttl_s) for one in rows if one.id != self.me.id}
        silent = self._silence.look(began, self._clock.monotonic(), signs)
        for one in rows:
            if one.id in silent:
                await self._expire(one)
        self._living = tuple(one for one in rows if one.id not in silent)
        for listener in self._listeners:
            listener(frozenset(one.id for one in self._living))
        return bool(silent)

    async def charge_orphans(self) -> bool:
        """The chore: calls that a replica opened after it had been struck off, unknowingly, are nobody's to settle."""
        if await self._store.read(lambda reader: reader.orphaned_reservations()):
            _note_charged(await self._store.transact(lambda tx: tx.recover_reservations()))
        return False

    async def _expire(self, silent: ReplicaRow) -> None:
        charged = await self._store.transact(lambda tx: tx.expire_replica(silent.id, silent.beats))
        if charged is not None:
            log.warning("replica %s (%s) is gone: no beat for %g s", silent.id, silent.name, silent.ttl_s)
            _note_charged(charged)

    def _give_up(self) -> None:
        self.given_up = True
        if not self.leaving:
            self._lost(
                f"this control plane ({self.me.name}) was given up by the others: nothing was heard of it for "
                f"{self.me.ttl_s:g} s; they go on with its work, and it can be started again"
            )


def _note_charged(charged: list[Reservation]) -> None:
    if charged:
        log.info("%d model calls were under way when their control plane ended: charged in full", len(charged))
