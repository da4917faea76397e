"""Questions from agents to people, and words from people to agents."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import MessageId, QuestionId, SessionId, SwarmId, TaskId
from swarmworks.domain.table import TransitionTable

PLATFORM = "platform"
"""The sender of the message that asks a session to hand over to a fresh one."""

QUEUE = "platform:merge-queue"
"""The sender of words that ask for nothing: what the merge queue sees coming."""


class QuestionState(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"  # its task went on, or ended, without an answer


class QuestionEvent(StrEnum):
    ANSWER = "answer"
    WITHDRAW = "withdraw"


QUESTION_TABLE: TransitionTable[QuestionState, QuestionEvent] = TransitionTable(
    name="question",
    start=QuestionState.OPEN,
    moves={
        (QuestionState.OPEN, QuestionEvent.ANSWER): QuestionState.ANSWERED,
        (QuestionState.OPEN, QuestionEvent.WITHDRAW): QuestionState.WITHDRAWN,
    },
)


@dataclass(frozen=True, slots=True)
class Question:
    """What a session wants to know of a person. `answered_by` is `person:<name>`. With `paths` it asks whether its task may
    write them, too: the answer is yes or no.
    """

    id: QuestionId
    swarm_id: SwarmId
    task_id: TaskId
    session_id: SessionId
    text: str
    state: QuestionState
    asked_at: datetime
    answer: str | None = None
    answered_by: str | None = None
    answered_at: datetime | None = None
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """Words to a running session, handed to it between two turns. `sender` is `person:<name>`, or PLATFORM, whose words say
    why the session is to hand over, or QUEUE.
    """

    id: MessageId
    swarm_id: SwarmId
    session_id: SessionId
    sender: str
    text: str
    sent_at: datetime
    delivered_at: datetime | None = None
