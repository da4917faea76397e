"""People and running sessions: which session is meant, a person's words on their way to it, and an agent's to a person."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError, LimitReachedError, NotFoundError, UnauthenticatedError, UsageError
from swarmworks.base.ids import IdSource, MessageId, QuestionId, SessionId, SwarmId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.question import Message, Question
from swarmworks.domain.session import Session, SessionState
from swarmworks.domain.task import TaskState
from swarmworks.policy.redact import redact
from swarmworks.policy.wording import plain
from swarmworks.service import questions
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire.conversing import SessionRow
from swarmworks.wire.options import from_json

MOST_WAITING = 20
"""Messages to one session that it has not been handed yet."""
MOST_PROGRESS_CHARS = 500
MOST_PROGRESS = 200
PROGRESS_EVERY_S = 2.0
REMEMBERED = 2_000
"""Sessions whose last report is remembered."""


@dataclass(frozen=True, slots=True)
class _Reported:
    """How many times a session has said how far it is, and when last, on the monotonic clock."""

    times: int
    at: float


class Conversing:
    """`deaf`: the programs of agents that cannot be told anything while they run."""

    def __init__(self, store: Store, ids: IdSource, clock: Clock, deaf: Collection[str] = frozenset()) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._deaf = deaf
        self._progress: OrderedDict[SessionId, _Reported] = OrderedDict()

    # --- agents

    async def caller(self, token: str) -> Session:
        """The running session whose token it is; UnauthenticatedError for any other."""
        hashed = hashlib.sha256(token.encode()).hexdigest()

        def look(reader: Reader) -> Session | None:
            session_id = reader.token_session(hashed)
            return None if session_id is None else reader.session(session_id)

        session = await self._store.read(look)
        if session is None or session.state is SessionState.ENDED:
            raise UnauthenticatedError("this token is not valid")
        return session

    async def progress(self, session: Session, text: str) -> bool:
        """False when it was not put on record: said too often."""
        if not self._may_report(session.id):
            return False
        data = {"text": redact(plain(text, MOST_PROGRESS_CHARS))}
        actor = f"agent:{session.agent_id.rpartition('/')[2]}"
        row = NewEvent("session.progress", actor, data, session.task_id, session.id)
        await self._store.transact(lambda tx: tx.append(session.swarm_id, row))
        return True

    def _may_report(self, session_id: SessionId) -> bool:
        now = self._clock.monotonic()
        before = self._progress.get(session_id, _Reported(0, now - PROGRESS_EVERY_S))
        if before.times >= MOST_PROGRESS or now - before.at < PROGRESS_EVERY_S:
            return False
        self._progress[session_id] = _Reported(before.times + 1, now)
        while len(self._progress) > REMEMBERED:
            self._progress.popitem(last=False)
        return True

    async def ask(self, session: Session, text: str) -> Question:
        """LimitReachedError for one question too many; ConflictError when the session has ended."""
        question_id = QuestionId(self._ids.new("qst"))

        def write(tx: Tx) -> Question:
            if len(questions.of_session(tx, session)) >= questions.MOST_QUESTIONS:
                raise LimitReachedError(f"a session may ask {questions.MOST_QUESTIONS} questions, not more")
            return questions.put(tx, question_id, session, text)

        return await self._store.transact(write)

    async def question(self, question_id: QuestionId) -> Question:
        return await self._store.read(lambda reader: reader.question(question_id))

    async def hears(self, session: Session) -> bool:
        """Whether its agent can be told anything while it works, but for what a tool answers it."""
        return await self._store.read(lambda reader: questions.hears(reader, session, self._deaf))

    async def answer_wait_s(self, session: Session) -> float:
        """How long an agent waits for an answer before it is told to go on."""
        swarm = await self._store.read(lambda reader: reader.swarm(session.swarm_id))
        return from_json(swarm.options).config.agents.answer_wait_s

    # --- people

    async def find(self, swarm_id: SwarmId, wanted: str) -> SessionRow:
        """The session that `wanted` names: by its id or a part of it, or the latest of a task or of an agent; one that runs
        comes first.
        """
        return await self._store.read(lambda reader: row_of(reader, _find(reader, swarm_id, wanted)))

    async def say(self, swarm_id: SwarmId, to: str, text: str, person: str) -> tuple[Message, SessionRow]:
        """ConflictError when nobody hears it: the session has ended, or its agent's program cannot be told anything."""
        message_id = MessageId(self._ids.new("msg"))

        def write(tx: Tx) -> tuple[Message, SessionRow]:
            session = _find(tx, swarm_id, to)
            if session.state is SessionState.ENDED:
                raise ConflictError(
                    f"the session {session.id} of {session.task_id} has ended ({session.outcome})",
                    where=to,
                    mend="tell the task's next session instead: swarm retry with a note",
                )
            if tx.task(swarm_id, session.task_id).state is TaskState.REVIEW:
                raise ConflictError(
                    f"{session.id} is a model that reads the change of {session.task_id}: it hears nobody",
                    where=to,
                    mend="see `swarm inbox`",
                )
            if not questions.hears(tx, session, self._deaf):
                raise ConflictError(
                    f"the agent of {session.task_id} is a program that hears nothing while it works",
                    where=to,
                    mend=f'tell the task\'s next session instead: swarm retry {session.task_id} --note "..." once it is blocked',
                )
            if sum(1 for one in tx.messages(session.id) if one.delivered_at is None) >= MOST_WAITING:
                raise ConflictError(
                    f"{MOST_WAITING} messages wait for the session already", where=to, mend="let it hear those first"
                )
            message = tx.insert_message(message_id, session.id, person, text)
            data = {"message": message_id, "session": session.id, "text": redact(text)}
            tx.append(swarm_id, NewEvent("message.sent", person, data, session.task_id, session.id))
            return message, row_of(tx, session)

        return await self._store.transact(write)


def _find(reader: Reader, swarm_id: SwarmId, wanted: str) -> Session:
    sessions = reader.sessions(swarm_id)
    exact = [one for one in sessions if one.id == wanted]
    of_task = [one for one in sessions if one.task_id == wanted]
    of_agent = [one for one in sessions if one.agent_id.rpartition("/")[2] == wanted]
    for found in (exact, of_task, of_agent):
        if found:
            running = [one for one in found if one.state is not SessionState.ENDED]
            return (running or found)[-1]
    parts = [one for one in sessions if wanted in one.id]
    if len(parts) == 1:
        return parts[0]
    if parts:
        known = ", ".join(one.id for one in parts[:5])
        raise UsageError(f"{wanted!r} could be any of {known}", where=swarm_id, mend="write more of the id")
    if any(task.id == wanted for task in reader.tasks(swarm_id)):
        raise NotFoundError(f"the task {wanted} has had no session yet", where=swarm_id, mend="wait until it is begun")
    running = sorted({one.task_id for one in sessions if one.state is not SessionState.ENDED})
    mend = (
        f"running now: {', '.join(running[:10])}" if running else "nothing runs now; `swarm status` shows what is there"
    )
    raise NotFoundError(f"there is no session, task or agent {wanted!r}", where=swarm_id, mend=mend)


def row_of(reader: Reader, session: Session) -> SessionRow:
    task = reader.task(session.swarm_id, session.task_id).planned
    return SessionRow(
        id=session.id,
        task_id=session.task_id,
        title=task.title,
        agent=session.agent_id.rpartition("/")[2],
        model=session.model,
        runtime=from_json(reader.swarm(session.swarm_id).options).runtime_for(kind=task.kind, role=task.role),
        attempt=session.attempt,
        state=str(session.state),
        outcome=None if session.outcome is None else str(session.outcome),
        reason=session.reason,
        started_at=session.started_at,
        ended_at=session.ended_at,
    )
