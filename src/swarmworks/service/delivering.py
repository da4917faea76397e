"""Deliveries: the integration branch on its way to a branch of the user's.

The control plane prepares and records; the process on the user's machine moves the branch. Where the user's branch has not
moved, the integration branch's own head goes there. Where it has, both are merged by a worker and every gate that let a task
land is run again on the merged tree: two sides that were fine alone can be wrong together. So it is where somebody pushed to the
integration branch what nothing has landed on since.

A delivery is of one tip and one head. When either has moved on, it is void and another one begins.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import DeliveryId, IdSource, ReviewId, SwarmId, TaskId, WorkId
from swarmworks.domain.delivery import Delivery, DeliveryEvent, DeliveryState
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateStage
from swarmworks.domain.lease import Capacity, WorkerLease, WorkKind, WorkState
from swarmworks.domain.plan import PlannedTask
from swarmworks.domain.review import Review, ReviewState, ReviewSubject
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import SATISFIED, TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.admit import BUILD_MEMORY_BYTES
from swarmworks.policy.delivering import Way, failure_note, unfinished
from swarmworks.policy.required import ALWAYS, at_stage, required_gates
from swarmworks.policy.reviewing import Passed, ReviewFacts, Turn, Waiting
from swarmworks.policy.wording import plain, title
from swarmworks.service import reviews
from swarmworks.service.delivery_views import arriving, results_data, view
from swarmworks.store.protocol import NewDelivery, NewWork, QueueBranch, Reader, Store, Tx
from swarmworks.wire.delivery import THERE_ALREADY, DeliveryView, RequestDelivery
from swarmworks.wire.options import from_json
from swarmworks.wire.work import WORK, DeliveryResult, DeliveryWork

log = logging.getLogger(__name__)

NEED = Capacity(agents=0, cpu_slots=1, memory_bytes=BUILD_MEMORY_BYTES)
PRIORITY = 1 << 31
"""Before everything else that computes: a person waits for it."""

TASK = TaskId("deliver")
OPEN = (DeliveryState.BUILDING, DeliveryState.READY)
MOST_NOTE = 4_000


class Delivering:
    def __init__(self, store: Store, hub: Hub, ids: IdSource, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._ids = ids
        self._clock = clock

    async def request(self, swarm_id: SwarmId, asked: RequestDelivery, actor: str) -> Delivery:
        """The delivery of what the swarm has landed to `asked.branch`: one under way for the same tip and head, else a new
        one. DELIVERED at once when the branch has it already. ConflictError when there is nothing to deliver, and when what
        is there stopped the merge queue.
        """
        swarm = await self._store.read(lambda reader: _deliverable(reader, swarm_id, partial=asked.partial))
        if asked.tip is not None:
            await asyncio.to_thread(self._hub.import_commit, Path(asked.repository), asked.tip)
        head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref)
        if head is None or head == swarm.base:
            raise ConflictError(f"swarm {swarm_id} has landed nothing yet", mend="see `swarm status`")
        way = await asyncio.to_thread(self._way, head, asked.tip)
        known = await self._store.read(lambda reader: reader.queue_branch(swarm_id))
        if way is not Way.THERE and known is not None and known.frozen is not None and known.pushed == head:
            mend = "once that is done, `swarm deliver` runs the gates on it"
            raise ConflictError(f"the branch of swarm {swarm_id} is not delivered: {known.frozen}", mend=mend)
        as_it_is = way is Way.FORWARD and (known is None or known == QueueBranch(head))
        facts = await asyncio.to_thread(self._facts, asked.tip or swarm.base, head) if as_it_is else None
        present = await self._contained(swarm_id, asked) if way is Way.THERE else frozenset[DeliveryId]()

        def write(tx: Tx) -> Delivery:
            if way is Way.THERE:
                return self._found(tx, swarm, asked, head, actor, present)
            same = self._same(tx, swarm_id, asked, head)
            return same or self._begin(tx, swarm, asked, head, actor, facts)

        delivery = await self._store.transact(write)
        if delivery.state is DeliveryState.READY:
            met = await self._facts_of(delivery.id)
            await self._store.transact(lambda tx: reviews.proceed(tx, self._ids, _subject(delivery), met))
        return delivery

    def _way(self, head: str, tip: str | None) -> Way:
        if tip is None or self._hub.is_ancestor(tip, head):
            return Way.THERE if tip == head else Way.FORWARD
        return Way.THERE if self._hub.is_ancestor(head, tip) else Way.MERGE

    async def _contained(self, swarm_id: SwarmId, asked: RequestDelivery) -> frozenset[DeliveryId]:
        """Deliveries whose candidate the branch has: moved, and not on record as delivered."""
        ready = await self._store.read(lambda reader: reader.deliveries(swarm_id, states=(DeliveryState.READY,)))
        found: set[DeliveryId] = set()
        for one in ready:
            if one.branch != asked.branch or one.candidate is None or asked.tip is None:
                continue
            if await asyncio.to_thread(self._hub.is_ancestor, one.candidate, asked.tip):
                found.add(one.id)
        return frozenset(found)

    def _found(
        self, tx: Tx, swarm: Swarm, asked: RequestDelivery, head: str, actor: str, present: frozenset[DeliveryId]
    ) -> Delivery:
        """The branch has it: complete what a crash left open, or put on record what a person did with git."""
        last: Delivery | None = None
        for one in tx.deliveries(swarm.id, states=(*OPEN, DeliveryState.DELIVERED)):
            if one.branch != asked.branch:
                continue
            if one.state is DeliveryState.DELIVERED:
                last = one if one.head == head else last
            elif one.id in present:
                last = self._delivered(tx, one, actor, "found on the branch")
            else:
                self._void(tx, one, THERE_ALREADY, actor)
        if last is not None:
            return last
        made = tx.insert_delivery(
            NewDelivery(
                DeliveryId(self._ids.new("dlv")), swarm.id, asked.branch, asked.tip or "", head, actor, asked.tip
            )
        )
        return self._delivered(tx, made, actor, "found on the branch")

    def _same(self, tx: Tx, swarm_id: SwarmId, asked: RequestDelivery, head: str) -> Delivery | None:
        """The one under way for the same commits. Those of others are void: the branch or the swarm went on."""
        same: Delivery | None = None
        for one in tx.deliveries(swarm_id, states=OPEN):
            if one.branch != asked.branch:
                continue
            refused = bool(tx.reviews(swarm_id, states=(ReviewState.REJECTED,), subject_id=one.id))
            if (one.tip or None) == asked.tip and one.head == head and not refused:
                same = one
            else:
                self._void(tx, one, "a review said no" if refused else "the branch or the swarm went on", "platform")
        return same

    def _begin(
        self, tx: Tx, swarm: Swarm, asked: RequestDelivery, head: str, actor: str, facts: ReviewFacts | None
    ) -> Delivery:
        delivery = tx.insert_delivery(
            NewDelivery(
                id=DeliveryId(self._ids.new("dlv")),
                swarm_id=swarm.id,
                branch=asked.branch,
                tip=asked.tip or "",
                head=head,
                actor=actor,
                candidate=None if facts is None else head,
            )
        )
        data = {"branch": asked.branch, "tip": delivery.tip, "commit": head, "partial": asked.partial}
        _say(tx, delivery, "delivery.requested", actor, data)
        if facts is not None:
            self._ready(tx, delivery, facts)
            return delivery
        work = self._work(tx, swarm, delivery)
        tx.enqueue_work(
            NewWork(
                work.work_id,
                WorkKind.DELIVERY,
                swarm.id,
                TASK,
                delivery.id,
                NEED,
                work.model_dump_json(),
                PRIORITY,
            )
        )
        return delivery

    def _work(self, reader: Reader, swarm: Swarm, delivery: Delivery) -> DeliveryWork:
        done = [task.planned for task in reader.tasks(swarm.id) if task.state in SATISFIED]
        names = _gates(swarm, done)
        trailers = f"Swarm: {swarm.id}\nSwarm-Plan: {title(swarm.plan.id)}\nSwarm-Delivery: {delivery.id}\n"
        return DeliveryWork(
            work_id=WorkId(self._ids.new("wrk")),
            fence=0,
            need=NEED,
            swarm_id=swarm.id,
            task=PlannedTask(
                id=TASK,
                kind="deliver",
                title=f"Deliver to {delivery.branch}",
                role="",
                instructions="",
                output="",
                covers=tuple(sorted({path for task in done for path in task.covers})),
            ),
            delivery_id=delivery.id,
            target=delivery.tip or swarm.base,
            head=delivery.head,
            message=f"Merge the work of swarm {title(swarm.plan.name)}\n\n{trailers}",
            at=self._clock.now().replace(microsecond=0),
            gates=tuple(sorted(names)),
            floors=dict(swarm.plan.floors),
        )

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: DeliveryResult) -> None:
        """Judge what a worker merged and checked. FenceLostError when the work is no longer the worker's."""
        asked, branch = await self._store.read(lambda reader: _asked(reader, work_id))
        objection, facts = await asyncio.to_thread(self._checked, asked, result)
        note = objection or failure_note(
            result.results, frozenset(asked.gates), conflicts=result.conflict_paths, branch=branch
        )

        def write(tx: Tx) -> None:
            tx.finish_work(lease, work_id, fence, result.model_dump_json())
            delivery = tx.delivery(asked.delivery_id)
            _say(tx, delivery, "gates.finished", "platform", results_data(result))
            if note is not None:
                self._failed(tx, delivery, note)
                return
            moved = tx.move_delivery(delivery.id, DeliveryEvent.PASS, candidate=result.candidate)
            self._ready(tx, moved, facts)

        await self._store.transact(write)

    def _checked(self, asked: DeliveryWork, result: DeliveryResult) -> tuple[str | None, ReviewFacts]:
        """What speaks against the candidate, on the repository's word and not the worker's. A good one is pinned."""
        nothing = ReviewFacts()
        if result.status == "conflict" and result.conflict_paths:
            return None, nothing
        if result.status != "built" or result.candidate is None:
            return f"the two sides cannot be merged: {result.detail or 'there is no merge commit'}", nothing
        history = self._hub.log(asked.target, result.candidate, limit=2)
        if self._hub.tree_of(result.candidate) != result.tree or len(history) != 1:
            return "the merge commit is not what the gates judged", nothing
        if not all(self._hub.is_ancestor(one, result.candidate) for one in (asked.target, asked.head)):
            return "the merge commit does not continue both branches", nothing
        self._hub.update_ref(f"refs/swarm/delivery/{asked.delivery_id}", result.candidate, None)
        return None, self._facts(asked.target, result.candidate)

    def _facts(self, start: str, candidate: str) -> ReviewFacts:
        changes = self._hub.changes(start, candidate)
        return ReviewFacts(paths=tuple(one.path for one in changes), lines=reviews.lines_of(changes))

    def _ready(self, tx: Tx, delivery: Delivery, facts: ReviewFacts) -> None:
        _say(tx, delivery, "delivery.ready", "platform", {"branch": delivery.branch, "commit": delivery.candidate})
        reviews.proceed(tx, self._ids, _subject(delivery), facts)

    def _failed(self, tx: Tx, delivery: Delivery, note: str) -> None:
        tx.move_delivery(delivery.id, DeliveryEvent.FAIL, note=plain(note, MOST_NOTE))
        _say(tx, delivery, "delivery.failed", "platform", {"branch": delivery.branch, "reason": note[:2_000]})

    def _delivered(self, tx: Tx, delivery: Delivery, actor: str, reason: str) -> Delivery:
        moved = tx.move_delivery(delivery.id, DeliveryEvent.DELIVER)
        reviews.withdraw(tx, delivery.swarm_id, delivery.id, "it was delivered")
        data = {"branch": delivery.branch, "commit": delivery.candidate, "previous": delivery.tip, "reason": reason}
        _say(tx, delivery, "delivery.delivered", actor, data)
        return moved

    def _void(self, tx: Tx, delivery: Delivery, why: str, actor: str) -> None:
        tx.move_delivery(delivery.id, DeliveryEvent.WITHDRAW, note=plain(why, MOST_NOTE))
        reviews.withdraw(tx, delivery.swarm_id, delivery.id, why)
        for work in tx.works(swarm_id=delivery.swarm_id, states=(WorkState.QUEUED, WorkState.LEASED)):
            if work.subject == delivery.id:
                tx.cancel_work(work.id)
        _say(tx, delivery, "delivery.withdrawn", actor, {"branch": delivery.branch, "reason": why})

    async def approve(self, delivery_id: DeliveryId, reason: str, actor: str, *, shown: ReviewId | None = None) -> None:
        """A person's yes to the review that is open, if one is; the next one is asked. ForbiddenError when it is for
        somebody else to say, ConflictError when another than the one they were `shown` is open.
        """
        facts = await self._facts_of(delivery_id)

        def write(tx: Tx) -> None:
            delivery = tx.delivery(delivery_id)
            if delivery.state is not DeliveryState.READY:
                raise ConflictError(f"the delivery is {delivery.state}", where=delivery_id)
            found = reviews.proceed(tx, self._ids, _subject(delivery), facts)
            if isinstance(found, Waiting):
                _refuse_another(tx, found.review, shown)
                reviews.decide(tx, found.review.id, approve=True, actor=actor, reason=reason)
                reviews.proceed(tx, self._ids, _subject(delivery), facts)

        await self._store.transact(write)

    async def confirm(self, delivery_id: DeliveryId, commit: str, actor: str) -> None:
        """The branch has moved: on record. Saying it twice is as good as once."""

        def write(tx: Tx) -> None:
            delivery = tx.delivery(delivery_id)
            if delivery.candidate != commit:
                raise ConflictError(f"the delivery is of {delivery.candidate}, not of {commit}", where=delivery_id)
            if delivery.state is not DeliveryState.DELIVERED:
                yes = tx.reviews(delivery.swarm_id, states=(ReviewState.APPROVED,), subject_id=delivery.id)
                self._delivered(tx, delivery, actor, (yes[-1].reason or "") if yes else "")

        await self._store.transact(write)

    async def withdraw(self, delivery_id: DeliveryId, reason: str, actor: str) -> None:
        def write(tx: Tx) -> None:
            delivery = tx.delivery(delivery_id)
            if delivery.state in OPEN:
                self._void(tx, delivery, reason, actor)

        await self._store.transact(write)

    async def view(self, delivery_id: DeliveryId, person: str) -> DeliveryView:
        facts = await self._facts_of(delivery_id)

        def look(reader: Reader) -> tuple[Delivery, Turn, Swarm]:
            delivery = reader.delivery(delivery_id)
            found = reviews.standing(reader, _subject(delivery), facts)
            return delivery, found, reader.swarm(delivery.swarm_id)

        delivery, found, swarm = await self._store.read(look)
        brings = await asyncio.to_thread(arriving, self._hub, delivery, swarm.base)
        return view(delivery, found, brings, person)

    async def views(self, swarm_id: SwarmId, person: str) -> list[DeliveryView]:
        """The swarm's deliveries, oldest first, without what they bring."""
        found = await self._store.read(lambda reader: reader.deliveries(reader.swarm(swarm_id).id))
        return [view(one, Passed("", ""), None, person) for one in found]

    async def state(self, delivery_id: DeliveryId) -> DeliveryState:
        return (await self._store.read(lambda reader: reader.delivery(delivery_id))).state

    async def _facts_of(self, delivery_id: DeliveryId) -> ReviewFacts:
        delivery, swarm = await self._store.read(_with_swarm(delivery_id))
        if delivery.state is not DeliveryState.READY or delivery.candidate is None:
            return ReviewFacts()
        return await asyncio.to_thread(self._facts, delivery.tip or swarm.base, delivery.candidate)


def _asked(reader: Reader, work_id: WorkId) -> tuple[DeliveryWork, str]:
    work = WORK.validate_json(reader.work(work_id).payload)
    assert isinstance(work, DeliveryWork)
    return work, reader.delivery(work.delivery_id).branch


def _with_swarm(delivery_id: DeliveryId) -> Callable[[Reader], tuple[Delivery, Swarm]]:
    def look(reader: Reader) -> tuple[Delivery, Swarm]:
        delivery = reader.delivery(delivery_id)
        return delivery, reader.swarm(delivery.swarm_id)

    return look


def _deliverable(reader: Reader, swarm_id: SwarmId, *, partial: bool) -> Swarm:
    swarm = reader.swarm(swarm_id)
    if swarm.plan.is_planning:
        raise ConflictError(
            f"swarm {swarm_id} made a plan, which goes to no branch",
            mend=f"write it down: swarm plan --swarm {swarm_id}",
        )
    if swarm.state in {SwarmState.RUNNING, SwarmState.PAUSED, SwarmState.STOPPING}:
        raise ConflictError(
            f"swarm {swarm_id} is still {swarm.state}",
            mend="wait until it has ended, or end it with `swarm stop`; one that was interrupted goes on with `swarm resume`",
        )
    if swarm.state is not SwarmState.LANDED and not partial:
        left = [t.id for t in reader.tasks(swarm_id) if t.state not in {*SATISFIED, TaskState.CANCELLED}]
        raise ConflictError(
            f"swarm {swarm_id} is {swarm.state}: {unfinished(left)}",
            mend="finish it with `swarm resume`, or deliver what has landed with --partial",
        )
    return swarm


def _gates(swarm: Swarm, done: list[PlannedTask]) -> frozenset[str]:
    """Every gate that one of the tasks had to pass, but for `scope`, which is about a task's own files."""
    config = from_json(swarm.options).config
    definitions, none_chosen = config.gate_definitions(), config.gates.explicitly_none
    asked = [required_gates(task, config.required_gates(task.kind), none_chosen=none_chosen) for task in done]
    return at_stage(frozenset[str]().union(*asked), definitions, GateStage.CANDIDATE) - ALWAYS


def _subject(delivery: Delivery) -> reviews.Subject:
    return reviews.Subject(delivery.swarm_id, ReviewSubject.DELIVERY, delivery.id)


def _refuse_another(reader: Reader, now: Review, shown: ReviewId | None) -> None:
    if shown is not None and shown != now.id:
        mend = f"what is asked now is {now.id}: {now.question} Run `swarm deliver` again"
        raise ConflictError(reviews.decided(reader.review(shown)), where=shown, mend=mend)


def _say(tx: Tx, delivery: Delivery, kind: str, actor: str, data: Mapping[str, object]) -> None:
    tx.append(delivery.swarm_id, NewEvent(kind, actor, {"delivery": delivery.id, **data}))
