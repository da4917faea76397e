"""The merge queue: one change after the other onto the integration branch, and only the exact tree that the gates passed.

While a change is being built, the next one may be built on its candidate. It is judged only once the first one has landed;
if that did not, the second goes back into the queue, whatever its gates said: they judged a tree that never was.

Order of a landing: objects are durable in the hub, the intent is committed, the reference moves by compare-and-swap, then
the intent is closed and the states move in one commit. Whoever finds an open intent rolls it forward: it makes that swap
itself, and then lets the repository say what became of it. So it makes no difference who decides, or how many do: once a
landing is voided, the branch has left the place the swap expects, and no late swap of a paused process can land it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError, RejectedError, SwarmworksError
from swarmworks.base.ids import ChangeId, IdSource, WorkId
from swarmworks.domain.change import Change, ChangeEvent, ChangeState, IntentState
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateStage
from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind, WorkState
from swarmworks.domain.rejection import Rejection, RejectionKind
from swarmworks.domain.swarm import MERGING, Swarm
from swarmworks.domain.task import TaskEvent
from swarmworks.git.protocol import Hub
from swarmworks.policy.admit import BUILD_MEMORY_BYTES
from swarmworks.policy.landing import next_to_build
from swarmworks.policy.rejections import from_conflict, from_gates, judge
from swarmworks.policy.required import at_stage, required_gates
from swarmworks.service import parking
from swarmworks.service.attempts import blameless, gives_up, reject
from swarmworks.service.landing_record import commit_message, results_event
from swarmworks.service.parking import Seen
from swarmworks.store.protocol import GateRun, Intent, NewWork, Reader, Store, Tx
from swarmworks.wire.options import from_json
from swarmworks.wire.work import WORK, BuildResult, BuildWork

log = logging.getLogger(__name__)

BUILD_NEED = Capacity(agents=0, cpu_slots=1, memory_bytes=BUILD_MEMORY_BYTES)
BUILD_PRIORITY = 1 << 30
"""Builds before everything else that computes: a landed change unblocks, a gate run only promises to."""

MOST_BUILDS = 2
"""One that will land next, and one on top of it: the gates of both run side by side."""

TURN_POLL_S = 0.05

GRACE_S = 1.0
"""A landing takes a fraction of it."""

BRANCH_MOVED = "the branch moved meanwhile"
"""The one objection that building again can answer."""

MOST_REBUILDS = 3
"""How often a build whose gates could not run is built again before a person is asked."""


class Merging:
    def __init__(self, store: Store, hub: Hub, ids: IdSource, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._ids = ids
        self._clock = clock
        self._landing: set[ChangeId] = set()
        self._open_since: dict[int, float] = {}

    async def recover(self) -> None:
        """Roll forward the landings that were left between intent and states: by a crash (asked at start-up), or by a
        repository or a store that failed for a moment. What fails in one is raised after the others have had their turn.
        """
        await self._roll_forward(0.0)

    async def _roll_forward(self, grace_s: float) -> None:
        """Those under way here are left alone, and those that may be under way in another process get `grace_s` before it
        is done for them, which saves work and nothing else.
        """
        now = self._clock.monotonic()
        intents = await self._store.read(lambda reader: reader.open_intents())
        self._open_since = {intent.id: self._open_since.get(intent.id, now) for intent in intents}
        failures: list[SwarmworksError | OSError] = []
        for intent in intents:
            if intent.change_id in self._landing or now - self._open_since[intent.id] < grace_s:
                continue
            try:
                await self._decide(intent, "its landing was cut short")
            except (SwarmworksError, OSError) as error:
                log.warning("the landing of %s is still open: %s", intent.change_id, error)
                failures.append(error)
        if failures:
            raise failures[0]

    async def advance(self) -> bool:
        """The chore: start the next build of every running swarm that has none under way. True when one started. What
        fails in one swarm is raised after the others have had their turn.
        """
        started, failures = False, list[Exception]()
        try:
            await self._roll_forward(GRACE_S)
        except (SwarmworksError, OSError) as error:
            failures.append(error)
        for swarm in await self._store.read(_buildable):
            try:
                started |= await self._advance_one(swarm)
            except Exception as error:  # noqa: BLE001 - raised below
                log.warning("the merge queue of %s: %s", swarm.id, error)
                failures.append(error)
        if failures:
            raise failures[0]
        return started

    async def _advance_one(self, swarm: Swarm) -> bool:
        head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref)
        if head is None:
            return False
        return await self._store.transact(lambda tx: self._build_next(tx, swarm, head))

    def _build_next(self, tx: Tx, swarm: Swarm, head: str) -> bool:
        under_way = [c for c in tx.changes(swarm.id, states=(ChangeState.BUILDING,)) if not self._returned(tx, c)]
        if len(under_way) >= MOST_BUILDS:
            return False
        first = self._to_follow(tx, under_way[0]) if under_way else None
        if under_way and first is None:
            return False
        approved = tx.changes(swarm.id, states=(ChangeState.APPROVED,))
        ranks = {change.task_id: tx.task(swarm.id, change.task_id).rank for change in approved}
        change = next_to_build(approved, ranks)
        if change is None:
            return False
        try:
            payload = self._payload(tx, swarm, change, head if first is None else first.target, first)
        except RejectedError as error:
            log.warning("change %s cannot be built: %s", change.id, error)
            self._reject_for(tx, change, f"it cannot be built: {error.what}")
            return True
        tx.move_change(change.id, ChangeEvent.BUILD)
        tx.enqueue_work(
            NewWork(
                payload.work_id,
                WorkKind.BUILD,
                swarm.id,
                change.task_id,
                change.id,
                BUILD_NEED,
                payload.model_dump_json(),
                BUILD_PRIORITY,
            )
        )
        data = {"change": change.id, "target": payload.target, "after": payload.after}
        tx.append(swarm.id, NewEvent("change.building", "platform", data, change.task_id, change.session_id))
        return True

    def _to_follow(self, reader: Reader, change: Change) -> BuildWork | None:
        """The build under way that the next one may be built upon: one a worker has begun, which follows none itself."""
        for work in reader.works(swarm_id=change.swarm_id, states=(WorkState.LEASED,)):
            if work.subject == change.id and work.kind is WorkKind.BUILD:
                asked = _build_work(work)
                return asked if asked.after is None else None
        return None

    def _payload(self, reader: Reader, swarm: Swarm, change: Change, target: str, first: BuildWork | None) -> BuildWork:
        task = reader.task(swarm.id, change.task_id)
        author = next(agent for agent in reader.agents(swarm.project) if agent.id == change.agent_id)
        return BuildWork(
            work_id=WorkId(self._ids.new("wrk")),
            fence=0,
            need=BUILD_NEED,
            swarm_id=swarm.id,
            task=task.planned,
            change_id=change.id,
            base=change.base,
            head=change.head,
            target=target,
            after=None if first is None else first.change_id,
            author=author,
            message=commit_message(reader, swarm, change),
            at=self._clock.now().replace(microsecond=0),
            floors=dict(swarm.plan.floors),
            tests=parking.tests_to_keep(reader, parking.parked_change(reader, swarm.id, task.planned)),
        )

    def _returned(self, tx: Tx, change: Change) -> bool:
        """A build that nobody works on and that has no open intent was lost in a crash: back into the queue."""
        alive = tx.works(swarm_id=change.swarm_id, states=(WorkState.QUEUED, WorkState.LEASED))
        if any(work.subject == change.id for work in alive):
            return False
        if any(intent.change_id == change.id for intent in tx.open_intents()):
            return False
        self._return(tx, change, "its build was lost")
        return True

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: BuildResult) -> None:
        """Judge a finished build and land it. FenceLostError when the lease is gone; nothing is written then."""
        swarm, asked = await self._store.read(lambda reader: _asked(reader, work_id))
        if asked.after is not None:
            asked = await self._in_turn(asked, asked.after)
        objection = await asyncio.to_thread(self._objection, swarm.integration_ref, asked, result)
        seen = await self._look(asked, result)

        def write(tx: Tx) -> Intent | None:
            tx.finish_work(lease, work_id, fence, result.model_dump_json(), swarm_id=swarm.id)
            return self._judge(tx, swarm, asked, result, objection, seen)

        # A caller that goes away must not leave a reference moving that nobody waits for.
        await asyncio.shield(asyncio.ensure_future(self._land(asked.change_id, write)))

    async def _look(self, asked: BuildWork, result: BuildResult) -> Seen:
        if result.status != "built" or result.candidate is None:
            return Seen()

        def read(reader: Reader) -> tuple[Change, Change | None]:
            return reader.change(asked.change_id), parking.parked_change(reader, asked.swarm_id, asked.task)

        change, parked = await self._store.read(read)
        return await asyncio.to_thread(parking.look, self._hub, asked.task, change, parked, result.candidate)

    async def _in_turn(self, asked: BuildWork, first: ChangeId) -> BuildWork:
        """Wait until the build this one follows is over. Its target is then what that one landed as; when it landed
        nothing, the target stays the old one, which the candidate does not continue: back into the queue.
        """
        while True:
            change = await self._store.read(lambda reader: reader.change(first))
            if change.state is ChangeState.LANDED and change.landed is not None:
                return asked.model_copy(update={"target": change.landed})
            if change.state is not ChangeState.BUILDING:
                return asked
            await asyncio.sleep(TURN_POLL_S)

    async def _land(self, change_id: ChangeId, write: Callable[[Tx], Intent | None]) -> None:
        """The change is marked as landing before its intent can be seen, so that the chore never decides it meanwhile."""
        self._landing.add(change_id)
        try:
            intent = await self._store.transact(write)
            if intent is not None:
                await self._move(intent)
        finally:
            self._landing.discard(change_id)

    async def _move(self, intent: Intent) -> None:
        """The build is on record already: what goes wrong from here on is for the chore to decide again."""
        try:
            await self._decide(intent, BRANCH_MOVED)
        except (SwarmworksError, OSError) as error:
            log.warning("the landing of %s is left to the merge queue: %s", intent.change_id, error)
            self._open_since[intent.id] = self._clock.monotonic() - GRACE_S

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

    def _objection(self, ref: str, asked: BuildWork, result: BuildResult) -> str | None:
        """What speaks against landing this candidate, checked on the repository itself and not on the worker's word."""
        if self._hub.resolve(ref) != asked.target or result.target != asked.target:
            return BRANCH_MOVED
        if result.status != "built" or result.candidate is None:
            return None
        if self._hub.tree_of(result.candidate) != result.tree:
            return "the candidate is not the tree that the gates judged"
        if not self._hub.is_ancestor(asked.target, result.candidate):
            return "the candidate does not continue the branch"
        lost = self._hub.kept_lines(asked.base, asked.head, result.tree)
        if lost:
            return f"lines of the change are missing from the merged tree in {', '.join(lost[:5])}"
        return None

    def _judge(
        self, tx: Tx, swarm: Swarm, asked: BuildWork, result: BuildResult, objection: str | None, seen: Seen
    ) -> Intent | None:
        change = tx.change(asked.change_id)
        if asked.after is not None and objection == BRANCH_MOVED:
            self._return(tx, change, "what it was built on did not land")
            return None
        if result.status == "conflict":
            reject(tx, change, from_conflict(result.conflict_paths, result.conflict_detail, base=asked.target))
            return None
        tx.record_gates(
            GateRun(change.id, GateStage.CANDIDATE, result.tree, result.results, self._clock.now()), result.cache_keys
        )
        tx.append(swarm.id, results_event(change, result))
        options = from_json(swarm.options)
        configured = options.config.required_gates(asked.task.kind)
        required = required_gates(asked.task, configured, none_chosen=options.config.gates.explicitly_none)
        required = at_stage(required, options.config.gate_definitions(), GateStage.CANDIDATE)
        failed, unknown = judge(result.results, required)
        lost = seen.weakened
        if not failed and not unknown:
            lost = lost or parking.not_run(tx, parking.parked_change(tx, swarm.id, asked.task), result.results)
        if lost:
            reject(tx, change, parking.rejection_of_weakened(lost, tree=result.tree, base=asked.target))
        elif failed and parking.parks(tx, change, seen, failed):
            parking.park(tx, change, failed, tree=result.tree, base=asked.target)
        elif failed:
            why = from_gates(failed, tree=result.tree, base=asked.target)
            reject(tx, change, why, final=gives_up(tx, change), free=blameless(tx, change, failed))
        elif unknown:
            self._could_not_run(tx, change, unknown, result)
        elif objection == BRANCH_MOVED:
            self._return(tx, change, BRANCH_MOVED)
        elif objection is not None:
            self._reject_for(tx, change, objection)
        elif result.candidate is not None:
            return tx.open_intent(change.id, swarm.integration_ref, asked.target, result.candidate)
        return None

    async def _close(self, intent: Intent, *, moved: bool, why: str) -> None:
        """Roll a landing forward when its reference has moved, otherwise void it and queue the change again."""

        def write(tx: Tx) -> None:
            change = tx.change(intent.change_id)
            tx.close_intent(intent.id, IntentState.DONE if moved else IntentState.VOID)
            if not moved:
                self._return(tx, change, why)
                return
            tx.move_change(change.id, ChangeEvent.LAND, candidate=intent.new, landed=intent.new)
            tx.move_task(change.swarm_id, change.task_id, TaskEvent.LAND, commit=intent.new)
            data = {"change": change.id, "commit": intent.new, "previous": intent.old, "agent": change.agent_id}
            tx.append(change.swarm_id, NewEvent("change.landed", "platform", data, change.task_id, change.session_id))
            parking.supersede(tx, change, intent.new)

        await self._store.transact(write)

    def _return(self, tx: Tx, change: Change, why: str) -> None:
        tx.move_change(change.id, ChangeEvent.RETURN)
        data = {"change": change.id, "reason": why}
        tx.append(change.swarm_id, NewEvent("change.returned", "platform", data, change.task_id, change.session_id))

    def _could_not_run(self, tx: Tx, change: Change, unknown: list[str], result: BuildResult) -> None:
        """No fault of the change's: built again, and after that a person is asked. Costs no attempt."""
        runs = [run for run in tx.gate_runs(change.id) if run.stage == GateStage.CANDIDATE]
        if len(runs) < MOST_REBUILDS:
            self._return(tx, change, f"gates could not run: {', '.join(unknown)}")
            return
        why = {found.gate: found.summary for found in result.results}
        note = "; ".join(f"gate {name} could not run: {why.get(name, 'it is not configured')}" for name in unknown)
        tx.move_change(change.id, ChangeEvent.REJECT)
        tx.move_task(change.swarm_id, change.task_id, TaskEvent.EXHAUST, note=note)
        data = {"reason": note, "change": change.id}
        tx.append(change.swarm_id, NewEvent("task.blocked", "platform", data, change.task_id, change.session_id))

    def _reject_for(self, tx: Tx, change: Change, reason: str) -> None:
        """Building it again would end the same way, so it costs an attempt."""
        reject(tx, change, Rejection(RejectionKind.STALE, reason, base=change.base))


def _buildable(reader: Reader) -> list[Swarm]:
    """Running swarms with something in the queue: cheap, it is asked after every commit."""
    pending = (ChangeState.APPROVED, ChangeState.BUILDING)
    return [s for s in reader.swarms(states=MERGING) if reader.changes(s.id, states=pending)]


def _asked(reader: Reader, work_id: WorkId) -> tuple[Swarm, BuildWork]:
    work = reader.work(work_id)
    return reader.swarm(work.swarm_id), _build_work(work)


def _build_work(work: Work) -> BuildWork:
    asked = WORK.validate_json(work.payload)
    assert isinstance(asked, BuildWork)
    return asked
