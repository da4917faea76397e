"""Conflicts seen coming: agents who change the same lines while both still work, or one who does what a waiting change does.

What a session has written so far is read from its own reference, where its worker saves it. Each session is told of each other
task once, on record; it is free to go on, and the merge queue decides as ever.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from swarmworks.base.errors import SwarmworksError
from swarmworks.base.ids import MessageId, SessionId, SwarmId, TaskId
from swarmworks.domain.change import Change, ChangeState
from swarmworks.domain.event import NewEvent
from swarmworks.domain.question import PLATFORM, QUEUE
from swarmworks.domain.refs import WORK, work_ref
from swarmworks.domain.session import Session, SessionState
from swarmworks.domain.swarm import Swarm, SwarmState
from swarmworks.domain.task import TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.patterns import is_among
from swarmworks.policy.tiers import NO_MODEL
from swarmworks.policy.wording import plain
from swarmworks.service.queue_conflicts import Conflicts
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire.options import from_json

log = logging.getLogger(__name__)

IN_FLIGHT = (ChangeState.SUBMITTED, ChangeState.APPROVED, ChangeState.BUILDING)
MOST_FILES = 5
MOST_CHARS = 1_500


@dataclass(frozen=True, slots=True)
class _Flight:
    """What is under way in a swarm: sessions at work and changes that have not landed, by their id, and the task of each."""

    swarm: Swarm
    sessions: Mapping[str, Session]
    changes: Mapping[str, Change]

    def task(self, name: str) -> TaskId:
        return self.sessions[name].task_id if name in self.sessions else self.changes[name].task_id


@dataclass(frozen=True, slots=True)
class _Warning:
    """`session` touches the same places of `files` as `other`, a session or a change."""

    session: str
    other: str
    files: Sequence[str]


class Foreseeing:
    def __init__(self, store: Store, hub: Hub) -> None:
        self._store = store
        self._hub = hub
        self._conflicts: dict[SwarmId, Conflicts] = {}
        self._told: dict[SwarmId, set[MessageId]] = {}

    async def look(self) -> bool:
        """The chore: compare what is under way in each swarm, and tell whom it concerns. Never more to do at once."""
        flights = await self._store.read(_flights)
        for gone in self._conflicts.keys() - {flight.swarm.id for flight in flights}:
            del self._conflicts[gone]
            self._told.pop(gone, None)
        for flight in flights:
            try:
                await self._look_at(flight)
            except SwarmworksError as error:
                log.warning("conflicts in %s cannot be foreseen now: %s", flight.swarm.id, error)
        return False

    async def _look_at(self, flight: _Flight) -> None:
        head = await asyncio.to_thread(self._hub.resolve, flight.swarm.integration_ref)
        if head is None:
            return
        commits = await asyncio.to_thread(self._commits, flight)
        known = self._conflicts.setdefault(flight.swarm.id, Conflicts(self._hub))
        await asyncio.to_thread(known.survey_commits, head, commits)
        told = self._told.setdefault(flight.swarm.id, set())
        for one in _warnings(flight, known):
            message_id = _message_id(one.session, flight.task(one.other))
            if message_id not in told:
                await self._store.transact(lambda tx, w=one, m=message_id: _tell(tx, flight, w, m))
                told.add(message_id)

    def _commits(self, flight: _Flight) -> dict[str, str]:
        """Of whoever has something to show."""
        found: dict[str, str] = {change.id: change.head for change in flight.changes.values()}
        saved_at = self._hub.refs(f"{WORK}{flight.swarm.id}/")
        for session in flight.sessions.values():
            saved = saved_at.get(work_ref(session.swarm_id, session.task_id, session.fence))
            if saved is not None and saved != session.base_commit:
                found[session.id] = saved
        return found


def _flights(reader: Reader) -> list[_Flight]:
    """Of swarms in which two or more are under way, and one of them at work."""
    found: list[_Flight] = []
    for swarm in reader.swarms(states=(SwarmState.RUNNING,)):
        sessions: dict[str, Session] = {one.id: one for one in _at_work(reader, swarm.id)}
        changes = reader.changes(swarm.id, states=IN_FLIGHT) if sessions else []
        if sessions and len(sessions) + len(changes) > 1:
            found.append(_Flight(swarm, sessions, {one.id: one for one in changes}))
    return found


def _at_work(reader: Reader, swarm_id: SwarmId) -> Iterable[Session]:
    """Without models that read a change: they write nothing."""
    for session in reader.sessions(swarm_id, states=(SessionState.RUNNING,)):
        if reader.task(swarm_id, session.task_id).state is TaskState.RUNNING:
            yield session


def _warnings(flight: _Flight, known: Conflicts) -> Iterable[_Warning]:
    """Not to commands, which hear nothing, and not about files for which the project has a rule."""
    edges, rules = known.edges(), from_json(flight.swarm.options).config.merge
    for name in sorted(one for one, session in flight.sessions.items() if session.model != NO_MODEL):
        for other in sorted(edges.get(name, ())):
            if flight.task(other) != flight.task(name):
                files = known.files(name, other)
                left = tuple(path for path in files if not is_among(path, (*rules.union, *rules.generated)))
                if left or not files:
                    yield _Warning(name, other, left)


def _message_id(session: str, other: TaskId) -> MessageId:
    """The same for the same pair: what was told before is not told again, by whichever control plane."""
    return MessageId(f"msg_{hashlib.sha256(f'{session} {other}'.encode()).hexdigest()[:24]}")


def _tell(tx: Tx, flight: _Flight, warning: _Warning, message_id: MessageId) -> None:
    session = tx.session(SessionId(warning.session))
    if session.state is SessionState.ENDED or any(one.id == message_id for one in tx.messages(session.id)):
        return
    task_id = flight.task(warning.other)
    title = tx.task(session.swarm_id, task_id).planned.title
    files = [plain(path, 200) for path in warning.files[:MOST_FILES]]
    more = f" and {len(warning.files) - MOST_FILES} more" if len(warning.files) > MOST_FILES else ""
    named = f"{', '.join(files)}{more}"
    whose = (
        "another agent is at work on" if warning.other in flight.sessions else "a change that waits to land has done"
    )
    text = (
        f"The platform says: {whose} task {task_id} ({title}), and both of you change the same lines of {named}. Whoever lands "
        "second has to fit that part to the other's. Keep your change there as small as your task allows, add beside rather "
        "than rewrite, and go on."
    )
    tx.insert_message(message_id, session.id, QUEUE, plain(text, MOST_CHARS))
    data: dict[str, object] = {"message": message_id, "other": task_id, "paths": named}
    tx.append(session.swarm_id, NewEvent("conflict.foreseen", PLATFORM, data, session.task_id, session.id))
