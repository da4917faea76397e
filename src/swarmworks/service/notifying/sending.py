"""One dispatch through one channel, and what is written of it: after the sending, so that a crash sends twice, never not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from swarmworks.base.clock import Clock
from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import NewEvent
from swarmworks.notify.outcomes import Outcome
from swarmworks.notify.protocol import MOST_IN_A_DIGEST, Channel, Dispatch, NotToldError
from swarmworks.policy.notices import NOT_TOLD
from swarmworks.policy.telling import Ledger, Rules, Waiting, done, failed, given_up, present, put_off, took
from swarmworks.policy.wording import plain
from swarmworks.service.notifying.looking import is_open
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire.telling import dump, ledger_key, load

log = logging.getLogger(__name__)

MOST_REASON = 500
PLATFORM = "platform"


class Sending:
    """`note` is told how each dispatch went."""

    def __init__(
        self, store: Store, clock: Clock, rules: Rules, project: str, note: Callable[[str, Outcome], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._rules = rules
        self._project = project
        self._note = note

    async def send(self, swarm_id: SwarmId, channel: Channel, waiting: Sequence[Waiting], left_out: int) -> None:
        """What was answered meanwhile is not told any more."""

        def unanswered(reader: Reader) -> list[Waiting]:
            return [w for w in waiting if w.notice.item is None or is_open(reader, swarm_id, w.notice.item)]

        told = await self._store.read(unanswered)
        failure = None
        dispatch = compose(self._project, swarm_id, told, left_out) if told else None
        if dispatch is not None:
            failure = await self._attempt(channel, dispatch)
        await self._store.transact(lambda tx: self._record(tx, swarm_id, channel, waiting, dispatch, failure))

    async def _attempt(self, channel: Channel, dispatch: Dispatch) -> NotToldError | None:
        failure = None
        try:
            await channel.send(dispatch)
        except NotToldError as error:
            failure = error
        except Exception as error:  # the labelled boundary: one channel's fault must not stop the others
            log.exception("the channel %s failed in a way it should not", channel.name)
            failure = NotToldError(f"a fault in the channel itself: {type(error).__name__}", where=channel.name)
        words = "" if failure is None else _words(failure)
        if failure is not None:
            log.warning("the channel %s did not take a notice: %s", channel.name, words)
        self._note(channel.name, Outcome(self._clock.now().isoformat(timespec="seconds"), words))
        return failure

    def _record(
        self,
        tx: Tx,
        swarm_id: SwarmId,
        channel: Channel,
        waiting: Sequence[Waiting],
        dispatch: Dispatch | None,
        failure: NotToldError | None,
    ) -> None:
        ledger = load(tx.blob(ledger_key(swarm_id)))
        found = present(ledger, waiting)
        if not found:
            return
        after = self._after(ledger, found, failure)
        if dispatch is None:
            tx.put_blob(ledger_key(swarm_id), dump(after))
            return
        data = _data(channel, dispatch, again=found[0].again)
        if failure is None:
            after = took(after, channel.name)
            tx.append(swarm_id, NewEvent("notice.sent", PLATFORM, data))
        elif given_up(found, again=failure.again):
            log.error("the channel %s is given up for %s: %s", channel.name, dispatch.key, _words(failure))
            tries = max(one.tries for one in found) + 1
            known = channel.name in ledger.failing
            data |= {"reason": _words(failure), "tries": tries, "known": known}
            tx.append(swarm_id, NewEvent(NOT_TOLD, PLATFORM, data))
            if data["about"] != NOT_TOLD:
                after = failed(after, channel.name)
        tx.put_blob(ledger_key(swarm_id), dump(after))

    def _after(self, ledger: Ledger, found: Sequence[Waiting], failure: NotToldError | None) -> Ledger:
        if failure is None or given_up(found, again=failure.again):
            return done(ledger, found)
        return put_off(ledger, found, self._rules, self._clock.now())


def _data(channel: Channel, dispatch: Dispatch, *, again: bool) -> dict[str, object]:
    return {
        "channel": channel.name,
        "to": plain(channel.address, MOST_REASON),
        "id": dispatch.key,
        "about": dispatch.notices[0].kind if len(dispatch.notices) == 1 else "digest",
        "events": [one.seq for one in dispatch.notices],
        "severity": str(dispatch.severity),
        "again": again,
    }


def compose(project: str, swarm_id: SwarmId, told: Sequence[Waiting], left_out: int) -> Dispatch:
    """The most severe first; what a digest has no room for is counted in it."""
    first = sorted(told, key=lambda one: (-one.notice.severity.rank, one.notice.seq))
    shown = tuple(one.notice for one in first[:MOST_IN_A_DIGEST])
    again = told[0].again
    seqs = [one.notice.seq for one in told]
    span = f"{min(seqs)}" if len(seqs) == 1 else f"{min(seqs)}-{max(seqs)}-{len(seqs)}"
    key = f"{swarm_id}.{span}{'.again' if again else ''}"
    opening = "Nobody has answered this yet." if again else ""
    return Dispatch(key, project, shown, opening, more=len(first) - len(shown) + left_out)


def _words(failure: NotToldError) -> str:
    where = f"{failure.where}: " if failure.where else ""
    return plain(f"{where}{failure.what}", MOST_REASON)
