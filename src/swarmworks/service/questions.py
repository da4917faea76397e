"""An agent's question to a person, from the moment it is put to what becomes of its task. Called within a transaction."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from swarmworks.base.ids import QuestionId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.question import PLATFORM, QUEUE, Question, QuestionState
from swarmworks.domain.session import Session
from swarmworks.domain.task import Guidance, Task, TaskEvent
from swarmworks.policy.wording import plain
from swarmworks.store.protocol import Reader, Tx
from swarmworks.wire.options import from_json

MOST_QUESTION_CHARS = 2_000
MOST_GUIDANCE_CHARS = 8_000
MOST_QUESTIONS = 10
"""Of one session."""


def of_session(reader: Reader, session: Session) -> list[Question]:
    """Oldest first."""
    return [one for one in reader.questions(session.swarm_id) if one.session_id == session.id]


def put(tx: Tx, question_id: QuestionId, session: Session, text: str, paths: Sequence[str] = ()) -> Question:
    """The session's open question in the same words, else a new one under `question_id`. The session must be open."""
    words = shown(text)
    for known in of_session(tx, session):
        if known.state is QuestionState.OPEN and known.text == words:
            return known
    question = tx.insert_question(question_id, session.id, words, paths)
    actor = f"agent:{session.agent_id.rpartition('/')[2]}"
    data: dict[str, object] = {"question": question.id, "text": words}
    if paths:
        data["paths"] = list(paths)
    tx.append(session.swarm_id, NewEvent("question.asked", actor, data, session.task_id, session.id))
    return question


def last_question(tx: Tx, question_id: QuestionId, session: Session, text: str) -> Question:
    """What a session that cannot go on waits for: the question it has open, else the one a person has just answered, else
    what it asks in its handoff. Called before the session is ended.
    """
    mine = of_session(tx, session)
    waiting = [one for one in mine if one.state is QuestionState.OPEN]
    answered = [one for one in mine if one.state is QuestionState.ANSWERED and one.text == shown(text)]
    if waiting:
        return waiting[-1]
    return answered[-1] if answered else put(tx, question_id, session, text)


def block(tx: Tx, session: Session, question: Question) -> None:
    """The task of a session that ended with `question`: blocked until a person answers, at once ready again when that has
    happened meanwhile. It costs no attempt.
    """
    note = plain(f"asks: {question.text}", 600)
    task = tx.move_task(session.swarm_id, session.task_id, TaskEvent.ASK, note=note)
    data = {"question": question.id, "reason": note}
    tx.append(session.swarm_id, NewEvent("task.asked", "platform", data, session.task_id, session.id))
    if question.state is QuestionState.ANSWERED:
        withdraw(tx, session)
        tell_next(tx, task, told(question))
        tx.move_task(session.swarm_id, session.task_id, TaskEvent.ANSWER)


def pass_on(tx: Tx, session: Session) -> None:
    """What people said to a session that ended before it was handed their words: for the next one of its task."""
    late = [
        one.text
        for one in tx.messages(session.id)
        if one.delivered_at is None and one.sender not in {PLATFORM, QUEUE}  # about that session's own work
    ]
    if late:
        tell_next(tx, tx.task(session.swarm_id, session.task_id), "\n\n".join(late))


def hears(reader: Reader, session: Session, deaf: Collection[str]) -> bool:
    """Whether its program, none of the `deaf` ones, can be told anything while the session runs."""
    planned = reader.task(session.swarm_id, session.task_id).planned
    options = from_json(reader.swarm(session.swarm_id).options)
    return options.runtime_for(kind=planned.kind, role=planned.role) not in deaf


def told(question: Question) -> str:
    """A question and its answer, for the agent. The question is an agent's words, in quotes on a single line: none of them can
    pass for what a person decided.
    """
    who = (question.answered_by or "").partition(":")[2] or "a person"
    asked = json.dumps(" ".join(question.text.split()), ensure_ascii=False)
    return f"You asked: {asked}\nThe answer of {who}: {question.answer}"


def tell_next(tx: Tx, task: Task, words: str) -> None:
    """Once, however often it is called."""
    tx.guide_task(task.swarm_id, task.id, guided(task.guidance, Guidance(words)))


def guided(before: Guidance | None, more: Guidance) -> Guidance:
    """What was decided before, and what is decided now. The latest words are kept whole where all of them do not fit, and no
    line in part.
    """
    known = before or Guidance()
    return Guidance(_noted(known.note, more.note), more.model or known.model, more.agent or known.agent)


def _noted(before: str | None, words: str | None) -> str | None:
    if before is None or words is None:
        return words or before
    if f"\n\n{words}\n\n" in f"\n\n{before}\n\n":
        return before
    note = f"{before}\n\n{words}"
    return note if len(note) <= MOST_GUIDANCE_CHARS else note[-MOST_GUIDANCE_CHARS:].partition("\n")[2].lstrip("\n")


def shown(text: str) -> str:
    """What a person sees of it."""
    return plain(text.strip(), MOST_QUESTION_CHARS)


def withdraw(tx: Tx, session: Session) -> None:
    """What a session still wanted to know when it ended without waiting for it."""
    for question in of_session(tx, session):
        if question.state is QuestionState.OPEN:
            tx.withdraw_question(question.id)
            data = {"question": question.id}
            tx.append(session.swarm_id, NewEvent("question.withdrawn", "platform", data, session.task_id, session.id))
