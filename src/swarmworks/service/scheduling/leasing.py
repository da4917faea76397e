"""Handing out work: ready tasks to idle agents as sessions, and queued gate runs and builds, under a worker's lease."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence

from swarmworks.base.clock import Clock
from swarmworks.base.ids import SwarmId, TaskId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind, WorkState
from swarmworks.domain.session import Session
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.admit import choose
from swarmworks.store.protocol import Reader, SessionTerms, Store, Tx
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.options import SwarmOptions, from_json
from swarmworks.wire.work import WORK, AnyWork, NoteFromTask, SessionWork

SESSION_MEMORY_BYTES = 128 << 20
"""What a session of the built-in agent is admitted with: its interpreter, its tools and one command under way. Measured
peaks are recorded with every session."""

MOST_NOTES = 40


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
        for swarm in await self._store.read(_with_ready_tasks):
            places = min(free.agents, free.memory_bytes // SESSION_MEMORY_BYTES) - len(taken)
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
            last_head=_last_head(tx, swarm.id, session.task_id),
            notes=_notes(tx, swarm.id, task.planned.depends_on),
        )


def _with_ready_tasks(reader: Reader) -> list[Swarm]:
    return [
        swarm
        for swarm in reader.swarms()
        if swarm.state is SwarmState.RUNNING and reader.task_counts(swarm.id).get(TaskState.READY, 0)
    ]


def _has_queued(reader: Reader, kinds: Sequence[WorkKind]) -> bool:
    return any(work.kind in kinds for work in reader.works(states=(WorkState.QUEUED,)))


def _computing_work(work: Work) -> AnyWork:
    """The payload was written when the work was queued; id and fence are those of this lease."""
    return WORK.validate_json(work.payload).model_copy(update={"work_id": work.id, "fence": work.fence})


def _last_head(reader: Reader, swarm_id: SwarmId, task_id: TaskId) -> str | None:
    changes = reader.changes(swarm_id, task_id=task_id)
    return changes[-1].head if changes else None


def _notes(reader: Reader, swarm_id: SwarmId, depends_on: Sequence[TaskId]) -> tuple[NoteFromTask, ...]:
    """What the landed sessions of the tasks this one depends on want the next agent to know."""
    notes: list[NoteFromTask] = []
    for task_id in depends_on:
        for change in reader.changes(swarm_id, task_id=task_id)[-1:]:
            handoff = handoff_wire.parse(change.handoff)
            notes += [NoteFromTask(task_id=task_id, text=text) for text in (*handoff.notes, *handoff.risks)]
    return tuple(notes[:MOST_NOTES])
