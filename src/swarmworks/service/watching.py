"""Keeping watch: workers that fell silent are fenced out, and what they held is given back.

Liveness is judged by a counter and this process's own monotonic clock: a worker whose renewal counter stands still for a
TTL is expired, on the condition that it still does in the same transaction. A wall clock that jumps kills nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError
from swarmworks.base.ids import MessageId, SessionId, SwarmId, WorkerId, WorkId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import Capacity, Work, WorkerLease, WorkKind, WorkState
from swarmworks.domain.question import PLATFORM, QUEUE, Message
from swarmworks.domain.session import SessionOutcome, SessionState
from swarmworks.domain.swarm import SwarmState
from swarmworks.domain.task import TaskState
from swarmworks.policy.silence import Sign, Silence
from swarmworks.service import questions, review_sessions
from swarmworks.service.attempts import conclude
from swarmworks.store.protocol import Store, Tx

MOST_WORDS = 200
"""Messages in one answer: the confirmation names each of them, in the head of a request."""


class Renewed(NamedTuple):
    """What the worker must end at once, what it must end gracefully, with the reason, and what people say to its sessions.
    `limited`: sessions that ran into a limit only the control plane sees. `tell`: the platform's own words. `hand_over`: those
    whose context fills up, and how far. `words`: all that is said here, for the worker to confirm.
    """

    lost: tuple[WorkId, ...]
    stop: dict[WorkId, str]
    limited: dict[WorkId, str]
    say: dict[WorkId, tuple[str, ...]]
    tell: dict[WorkId, tuple[str, ...]]
    hand_over: dict[WorkId, str]
    words: tuple[MessageId, ...] = ()


class Watching:
    def __init__(self, store: Store, clock: Clock, ttl_s: float) -> None:
        self._store = store
        self._clock = clock
        self._ttl_s = ttl_s
        self._silence: Silence[WorkerId] = Silence(ttl_s / 2)

    async def register(self, worker_id: WorkerId, name: str, capacity: Capacity) -> WorkerLease:
        return await self._store.transact(lambda tx: tx.register_worker(worker_id, name, capacity, self._ttl_s))

    async def renew(
        self, lease: WorkerLease, holding: frozenset[WorkId], heard: Sequence[MessageId] | None = None
    ) -> Renewed:
        """FenceLostError when the worker has been expired: it must end everything. `heard`: the words of the last answer that
        reached it; None of a worker that does not say.
        """

        def write(tx: Tx) -> Renewed:
            renewal = tx.renew_worker(lease, holding)
            for work_id in renewal.orphaned:
                give_back(tx, tx.work(work_id), "the worker never received it")
            held = _sessions(tx, lease, holding) if holding else []
            sessions = {SessionId(work.subject): work.id for work in held}
            stops = tx.session_stops(tuple(sessions)) if sessions else {}
            limited = {sessions[session_id]: reason for session_id, reason in stops.items()}
            said = _to_say(tx, tuple(sessions), heard) if sessions else []
            say = _by_work(sessions, [one for one in said if one.sender not in {PLATFORM, QUEUE}])
            tell = _by_work(sessions, [one for one in said if one.sender == QUEUE])
            asked = _by_work(sessions, [one for one in said if one.sender == PLATFORM])
            hand_over = {work_id: texts[0] for work_id, texts in asked.items()}
            words = tuple(one.id for one in said) if heard is not None else ()
            return Renewed(renewal.lost, _to_stop(tx, held), limited, say, tell, hand_over, words)

        return await self._store.transact(write)

    async def confirm(self, lease: WorkerLease, heard: Sequence[MessageId]) -> None:
        """What its sessions were told has reached the worker. FenceLostError when it has been expired."""

        def write(tx: Tx) -> None:
            tx.hold_worker(lease)
            held = tx.works(worker_id=lease.worker_id, states=(WorkState.LEASED,))
            sessions = [SessionId(work.subject) for work in held if work.kind is WorkKind.SESSION]
            if sessions:
                _delivered(tx, sessions, heard)

        await self._store.transact(write)

    async def remove(self, lease: WorkerLease) -> None:
        await self._store.transact(lambda tx: tx.remove_worker(lease))

    @property
    def ttl_s(self) -> float:
        return self._ttl_s

    async def expire_all(self, why: str = "the control plane was restarted") -> None:
        """In the only control plane there can be: whoever was registered belongs to the process before this one."""
        for worker in await self._store.read(lambda reader: reader.workers()):
            await self._expire(worker.id, worker.renewals, why)

    async def watch(self) -> bool:
        """The chore: expire the workers that stood still for a TTL. True when one was."""
        began = self._clock.monotonic()
        workers = await self._store.read(lambda reader: reader.workers())
        signs = {worker.id: Sign(worker.renewals, worker.ttl_s) for worker in workers}
        silent = self._silence.look(began, self._clock.monotonic(), signs)
        for worker in workers:
            if worker.id in silent:
                await self._expire(worker.id, worker.renewals, f"no sign of life for {worker.ttl_s:g} s")
        return bool(silent)

    async def end(self, swarm_id: SwarmId, session_id: SessionId, person: str, why: str) -> None:
        """A person ends a session: from now on its token opens nothing; what it has under way at a provider is settled; its
        worker ends it at its next renewal, and keeps what it wrote. ConflictError when it has ended already.
        """

        def write(tx: Tx) -> None:
            leased = tx.works(swarm_id=swarm_id, states=(WorkState.LEASED,))
            work = next((one for one in leased if one.kind is WorkKind.SESSION and one.subject == session_id), None)
            if work is None:
                raise ConflictError(
                    "there is no such session at work", where=session_id, mend="see which are: swarm status"
                )
            give_back(tx, work, why, outcome=SessionOutcome.KILLED, actor=person)

        await self._store.transact(write)

    async def _expire(self, worker_id: WorkerId, renewals: int, why: str) -> None:
        def write(tx: Tx) -> None:
            for work in tx.expire_worker(worker_id, renewals):
                give_back(tx, work, f"worker {worker_id} was lost: {why}")

        await self._store.transact(write)


def give_back(
    tx: Tx, work: Work, why: str, *, outcome: SessionOutcome = SessionOutcome.LOST, actor: str = "platform"
) -> None:
    """Work whose worker is gone, or that a person ended: gates and builds wait for another, a session's task is ready again. No attempt is
    charged, unless the task has lost sessions too often. What the session wrote is on its own ref as soon as a worker looks after the leftovers.
    """
    if tx.expire_work(work.id, work.fence) is None:
        return
    if work.kind is WorkKind.REVIEW:
        review_sessions.give_back(tx, work, why)
    if work.kind is not WorkKind.SESSION:
        return
    session = tx.session(SessionId(work.subject))
    if session.state is not SessionState.ENDED:
        tx.end_session(session.id, outcome, why)
        questions.withdraw(tx, session)
        questions.pass_on(tx, session)
        data = {"outcome": str(outcome), "reason": why}
        tx.append(work.swarm_id, NewEvent("session.ended", actor, data, work.task_id, session.id))
    if tx.task(work.swarm_id, work.task_id).state is TaskState.RUNNING:
        conclude(tx, session, outcome, why)


def _to_stop(tx: Tx, held: Sequence[Work]) -> dict[WorkId, str]:
    """Sessions of swarms that are stopping. A look only, which waits for nobody."""
    if not held:
        return {}
    stopping = {swarm.id: swarm.reason or "stopped" for swarm in tx.swarms(states=(SwarmState.STOPPING,))}
    return {work.id: stopping[work.swarm_id] for work in held if work.swarm_id in stopping}


def _sessions(tx: Tx, lease: WorkerLease, holding: frozenset[WorkId]) -> list[Work]:
    held = tx.works(worker_id=lease.worker_id, states=(WorkState.LEASED,))
    return [work for work in held if work.kind is WorkKind.SESSION and work.id in holding]


def _to_say(tx: Tx, sessions: Sequence[SessionId], heard: Sequence[MessageId] | None) -> list[Message]:
    """What the worker has not confirmed is said again: the answer that said it was lost. To a worker that confirms nothing words
    are handed over once.
    """
    if heard:
        _delivered(tx, sessions, heard)
    said = tx.undelivered_messages(sessions)[:MOST_WORDS]
    if said and heard is None:
        _delivered(tx, sessions, [one.id for one in said])
    return said


def _delivered(tx: Tx, sessions: Sequence[SessionId], heard: Sequence[MessageId]) -> None:
    for message in tx.mark_delivered(heard, sessions):
        task_id = tx.session(message.session_id).task_id
        data = {"message": message.id, "session": message.session_id}
        tx.append(message.swarm_id, NewEvent("message.delivered", "platform", data, task_id, message.session_id))


def _by_work(works: dict[SessionId, WorkId], messages: Sequence[Message]) -> dict[WorkId, tuple[str, ...]]:
    found: dict[WorkId, tuple[str, ...]] = {}
    for message in messages:
        work_id = works[message.session_id]
        found[work_id] = (*found.get(work_id, ()), message.text)
    return found
