"""Telling people what needs them: woken by commits, decided by the log, sent outside of any transaction.

A notice and the place in the log up to which was decided are written down together, and the notice is taken off the
ledger only after a channel took it: a crash in between tells it twice, with the same id, and never not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from swarmworks.base.clock import Clock
from swarmworks.base.errors import SwarmworksError
from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.notice import Notice
from swarmworks.domain.swarm import OPEN, SwarmState
from swarmworks.notify.outcomes import Outcome
from swarmworks.notify.protocol import Channel
from swarmworks.policy.telling import Ledger, Rules, Waiting, due_at, escalate, next_due, still_news, take, warned
from swarmworks.service.notifying.looking import PAGE, Page, Place, is_open, nearly_used_up, read_page
from swarmworks.service.notifying.sending import PLATFORM, Sending
from swarmworks.store.protocol import Near, Reader, Store, Tx
from swarmworks.wire.telling import dump, ledger_key, load

log = logging.getLogger(__name__)

CALM_S = 0.2
"""Between two looks at a busy swarm: a person reads no faster, and a look at every commit would be felt."""
BOOKS_EVERY_S = 1.0
REST_S = 60.0
LONGEST_ALARM_S = 3_600.0


class _MovedError(Exception):
    """Somebody else decided meanwhile: it is looked at again."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look brought: notices up to the event `cursor`, the budgets that are nearly used up and of which nobody was
    warned at their present limit, the first event that breaks the chain.
    """

    notices: tuple[Notice, ...]
    cursor: int
    warnings: tuple[Near, ...]
    broken: int | None


class Notifying:
    """`alarm(seconds)` has `once` called after that time; an earlier alarm counts. `channels` by name."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        channels: Sequence[Channel],
        rules: Rules,
        project: str,
        *,
        alarm: Callable[[float], None],
        note: Callable[[str, Outcome], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._channels: Mapping[str, Channel] = {channel.name: channel for channel in channels}
        self._rules = rules
        self._alarm = alarm
        self._sending = Sending(store, clock, rules, project, note)
        self._news: set[SwarmId] = set()
        self._places: dict[SwarmId, Place] = {}
        self._ledgers: dict[SwarmId, Ledger] = {}
        self._books_seen: dict[SwarmId, float] = {}
        self._resting: dict[str, float] = {}
        self._sent = 0
        self._unsure = False
        self._busy: dict[str, asyncio.Task[None]] = {}

    async def begin(self) -> None:
        """At start-up: every swarm whose log goes on beyond what was decided, or for which something is under way."""
        self._news |= set(await self._store.read(_unfinished))
        self._alarm(0.0)

    async def listen(self) -> None:
        """Until cancelled or the store closes: commits are news."""
        async for committed in self._store.commits():
            self._unsure |= committed.unsure
            if committed.swarms or committed.unsure:
                self._news |= set(committed.swarms)
                self._alarm(CALM_S)

    async def once(self) -> bool:
        """The chore. Without news and before the next due time it touches nothing."""
        await self._make_sure()
        now = self._clock.now()
        due = {one for one, ledger in self._ledgers.items() if _reached(next_due(ledger, self._busy), now)}
        news, self._news = self._news, set()
        waiting = sorted(news | due)
        try:
            while waiting:
                if await self._look(waiting[0]):
                    waiting.pop(0)
        finally:
            self._news |= set(waiting)  # an error: they are looked at again
        self._set_alarm()
        return False

    async def _make_sure(self) -> None:
        """Commits may have been missed. A read that fails, as while a database starts, is made again with the next look."""
        if not self._unsure:
            return
        self._unsure = False
        try:
            self._news |= set(await self._store.read(_unfinished))
        except BaseException:
            self._unsure = True
            raise

    async def finish(self, within_s: float) -> None:
        """Before the process ends: what is due is sent, as far as the time allows. The rest is told after the next start."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self.once()
                while self._busy:
                    await asyncio.wait(self._busy.values())
                    await self.once()
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def report_failure(self, why: str) -> None:
        """The control plane cannot go on: on the record of every swarm that is open, so that people are told."""

        def write(tx: Tx) -> list[SwarmId]:
            stranded = [swarm.id for swarm in tx.swarms(states=OPEN)]
            for swarm_id in stranded:
                tx.append(swarm_id, NewEvent("plant.failed", PLATFORM, {"reason": why}))
            return stranded

        self._news |= set(await self._store.transact(write))

    async def _look(self, swarm_id: SwarmId) -> bool:
        """True when there is no more to read of it. The first look of this process begins at the first event, and so checks
        the whole chain.
        """
        start, sent = self._places.get(swarm_id, Place()), self._sent
        at_books = self._books_are_due(swarm_id)

        def read(reader: Reader) -> tuple[bytes | None, Page, tuple[Near, ...]]:
            near = nearly_used_up(reader, swarm_id) if at_books else ()
            return reader.blob(ledger_key(swarm_id)), read_page(reader, swarm_id, start), near

        stored, page, near = await self._store.read(read)
        ledger = load(stored)
        found = Found(
            notices=tuple(notice for notice in page.notices if notice.seq > ledger.cursor),
            cursor=page.end.seq,
            warnings=tuple(each for each in near if ledger.warnings.get(each.account_id) != each.limit),
            broken=page.broken if not ledger.broken else None,
        )
        if self._matters(found, ledger):
            try:
                ledger = await self._store.transact(lambda tx: self._decide(tx, swarm_id, stored, found))
            except _MovedError:
                return False
        if page.broken is not None:
            log.error("the event log of swarm %s is broken at event %d", swarm_id, page.broken)
        self._places[swarm_id] = page.end
        if sent != self._sent:
            return False  # what was read may name as under way what has just been told
        self._ledgers[swarm_id] = ledger
        self._send_due(swarm_id, ledger)
        if not ledger.waiting and not ledger.unanswered:
            del self._ledgers[swarm_id]
        return not page.full

    def _books_are_due(self, swarm_id: SwarmId) -> bool:
        """The books are summed up once a second at most; the last spending of a burst is looked at a little later."""
        now = self._clock.monotonic()
        if now - self._books_seen.get(swarm_id, -BOOKS_EVERY_S) >= BOOKS_EVERY_S:
            self._books_seen[swarm_id] = now
            return True
        self._news.add(swarm_id)
        self._alarm(BOOKS_EVERY_S)
        return False

    def _matters(self, found: Found, ledger: Ledger) -> bool:
        now = self._clock.now()
        late = any(one.due <= now for one in ledger.unanswered)
        orphaned = any(one.channel not in self._channels for one in ledger.waiting)
        far = found.cursor - ledger.cursor >= PAGE
        return bool(found.notices or found.warnings or found.broken or late or orphaned or far)

    def _decide(self, tx: Tx, swarm_id: SwarmId, stored: bytes | None, found: Found) -> Ledger:
        """On the condition that nobody decided meanwhile. Events written here are read by the next look."""
        if tx.blob(ledger_key(swarm_id)) != stored:
            raise _MovedError
        now = self._clock.now()
        ledger = load(stored)
        news = [one for one in found.notices if still_news(one, now, is_open=is_open(tx, swarm_id, one.item))]
        ledger = take(ledger, news, max(found.cursor, ledger.cursor), self._rules, now)
        ledger = escalate(ledger, self._rules, now, lambda notice: is_open(tx, swarm_id, notice.item))
        for near in found.warnings:
            ledger = warned(ledger, near.account_id, near.limit)
            data = {"percent": near.percent, "of": str(near.kind), "subject": near.subject}
            tx.append(swarm_id, NewEvent("budget.warning", PLATFORM, data))
        if found.broken is not None:
            ledger = replace(ledger, broken=True)
            tx.append(swarm_id, NewEvent("chain.broken", PLATFORM, {"first": found.broken}))
        tx.put_blob(ledger_key(swarm_id), dump(ledger))
        return ledger

    def _send_due(self, swarm_id: SwarmId, ledger: Ledger) -> None:
        """Each channel in a task of its own, one dispatch at a time: a slow one holds up no other."""
        now = self._clock.now()
        for name, channel in self._channels.items():
            waiting = due_at(ledger, name, now)
            if waiting and name not in self._occupied():
                left_out = ledger.left_out.get(name, 0)
                self._busy[name] = asyncio.create_task(self._send(swarm_id, channel, waiting, left_out))

    async def _send(self, swarm_id: SwarmId, channel: Channel, waiting: Sequence[Waiting], left_out: int) -> None:
        pause_s = 0.0
        try:
            await self._sending.send(swarm_id, channel, waiting, left_out)
        except SwarmworksError:  # what was told could not be written down: not told again and again meanwhile
            log.exception("a notice through %s is not on record", channel.name)
            pause_s = REST_S
            self._resting[channel.name] = self._clock.monotonic() + REST_S
        finally:
            del self._busy[channel.name]
            self._sent += 1
            self._news.add(swarm_id)
            self._alarm(pause_s)

    def _occupied(self) -> frozenset[str]:
        now = self._clock.monotonic()
        self._resting = {name: until for name, until in self._resting.items() if until > now}
        return frozenset({*self._busy, *self._resting})

    def _set_alarm(self) -> None:
        occupied = self._occupied()
        times = [next_due(ledger, occupied) for ledger in self._ledgers.values()]
        first = min((time for time in times if time is not None), default=None)
        if first is not None:
            left_s = (first - self._clock.now()).total_seconds()
            self._alarm(min(max(left_s, 0.0), LONGEST_ALARM_S))


def _reached(time: datetime | None, now: datetime) -> bool:
    return time is not None and time <= now


def _unfinished(reader: Reader) -> list[SwarmId]:
    """What landed and was told of is not looked at again."""
    found: list[SwarmId] = []
    for swarm in reader.swarms():
        ledger = load(reader.blob(ledger_key(swarm.id)))
        told = ledger.cursor >= reader.last_seq(swarm.id) and not ledger.waiting and not ledger.unanswered
        if swarm.state is not SwarmState.LANDED or not told:
            found.append(swarm.id)
    return found
