"""Handing out work: ready tasks to idle agents as sessions, and queued gate runs and builds, under a worker's lease."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence

from swarmworks.base.clock import Clock
from swarmworks.base.errors import InvalidDocumentError
from swarmworks.base.ids import TaskId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.handoff import Handoff
from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind, WorkState
from swarmworks.domain.session import Session, SessionOutcome, SessionState
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.admit import SESSION_MEMORY_BYTES, choose, session_places
from swarmworks.service.scheduling.purse import affordable
from swarmworks.store.protocol import Reader, SessionTerms, Store, Tx
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.options import SwarmOptions, from_json
from swarmworks.wire.work import RESULT, WORK, AnyWork, NoteFromTask, SessionResult, SessionWork

log = logging.getLogger(__name__)

MOST_NOTES = 40
MOST_LOOKED_BACK = 10
"""Ended sessions of a task that are looked through for work it can go on from."""


class Leasing:
    """`wires` maps a provider's name to the wire format its sessions speak."""

    def __init__(
        self, store: Store, hub: Hub, clock: Clock, least: Callable[[str], Amount], wires: Mapping[str, str]
    ) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._least = least
        self._wires = wires

    async def lease(self, lease: WorkerLease, free: Capacity, kinds: Sequence[WorkKind]) -> list[AnyWork]:
        """What the worker can start now; empty when there is nothing. FenceLostError when the lease is gone."""
        taken: list[AnyWork] = []
        computing = tuple(kind for kind in kinds if kind is not WorkKind.SESSION)
        if computing and free.cpu_slots > 0:
            taken += await self._computing(lease, free, computing)
        if WorkKind.SESSION in kinds and free.agents > 0:
            taken += await self._sessions(lease, free)
        return taken

    async def _computing(self, lease: WorkerLease, free: Capacity, kinds: Sequence[WorkKind]) -> list[AnyWork]:
        if not await self._store.read(lambda reader: _has_queued(reader, kinds)):
            return []
        claimed = await self._store.transact(lambda tx: tx.claim_work(lease, free, kinds))
        return [_computing_work(work) for work in claimed]

    async def _sessions(self, lease: WorkerLease, free: Capacity) -> list[AnyWork]:
        taken: list[AnyWork] = []
        swarms, running = await self._store.read(lambda reader: (_with_ready_tasks(reader), _running(reader, lease)))
        for swarm in swarms:
            places = session_places(free, running=running) - len(taken)
            if places <= 0:
                break
            taken += await self._sessions_of(lease, swarm, places)
        return taken

    async def _sessions_of(self, lease: WorkerLease, swarm: Swarm, places: int) -> list[AnyWork]:
        options = from_json(swarm.options)
        head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref)
        limits = options.config.session_limits()
        terms = SessionTerms(
            model=options.model,
            base_commit=head or swarm.base,
            need=Capacity(agents=1, cpu_slots=0, memory_bytes=SESSION_MEMORY_BYTES),
            least=self._least(options.model),
            limit=Limit(limits.cost_nano_usd, limits.tokens),
        )

        def write(tx: Tx) -> list[AnyWork]:
            if not affordable(tx, swarm, terms.least):
                return []
            claimed = tx.claim_sessions(lease, swarm.id, terms, places, choose)
            return [self._start(tx, swarm, options, session, work) for session, work in claimed]

        return await self._store.transact(write)

    def _start(self, tx: Tx, swarm: Swarm, options: SwarmOptions, session: Session, work: Work) -> SessionWork:
        token = f"swk_{secrets.token_urlsafe(32)}"
        tx.start_session(session.id, hashlib.sha256(token.encode()).hexdigest())
        task = tx.task(swarm.id, session.task_id)
        agent = next(agent for agent in tx.agents(swarm.project) if agent.id == session.agent_id)
        identity = {
            "agent": agent.name,
            "role": agent.role,
            "model": session.model,
            "attempt": session.attempt,
            "base": session.base_commit,
            "worker": session.worker_id,
        }
        tx.append(swarm.id, NewEvent("session.started", f"agent:{agent.name}", identity, session.task_id, session.id))
        return SessionWork(
            work_id=work.id,
            fence=work.fence,
            need=work.need,
            swarm_id=swarm.id,
            task=task.planned,
            session_id=session.id,
            plan_id=swarm.plan.id,
            plan_name=swarm.plan.name,
            stack=swarm.plan.stack,
            attempt=session.attempt,
            max_attempts=options.config.limits.attempts,
            base=session.base_commit,
            agent=agent,
            model=session.model,
            wire="anthropic" if self._wires.get(session.model.partition(":")[0]) == "anthropic" else "openai",
            token=token,
            limits=options.config.session_limits(),
            rejection=task.rejection,
            last_head=_last_head(tx, session),
            notes=_notes(tx, session, task.planned.depends_on),
        )


def _with_ready_tasks(reader: Reader) -> list[Swarm]:
    return [
        swarm
        for swarm in reader.swarms()
        if swarm.state is SwarmState.RUNNING and reader.task_counts(swarm.id).get(TaskState.READY, 0)
    ]


def _running(reader: Reader, lease: WorkerLease) -> int:
    held = reader.works(worker_id=lease.worker_id, states=(WorkState.LEASED,))
    return sum(1 for work in held if work.kind is WorkKind.SESSION)


def _has_queued(reader: Reader, kinds: Sequence[WorkKind]) -> bool:
    return any(work.kind in kinds for work in reader.works(states=(WorkState.QUEUED,)))


def _computing_work(work: Work) -> AnyWork:
    """The payload was written when the work was queued; id and fence are those of this lease."""
    return WORK.validate_json(work.payload).model_copy(update={"work_id": work.id, "fence": work.fence})


def _before(reader: Reader, session: Session) -> list[Session]:
    """The task's ended sessions, the latest first."""
    ended = reader.sessions(session.swarm_id, task_id=session.task_id, states=(SessionState.ENDED,))
    return ended[-MOST_LOOKED_BACK:][::-1]


def _result(reader: Reader, session: Session) -> SessionResult | None:
    text = reader.session_result(session.id)
    found = RESULT.validate_json(text) if text is not None else None
    return found if isinstance(found, SessionResult) else None


def _last_head(reader: Reader, session: Session) -> str | None:
    """The commit of the latest session before this one that wrote anything, however it ended."""
    results = (_result(reader, one) for one in _before(reader, session))
    return next((one.head for one in results if one is not None and one.head != one.base), None)


def _notes(reader: Reader, session: Session, depends_on: Sequence[TaskId]) -> tuple[NoteFromTask, ...]:
    """What the session that handed over says it did, and what the landed sessions of the tasks this one depends on want
    the next agent to know.
    """
    notes = _handed_over(reader, session)
    for task_id in depends_on:
        for change in reader.changes(session.swarm_id, task_id=task_id)[-1:]:
            handoff = _handoff(change.handoff, change.id)
            notes += [NoteFromTask(task_id=task_id, text=text) for text in (*handoff.notes, *handoff.risks)]
    return tuple(notes[:MOST_NOTES])


def _handed_over(reader: Reader, session: Session) -> list[NoteFromTask]:
    before = next(iter(_before(reader, session)), None)
    if before is None or before.outcome is not SessionOutcome.HANDED_OFF:
        return []
    result = _result(reader, before)
    if result is None or result.handoff is None:
        return []
    handoff = _handoff(result.handoff, before.id)
    texts = (handoff.done, *handoff.notes, *handoff.risks)
    return [NoteFromTask(task_id=session.task_id, text=text) for text in texts if text.strip()]


def _handoff(text: str, where: str) -> Handoff:
    """A stored handoff; one that cannot be read (written before it was checked) has nothing to say, and stops nobody."""
    try:
        return handoff_wire.parse(text)
    except InvalidDocumentError as error:
        log.warning("the handoff of %s cannot be read: %s", where, error)
        return Handoff("submitted", "")
