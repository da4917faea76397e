"""The merge queue: changes onto the integration branch, and only what the gates passed on the exact tree that becomes its head.

What is judged and what lands is decided by `policy.queueing`, asked anew after every event; this makes the candidates, hands
them out as builds, writes down what becomes of them, and moves the branch. A run of the queue is a build that workers lease.

Order of a landing: objects are durable in the hub, the intents of all its changes are committed, the reference moves by
compare-and-swap, then the intents are closed and the states move in one commit. Whoever finds an open intent rolls it forward:
it makes that swap itself, and then lets the repository say what became of it. So it makes no difference who decides, or how
many do: once a landing is voided, the branch has left the place the swap expects, and no late swap of a paused process can
land it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError, SwarmworksError
from swarmworks.base.ids import ChangeId, IdSource, SwarmId, WorkId
from swarmworks.domain.change import Change, ChangeEvent, ChangeState, IntentState
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import WorkerLease
from swarmworks.domain.swarm import MERGING, Swarm, SwarmState
from swarmworks.domain.task import TaskEvent
from swarmworks.git.protocol import Hub
from swarmworks.policy.queueing import Plan, Run, failure_rate, plan, remaining
from swarmworks.service import parking
from swarmworks.service.queue_branch import inspect, landed, may_land, take_note
from swarmworks.service.queue_building import Building
from swarmworks.service.queue_facts import WAITING, Known, Look, look
from swarmworks.service.queue_verdicts import (
    Evidence,
    Examined,
    Member,
    examine,
    give_back,
    reject_guilty,
    settle_result,
)
from swarmworks.service.queue_view import queue_status
from swarmworks.service.resolving import written_by
from swarmworks.store.protocol import Intent, Reader, Store, Tx
from swarmworks.wire.api import QueueStatus
from swarmworks.wire.options import from_json
from swarmworks.wire.work import WORK, BuildResult, BuildWork

log = logging.getLogger(__name__)

GRACE_S = 1.0
"""A landing takes a fraction of it."""

MOST_STEPS = 200
"""Of one swarm's queue at a time; the others have their turn."""

REMEMBERED = 500

LANDING = MERGING | {SwarmState.STOPPING}
"""What was under way when a stop was asked for still lands."""

BRANCH_MOVED = "the branch moved meanwhile"


class Merging:
    def __init__(self, store: Store, hub: Hub, ids: IdSource, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._landing: set[ChangeId] = set()
        self._open_since: dict[int, float] = {}
        self._building = Building(store, hub, ids, clock)
        self._decided: deque[bool] = deque(maxlen=REMEMBERED)

    async def recover(self) -> None:
        """Roll forward the landings that were left between intent and states: by a crash (asked at start-up), or by a
        repository or a store that failed for a moment. What fails in one is raised after the others have had their turn.
        """
        if torn := await asyncio.to_thread(self._hub.mend):
            log.warning("%d objects that a power cut tore were removed: they are built again", torn)
        await self._roll_forward(await self._store.read(lambda reader: reader.open_intents()), 0.0)

    async def _roll_forward(self, intents: Sequence[Intent], grace_s: float) -> None:
        """Those under way here are left alone, and those that may be under way in another process get `grace_s` before it
        is done for them, which saves work and nothing else.
        """
        now = self._clock.monotonic()
        self._open_since = {intent.id: self._open_since.get(intent.id, now) for intent in intents}
        failures: list[SwarmworksError | OSError] = []
        done: set[tuple[str, str]] = set()
        for intent in intents:
            if (intent.ref, intent.new) in done or intent.change_id in self._landing:
                continue
            if now - self._open_since[intent.id] < grace_s:
                continue
            done.add((intent.ref, intent.new))
            try:
                await self._decide(intent, "its landing was cut short")
            except (SwarmworksError, OSError) as error:
                log.warning("the landing of %s is still open: %s", intent.change_id, error)
                failures.append(error)
        if failures:
            raise failures[0]

    async def advance(self) -> bool:
        """The chore: whatever is next for the queue of every running swarm. True when that was something. What fails in one
        swarm is raised after the others have had their turn.
        """
        started, failures = False, list[Exception]()
        intents, swarms = await self._store.read(lambda reader: (reader.open_intents(), _buildable(reader)))
        try:
            await self._roll_forward(intents, GRACE_S)
        except (SwarmworksError, OSError) as error:
            failures.append(error)
        for swarm in swarms:
            try:
                started |= await self._advance_one(swarm)
            except Exception as error:  # noqa: BLE001 - raised below
                log.warning("the merge queue of %s: %s", swarm.id, error)
                failures.append(error)
        if failures:
            raise failures[0]
        return started

    async def _advance_one(self, swarm: Swarm, *, begin: bool = True) -> bool:
        """Step by step until there is nothing to do; without `begin` no run is started."""
        for step in range(MOST_STEPS):
            head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref)
            if head is None or not await self._on_branch(swarm, head):
                return step > 0
            if begin and step == 0:
                await self._building.survey(swarm, head)
            seen = await self._store.read(lambda reader, at=head: self._look(reader, swarm, at))
            if seen.lost or seen.ended:
                await self._store.transact(lambda tx, at=head: self._tidy(tx, swarm, at))
                continue
            if seen.landing or not await self._do(swarm, head, plan(seen.now), begin=begin):
                return step > 0
        return True

    async def _on_branch(self, swarm: Swarm, head: str) -> bool:
        """Take note of where the branch is. False while nothing may land."""
        known, intents = await self._store.read(lambda reader: (reader.queue_branch(swarm.id), reader.open_intents()))
        if known is not None and (free := may_land(known, head)) is not None:
            return free
        if any(intent.ref == swarm.integration_ref for intent in intents):
            return False  # a landing of ours is under way
        if await asyncio.to_thread(self._hub.resolve, swarm.integration_ref) != head:
            return False  # one was, and is over: `known` is newer than `head`; the chore is woken by it
        moved = None if known is None else await asyncio.to_thread(inspect, self._hub, known, head)
        await self._store.transact(lambda tx: take_note(tx, swarm, head, moved))
        return moved is None or moved.forward

    async def status(self, swarm_id: SwarmId) -> QueueStatus:
        swarm = await self._store.read(lambda reader: reader.swarm(swarm_id))
        head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref) or swarm.base
        now = self._clock.now()
        return await self._store.read(lambda reader: queue_status(reader, swarm, head, self._known(swarm_id), now))

    def _known(self, swarm_id: SwarmId) -> Known:
        return Known(self._building.conflicts(swarm_id), failure_rate(list(self._decided)))

    async def _do(self, swarm: Swarm, head: str, step: Plan, *, begin: bool) -> bool:
        """Each is decided again in the transaction that does it, so that two who do it at once do it once."""
        if step.land is not None:
            await self._land(step.land.changes, lambda tx: self._intents(tx, swarm, head, step))
        elif step.reject:
            await self._reject(swarm, head, step)
        elif step.drop:
            await self._store.transact(lambda tx: self._drop(tx, swarm, head, step))
        elif step.start is not None and begin:
            await self._building.begin(swarm, head, step.start, lambda tx: self._still(tx, swarm, head, step))
        else:
            return False
        return True

    def _look(self, reader: Reader, swarm: Swarm, head: str) -> Look:
        return look(reader, swarm, head, self._known(swarm.id))

    def _still(self, reader: Reader, swarm: Swarm, head: str, step: Plan) -> bool:
        seen = self._look(reader, swarm, head)
        return not seen.landing and plan(seen.now) == step

    def _tidy(self, tx: Tx, swarm: Swarm, head: str) -> None:
        """A change that nobody judges and that has no open intent was lost in a crash: back into the queue."""
        seen = self._look(tx, swarm, head)
        tx.close_runs(seen.ended)
        for change in seen.lost:
            give_back(tx, change, "its build was lost")

    def _drop(self, tx: Tx, swarm: Swarm, head: str, step: Plan) -> None:
        if self._still(tx, swarm, head, step):
            for run in step.drop:
                tx.cancel_work(WorkId(run))
            tx.close_runs(step.drop)

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: BuildResult) -> None:
        """Judge a finished build, and land what may land. FenceLostError when the lease is gone; nothing is written then."""
        swarm, asked, members = await self._store.read(lambda reader: _asked(reader, work_id))
        found = await asyncio.to_thread(examine, self._hub, swarm.integration_ref, asked, result, members)

        def write(tx: Tx) -> list[Intent]:
            tx.finish_work(lease, work_id, fence, result.model_dump_json(), swarm_id=swarm.id)
            settle_result(tx, swarm, asked, result, found, self._clock.now())
            return self._land_at_once(tx, swarm, found)

        # A caller that goes away must not leave a reference moving that nobody waits for.
        await asyncio.shield(asyncio.ensure_future(self._finished(swarm, asked, write)))

    async def _finished(self, swarm: Swarm, asked: BuildWork, write: Callable[[Tx], list[Intent]]) -> None:
        await self._land(asked.members, write)
        if swarm.state in LANDING:
            try:
                await self._advance_one(swarm, begin=False)
            except (SwarmworksError, OSError) as error:
                log.warning("the merge queue of %s goes on later: %s", swarm.id, error)

    def _land_at_once(self, tx: Tx, swarm: Swarm, found: Examined) -> list[Intent]:
        known = tx.queue_branch(swarm.id)
        if (
            known is None
            or found.head is None
            or not may_land(known, found.head)
            or tx.swarm(swarm.id).state not in LANDING
        ):
            return []
        seen = self._look(tx, swarm, found.head)
        step = plan(seen.now)
        return [] if seen.landing or step.land is None else _open_intents(tx, swarm, found.head, step.land)

    def _intents(self, tx: Tx, swarm: Swarm, head: str, step: Plan) -> list[Intent]:
        assert step.land is not None
        return _open_intents(tx, swarm, head, step.land) if self._still(tx, swarm, head, step) else []

    async def _reject(self, swarm: Swarm, head: str, step: Plan) -> None:
        change_id, run = step.reject[0]

        def read(reader: Reader) -> tuple[Change, Change | None]:
            change = reader.change(ChangeId(change_id))
            task = reader.task(swarm.id, change.task_id).planned
            return change, parking.parked_change(reader, swarm.id, task)

        change, parked = await self._store.read(read)
        task = (await self._store.read(lambda reader: reader.task(swarm.id, change.task_id))).planned
        pushed = await self._store.read(lambda reader: reader.queue_branch(swarm.id))
        push = None
        if pushed is not None and pushed.pushed is not None:
            push = await asyncio.to_thread(inspect, self._hub, pushed, pushed.pushed)
        tip = run.commits[-1]
        tree = await asyncio.to_thread(self._hub.tree_of, tip)
        rules = from_json(swarm.options).config.merge
        seen = await asyncio.to_thread(parking.look, self._hub, task, change, parked, tip, rules)

        def write(tx: Tx) -> bool:
            if not self._still(tx, swarm, head, step):
                return False
            return reject_guilty(tx, swarm, tx.change(change.id), run, Evidence(seen, tree, head, push))

        if await self._store.transact(write):
            self._decided.append(True)

    async def _land(self, changes: Sequence[str], write: Callable[[Tx], list[Intent]]) -> None:
        """The changes are marked as landing before their intents can be seen, so that the chore never decides them meanwhile."""
        marked = {ChangeId(change) for change in changes}
        self._landing |= marked
        try:
            intents = await self._store.transact(write)
            self._landing |= (more := {intent.change_id for intent in intents})
            marked |= more
            if intents:
                await self._move(intents[0])
        finally:
            self._landing -= marked

    async def _move(self, intent: Intent) -> None:
        """The build is on record already: what goes wrong from here on is for the chore to decide again."""
        try:
            await self._decide(intent, BRANCH_MOVED)
        except (SwarmworksError, OSError) as error:
            log.warning("the landing of %s is left to the merge queue: %s", intent.change_id, error)
            for one in await self._store.read(lambda reader: reader.open_intents()):
                if (one.ref, one.new) == (intent.ref, intent.new):
                    self._open_since[one.id] = self._clock.monotonic() - GRACE_S

    async def _decide(self, intent: Intent, why: str) -> None:
        """Move the reference, unless it has moved; then the repository says what became of the landing: it has the commit
        on the branch, or it has not. GitError when the reference could not be moved though it could have been: undecided.
        """
        await asyncio.to_thread(self._hub.update_ref, intent.ref, intent.new, intent.old)
        head = await asyncio.to_thread(self._hub.resolve, intent.ref)
        moved = head is not None and await asyncio.to_thread(self._hub.is_ancestor, intent.new, head)
        try:
            await self._close(intent, moved=moved, why=why)
        except ConflictError as error:
            log.info("the landing of %s was decided meanwhile: %s", intent.change_id, error)

    async def _close(self, intent: Intent, *, moved: bool, why: str) -> None:
        """Roll a landing forward, with all that lands with it, when its reference has moved; otherwise void it and queue the
        changes again.
        """

        def write(tx: Tx) -> int:
            same = [one for one in tx.open_intents() if (one.ref, one.new) == (intent.ref, intent.new)]
            if not same:
                raise ConflictError("the landing is closed already", where=intent.change_id)
            commits = _commits(tx, intent)
            previous = intent.old
            for one in same:
                change = tx.change(one.change_id)
                tx.close_intent(one.id, IntentState.DONE if moved else IntentState.VOID)
                if not moved:
                    give_back(tx, change, why)
                    continue
                commit = commits.get(change.id, intent.new)
                _landed(tx, change, commit, previous)
                previous = commit
            if moved:
                landed(tx, tx.swarm(intent.swarm_id), intent.new)
            return len(same) if moved else 0

        self._decided.extend([False] * await self._store.transact(write))


def _landed(tx: Tx, change: Change, commit: str, previous: str) -> None:
    tx.move_change(change.id, ChangeEvent.LAND, candidate=commit, landed=commit)
    tx.move_task(change.swarm_id, change.task_id, TaskEvent.LAND, commit=commit)
    data = {"change": change.id, "commit": commit, "previous": previous}
    data |= {"agent": written_by(tx, change).agent_id}
    tx.append(change.swarm_id, NewEvent("change.landed", "platform", data, change.task_id, change.session_id))
    parking.supersede(tx, change, commit)


def _open_intents(tx: Tx, swarm: Swarm, head: str, run: Run) -> list[Intent]:
    """One for each change that lands with the run, in their order, all to the same commit."""
    intents: list[Intent] = []
    for name in remaining(run, head):
        change = tx.change(ChangeId(name))
        if change.state is ChangeState.APPROVED:
            tx.move_change(change.id, ChangeEvent.BUILD)
        intents.append(tx.open_intent(change.id, swarm.integration_ref, head, run.commits[-1]))
    return intents


def _commits(reader: Reader, intent: Intent) -> dict[str, str]:
    """Of a landing: what each of its changes became."""
    run = next((run for run in reader.open_runs(intent.swarm_id) if run.commits[-1] == intent.new), None)
    return {} if run is None else dict(zip(run.changes, run.commits, strict=True))


def _buildable(reader: Reader) -> list[Swarm]:
    """Running swarms with something in the queue: cheap, it is asked after every commit."""
    return [s for s in reader.swarms(states=MERGING) if reader.changes(s.id, states=WAITING)]


def _asked(reader: Reader, work_id: WorkId) -> tuple[Swarm, BuildWork, list[Member]]:
    work = reader.work(work_id)
    asked = WORK.validate_json(work.payload)
    assert isinstance(asked, BuildWork)
    run = reader.open_run(work_id)
    swarm, members = reader.swarm(work.swarm_id), list[Member]()
    rules = from_json(swarm.options).config.merge
    for name in asked.members if run is not None else ():
        assert run is not None
        change = reader.change(name)
        task = reader.task(work.swarm_id, change.task_id).planned
        place = run.changes.index(name)
        onto = (run.base, *run.commits)[place]
        parked = parking.parked_change(reader, work.swarm_id, task)
        members.append(Member(change, parked, onto, run.commits[place], rules))
    return swarm, asked, members
