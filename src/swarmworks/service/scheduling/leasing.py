"""Handing out work: ready tasks to idle agents as sessions, and queued gate runs and builds, under a worker's lease."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from swarmworks.base.clock import Clock
from swarmworks.base.errors import InvalidDocumentError
from swarmworks.base.ids import SessionId, SwarmId, TaskId
from swarmworks.domain.budget import Amount, Limit
from swarmworks.domain.event import NewEvent
from swarmworks.domain.handoff import Handoff
from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind, WorkState
from swarmworks.domain.plan import COMMAND
from swarmworks.domain.refs import work_ref
from swarmworks.domain.session import Session, SessionOutcome, SessionState
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.admit import SESSION_MEMORY_BYTES, Choice, ClaimFacts, ReadyTask, choose, session_places
from swarmworks.policy.tiers import BUILT_IN_SPEAKS, NO_MODEL, Candidate, ModelBook, Wire
from swarmworks.service import review_sessions, task_time
from swarmworks.service.parking import parked_change
from swarmworks.service.plan_reviews import plan_hold
from swarmworks.service.resolving import conflicting, made_anew
from swarmworks.service.scheduling.purse import affordable, paused_by
from swarmworks.store.protocol import Reader, SessionTerms, Store, Tx
from swarmworks.wire import handoff as handoff_wire
from swarmworks.wire.options import SwarmOptions, from_json
from swarmworks.wire.work import RESULT, WORK, AnyWork, NoteFromTask, SessionResult, SessionWork

log = logging.getLogger(__name__)

BUILTIN = "builtin"
MOST_NOTES = 40
MOST_LOOKS = 3
"""How often a claim looks up the branch again because something landed meanwhile."""

MOST_LOOKED_BACK = 10
"""Ended sessions of a task that are looked through for work it can go on from."""


@dataclass(frozen=True, slots=True)
class Program:
    """What there is to know of a runtime before a session begins: the wire formats it speaks with a model, and the memory that
    its session is admitted with.
    """

    speaks: frozenset[Wire]
    memory_bytes: int


BUILT_IN = Program(BUILT_IN_SPEAKS, SESSION_MEMORY_BYTES)


class Leasing:
    """`programs`: by the runtime's name. `available`: whether a model, by its full name, answers now; while none
    does that a task may ask for, its session is not begun: it would only wait, and count as one that could not be run.
    `room`: whether the subscription a model is paid by would take a call now; a task whose session could only wait for
    that is left for later.
    """

    def __init__(
        self,
        store: Store,
        hub: Hub,
        clock: Clock,
        least: Callable[[str], Amount],
        book: ModelBook,
        programs: Mapping[str, Program],
        available: Callable[[str], bool] = lambda _model: True,
        room: Callable[[Reader, str], bool] = lambda _reader, _model: True,
    ) -> None:
        self._room = room
        self._store = store
        self._hub = hub
        self._clock = clock
        self._least = least
        self._book = book
        self._programs = programs
        self._available = available

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
        if not await self._store.read(lambda reader: reader.has_queued(kinds)):
            return []

        def write(tx: Tx) -> list[AnyWork]:
            return [self._claimed(tx, lease, work) for work in tx.claim_work(lease, free, kinds)]

        return await self._store.transact(write)

    def _claimed(self, tx: Tx, lease: WorkerLease, work: Work) -> AnyWork:
        if work.kind is not WorkKind.REVIEW:
            return _computing_work(work)
        begins = self._begins(review_sessions.review_work(work).model, BUILTIN)
        return review_sessions.begin(tx, lease, work, begins.name, begins.wire)

    def _begins(self, asked: str, runtime: str) -> Candidate:
        """With which model, and in which format, a session begins; with one that does not answer where none does."""
        speaks = self._program(runtime).speaks
        found = self._book.first(asked, speaks, self._available) or self._book.first(asked, speaks, _any)
        return found or Candidate(self._book.chain(asked)[0], "openai" if "openai" in speaks else min(speaks))

    def _program(self, runtime: str) -> Program:
        return self._programs.get(runtime, BUILT_IN)

    def _may_answer(self, asked: str, runtime: str) -> Iterator[str]:
        """What a session begins with, and those of its format that would stand in for it now."""
        begins = self._begins(asked, runtime)
        yield begins.model
        for one in self._book.spoken(asked, self._program(runtime).speaks):
            if one.wire == begins.wire and self._available(one.model):
                yield one.model

    def _answering(self, options: SwarmOptions) -> bool:
        if options.model == NO_MODEL:
            return True
        spoken = [self._book.spoken(asked, self._program(runtime).speaks) for runtime, asked in options.pairs()]
        return any(not chain or any(self._available(one.model) for one in chain) for chain in spoken)

    async def _sessions(self, lease: WorkerLease, free: Capacity) -> list[AnyWork]:
        taken: list[AnyWork] = []
        swarms, running = await self._store.read(lambda reader: (_with_ready_tasks(reader), _running(reader, lease)))
        for swarm in swarms:
            options = from_json(swarm.options)
            memory = self._memory(options)
            places = session_places(free, running=running, memory_bytes=memory) - len(taken)
            if places > 0:
                taken += await self._sessions_of(lease, swarm, options, places)
        return taken

    def _memory(self, options: SwarmOptions) -> int:
        """What each session of a swarm is admitted with: as much as the largest of its programs takes."""
        return max(self._program(runtime).memory_bytes for runtime, _ in options.pairs())

    async def _sessions_of(self, lease: WorkerLease, swarm: Swarm, options: SwarmOptions, places: int) -> list[AnyWork]:
        """A landing moves the branch before it moves the task. So the head holds everything that had landed when it was looked
        up; a task that became ready by a landing since must not start on it.
        """
        if not self._answering(options):
            return []
        for _ in range(MOST_LOOKS):
            landed = await self._store.read(lambda reader: _landed(reader, swarm.id))
            head = await asyncio.to_thread(self._hub.resolve, swarm.integration_ref)
            taken = await self._claim(lease, swarm, options, head or swarm.base, landed, places)
            if taken is not None:
                return taken
        return []  # it lands faster than it is looked at: whoever asks next has a newer head

    async def _claim(
        self, lease: WorkerLease, swarm: Swarm, options: SwarmOptions, head: str, landed: int, places: int
    ) -> list[AnyWork] | None:
        """None when something landed since `landed` was counted."""
        limits = options.config.session_limits()
        terms = SessionTerms(
            model=options.model,
            base_commit=head,
            need=Capacity(agents=1, cpu_slots=0, memory_bytes=self._memory(options)),
            least=self._least(options.model),
            limit=Limit(limits.cost_nano_usd, limits.tokens, limits.calls),
            exclusive=options.config.files.exclusive,
            models={**options.kinds, COMMAND: NO_MODEL},
        )

        def write(tx: Tx) -> list[AnyWork] | None:
            tx.hold_worker(lease)
            if _landed(tx, swarm.id) != landed:
                return None
            if not affordable(tx, swarm, terms.least) or paused_by(tx, swarm, terms.least):
                return []
            claimed = tx.claim_sessions(lease, swarm.id, terms, places, self._choosing(tx, options))
            return [self._start(tx, swarm, options, session, work) for session, work in claimed]

        taken = await self._store.transact(write)
        return None if taken is None else [await self._with_what_was_saved(work) for work in taken]

    async def _with_what_was_saved(self, work: AnyWork) -> AnyWork:
        """A session that was lost, its worker killed, has said nothing of its work: that is on its own reference all the same."""
        if not isinstance(work, SessionWork) or work.fence <= 1:
            return work
        for ref, base in await self._store.read(lambda reader: _unreported(reader, work.session_id)):
            head = await asyncio.to_thread(self._hub.resolve, ref)
            if head is not None and head != base:
                return work.model_copy(update={"last_head": head})
        return work

    def _choosing(self, reader: Reader, options: SwarmOptions) -> Callable[[ClaimFacts], list[Choice]]:
        """Without the tasks whose sessions could only wait: every model that may answer them is paid by a subscription that is
        used up.
        """
        known: dict[tuple[str, str], bool] = {}

        def has_room(task: ReadyTask) -> bool:
            if not task.needs_a_model:
                return True
            asked = options.model_for(kind=task.kind, role=task.role)
            runtime = options.runtime_for(kind=task.kind, role=task.role)
            if (asked, runtime) not in known:
                known[asked, runtime] = any(self._room(reader, model) for model in self._may_answer(asked, runtime))
            return known[asked, runtime]

        return lambda facts: choose(replace(facts, ready=[task for task in facts.ready if has_room(task)]))

    def _start(self, tx: Tx, swarm: Swarm, options: SwarmOptions, session: Session, work: Work) -> SessionWork:
        token = f"swk_{secrets.token_urlsafe(32)}"
        tx.start_session(session.id, hashlib.sha256(token.encode()).hexdigest())
        task = tx.task(swarm.id, session.task_id)
        parked = parked_change(tx, swarm.id, task.planned)
        before = _hands_over(tx, session)
        if before is not None:
            tx.begin_takeover(session.id, before.session_id)
        conflict, anew = conflicting(tx, task), made_anew(tx, session, task)
        begins_with = before if before is not None and before.head != before.base else conflict or parked
        begins_with = anew or begins_with
        runtime = COMMAND if anew else options.runtime_for(kind=task.planned.kind, role=task.planned.role)
        begins = self._begins(session.model, runtime)
        agent = next(agent for agent in tx.agents(swarm.project) if agent.id == session.agent_id)
        identity = {
            "agent": agent.name,
            "role": agent.role,
            "model": session.model,
            "runtime": runtime,
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
            model=begins.model,
            wire=begins.wire,
            token=token,
            limits=task_time.limits_of(tx, session, options.config),
            rejection=task.rejection,
            last_head=_last_head(tx, session),
            notes=_notes(tx, session, task.planned.depends_on),
            runtime=runtime,
            summary=None if before is None else before.handoff,
            start=task.planned.reverted or (None if begins_with is None else begins_with.head),
            start_base=task.planned.reverted or (None if begins_with is None else begins_with.base),
            guidance=task.guidance.note if task.guidance else None,
            resolves=conflict is not None and begins_with in {conflict, anew},
            regenerates=anew is not None,
        )


def _any(_model: str) -> bool:
    return True


def _with_ready_tasks(reader: Reader) -> list[Swarm]:
    return [
        swarm
        for swarm in reader.swarms(states=(SwarmState.RUNNING,))
        if reader.task_counts(swarm.id)[TaskState.READY] and plan_hold(reader, swarm.id) is None
    ]


def _landed(reader: Reader, swarm_id: SwarmId) -> int:
    counts = reader.task_counts(swarm_id)
    return counts[TaskState.LANDED] + counts[TaskState.SUPERSEDED]


def _running(reader: Reader, lease: WorkerLease) -> int:
    held = reader.works(worker_id=lease.worker_id, states=(WorkState.LEASED,))
    return sum(1 for work in held if work.kind is WorkKind.SESSION)


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


def _unreported(reader: Reader, session_id: SessionId) -> list[tuple[str, str]]:
    """Where the work is kept of the sessions since the last one that reported any, the latest first, and what each began with."""
    session, found = reader.session(session_id), list[tuple[str, str]]()
    for one in _before(reader, session):
        result = _result(reader, one)
        if result is not None and result.head != result.base:
            break
        if result is None:
            found.append((work_ref(one.swarm_id, one.task_id, one.fence), one.base_commit))
    return found


@dataclass(frozen=True, slots=True)
class _HandsOver:
    """The session whose context was used up, its handoff and its work, which holds whatever it began with."""

    session_id: SessionId
    handoff: str
    base: str
    head: str


def _hands_over(reader: Reader, session: Session) -> _HandsOver | None:
    before = next(iter(_before(reader, session)), None)
    if before is None or before.outcome is not SessionOutcome.HANDED_OFF:
        return None
    result = _result(reader, before)
    if result is None or result.handoff is None:
        return None
    return _HandsOver(before.id, result.handoff, result.base, result.head)


def _notes(reader: Reader, session: Session, depends_on: Sequence[TaskId]) -> tuple[NoteFromTask, ...]:
    """What the session that waited for an answer says it did, and what the landed sessions of the tasks this one depends on
    want the next agent to know.
    """
    notes = _asked_before(reader, session)
    for task_id in depends_on:
        for change in reader.changes(session.swarm_id, task_id=task_id)[-1:]:
            handoff = _handoff(change.handoff, change.id)
            notes += [NoteFromTask(task_id=task_id, text=text) for text in (*handoff.notes, *handoff.risks)]
    return tuple(notes[:MOST_NOTES])


def _asked_before(reader: Reader, session: Session) -> list[NoteFromTask]:
    before = next(iter(_before(reader, session)), None)
    if before is None or before.outcome is not SessionOutcome.ASKED:
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
