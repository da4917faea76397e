"""The merge queue's runs begin here: candidates are made, and handed out as builds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from swarmworks.base.clock import Clock
from swarmworks.base.errors import RejectedError
from swarmworks.base.ids import ChangeId, IdSource, SwarmId
from swarmworks.domain.change import Change, ChangeEvent, ChangeState
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import WorkKind
from swarmworks.domain.rejection import Rejection
from swarmworks.domain.swarm import Swarm
from swarmworks.git.protocol import Candidate, Hub, Piece
from swarmworks.policy.queueing import Run, Start, remaining
from swarmworks.service.attempts import reject
from swarmworks.service.queue_conflicts import Conflicts
from swarmworks.service.queue_explaining import explained
from swarmworks.service.queue_facts import BUILD_NEED, WAITING, authors, build_work, piece
from swarmworks.service.queue_verdicts import reject_for
from swarmworks.store.protocol import NewWork, Reader, Store, Tx
from swarmworks.wire.options import from_json

log = logging.getLogger(__name__)

BUILD_PRIORITY = 1 << 30
"""Builds before everything else that computes: a landed change unblocks, a gate run only promises to."""

Made = tuple[Change, Piece, Candidate]


class Building:
    """Remembers which changes cannot be merged with each other, as long as it lives: to find it out again costs a merge each."""

    def __init__(self, store: Store, hub: Hub, ids: IdSource, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._ids = ids
        self._clock = clock
        self._conflicts: dict[SwarmId, Conflicts] = {}

    def conflicts(self, swarm_id: SwarmId) -> dict[str, set[str]]:
        return self._of(swarm_id).edges()

    async def survey(self, swarm: Swarm, head: str) -> None:
        """Find out which of the changes that wait conflict."""
        waiting = await self._store.read(lambda reader: reader.changes(swarm.id, states=WAITING))
        await asyncio.to_thread(self._of(swarm.id).survey, head, waiting)

    def _of(self, swarm_id: SwarmId) -> Conflicts:
        return self._conflicts.setdefault(swarm_id, Conflicts(self._hub))

    async def begin(self, swarm: Swarm, head: str, start: Start, still: Callable[[Tx], bool]) -> None:
        """Make the candidates of a run, and hand it out if it is `still` what is next. What conflicts with the branch itself is
        rejected; what conflicts with others of the run waits until they have landed, or not.
        """
        own, pieces = await self._pieces(swarm, start)
        rules = from_json(swarm.options).config.merge
        if not pieces:
            return
        base = start.after.commits[-1] if start.after else head
        answers = await asyncio.to_thread(self._hub.stack, base, pieces)
        made: list[Made] = []
        refused: list[tuple[Change, Rejection]] = []
        standing_on = list(remaining(start.after, head)) if start.after else []
        for change, text, answer in zip(own, pieces, answers, strict=True):
            if isinstance(answer, Candidate):
                made.append((change, text, answer))
                standing_on.append(change.id)
            elif standing_on:
                await self._keep_apart(swarm.id, change, standing_on)
            else:
                refused.append((change, await asyncio.to_thread(explained, self._hub, head, change, answer, rules)))
        await asyncio.to_thread(self._hub.update_refs, {candidate_ref(c.id): one.commit for c, _, one in made})

        def write(tx: Tx) -> None:
            if not still(tx):
                return
            for change, why in refused:
                reject(tx, change, why)
            if made:
                self._hand_out(tx, swarm, head, start, made)

        await self._store.transact(write)

    async def _keep_apart(self, swarm_id: SwarmId, change: Change, others: Sequence[str]) -> None:
        """From those it conflicts with by themselves; from all of them where none does, and only together they do."""
        heads = await self._store.read(lambda reader: {one: reader.change(ChangeId(one)).head for one in others})
        found = await asyncio.to_thread(
            lambda: [one for one, theirs in heads.items() if self._hub.conflicts(theirs, change.head)]
        )
        self._of(swarm_id).tried(change.id, found or others)

    async def _pieces(self, swarm: Swarm, start: Start) -> tuple[list[Change], list[Piece]]:
        """What the commits are made of; a change for which that cannot be said is rejected."""
        at = self._clock.now().replace(microsecond=0)

        def read(reader: Reader) -> list[tuple[Change, Piece | RejectedError]]:
            names = authors(reader, swarm)
            found: list[tuple[Change, Piece | RejectedError]] = []
            for name in start.changes:
                change = reader.change(ChangeId(name))
                try:
                    found.append((change, piece(reader, swarm, change, names, at)))
                except RejectedError as error:
                    found.append((change, error))
            return found

        found = await self._store.read(read)
        for change, made in found:
            if isinstance(made, RejectedError):
                log.warning("change %s cannot be built: %s", change.id, made)
                await self._store.transact(lambda tx, c=change, e=made: _reject_unbuildable(tx, c, e))
        good = [(change, made) for change, made in found if isinstance(made, Piece)]
        return [change for change, _ in good], [made for _, made in good]

    def _hand_out(self, tx: Tx, swarm: Swarm, head: str, start: Start, made: Sequence[Made]) -> None:
        after, own = start.after, [change for change, _, _ in made]
        run = Run(
            id=self._ids.new("wrk"),
            base=after.base if after else head,
            changes=(*(after.changes if after else ()), *(change.id for change in own)),
            commits=(*(after.commits if after else ()), *(one.commit for _, _, one in made)),
            below=len(after.changes) if after else 0,
            lane=start.lane,
        )
        by_change = {change.id: one.united for change, _, one in made}
        payload = build_work(tx, swarm, run, own, [text for _, text, _ in made], head)
        for change in own:
            if change.state is ChangeState.APPROVED:
                tx.move_change(change.id, ChangeEvent.BUILD)
            data: dict[str, object] = {"change": change.id, "target": payload.target, "after": payload.after}
            data |= {"united": list(united)} if (united := by_change[change.id]) else {}
            tx.append(swarm.id, NewEvent("change.building", "platform", data, change.task_id, change.session_id))
        text = payload.model_dump_json()
        last = own[-1]
        tx.enqueue_work(
            NewWork(payload.work_id, WorkKind.BUILD, swarm.id, last.task_id, last.id, BUILD_NEED, text, BUILD_PRIORITY)
        )
        tx.insert_run(swarm.id, run)


def candidate_ref(change_id: ChangeId) -> str:
    return f"refs/swarm/candidate/{change_id}"


def _reject_unbuildable(tx: Tx, change: Change, error: RejectedError) -> None:
    if tx.change(change.id).state in WAITING:
        reject_for(tx, change, f"it cannot be built: {error.what}")
