"""Reviews within a transaction, for every service that has something to ask: the plan's, the changes', the deliveries'.

`proceed` says where a subject stands and asks the next question when it is its turn; it may be called any number of times.
`decide` puts a person's answer on record. What an answer means for the subject is for whoever asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmworks.base.errors import ConflictError, ForbiddenError, RejectedError
from swarmworks.base.ids import IdSource, ReviewId, SwarmId, TaskId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.review import Review, ReviewEvent, ReviewGate, ReviewState, ReviewStrategy, ReviewSubject
from swarmworks.git.protocol import FileChange
from swarmworks.policy.reviewing import (
    BY_MODEL_ONLY,
    PERSON,
    Ask,
    Passed,
    Refused,
    ReviewFacts,
    Turn,
    Waiting,
    may_decide,
    route,
    turn,
)
from swarmworks.policy.wording import plain
from swarmworks.service import review_sessions
from swarmworks.store.protocol import NewReview, Reader, Tx
from swarmworks.wire.options import from_json

MOST_REASON = 2_000
_NO_TEXT = 1 << 30
"""More lines than any gate's bound."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is reviewed: `id` the swarm's, the change's or the delivery's."""

    swarm_id: SwarmId
    kind: ReviewSubject
    id: str
    task_id: TaskId | None = None


def gates_of(reader: Reader, swarm_id: SwarmId) -> tuple[ReviewGate, ...]:
    """The project's review gates, as they were when the swarm was started."""
    return from_json(reader.swarm(swarm_id).options).config.review.all_gates()


def lines_of(changes: Sequence[FileChange]) -> int:
    """Added and removed. A file that is no text has no lines to count, and must not pass for a small change."""
    return sum(_NO_TEXT if one.added is None else one.added + (one.removed or 0) for one in changes)


def proceed(tx: Tx, ids: IdSource, subject: Subject, facts: ReviewFacts) -> Passed | Waiting | Refused:
    """Where the subject stands. Asks the next gate when the ones before it said yes, and then waits for it."""
    found = standing(tx, subject, facts)
    return Waiting(ask(tx, ids, subject, found.gate)) if isinstance(found, Ask) else found


def standing(reader: Reader, subject: Subject, facts: ReviewFacts) -> Turn:
    way = route(gates_of(reader, subject.swarm_id), subject.kind, facts)
    return turn(way, reader.reviews(subject.swarm_id, subject_id=subject.id))


def ask(tx: Tx, ids: IdSource, subject: Subject, gate: ReviewGate) -> Review:
    review = tx.insert_review(
        NewReview(
            id=ReviewId(ids.new("rev")),
            swarm_id=subject.swarm_id,
            gate=gate.name,
            subject=subject.kind,
            subject_id=subject.id,
            question=gate.question,
            task_id=subject.task_id,
            deciders=gate.deciders,
        )
    )
    data = {"gate": gate.name, "subject": str(subject.kind), "question": gate.question, "of": _asked(gate)}
    _say(tx, review, "review.asked", "platform", data)
    return review


def _asked(gate: ReviewGate) -> str:
    return BY_MODEL_ONLY if gate.strategy is ReviewStrategy.MODEL else ", ".join(gate.deciders) or "anybody"


def open_reviews(reader: Reader, swarm_id: SwarmId, subject_id: str | None = None) -> list[Review]:
    return reader.reviews(swarm_id, states=(ReviewState.OPEN,), subject_id=subject_id)


def decide(tx: Tx, review_id: ReviewId, *, approve: bool, actor: str, reason: str) -> Review:
    """A person's answer. ForbiddenError when the gate names others, ConflictError when it was answered before,
    RejectedError for a no without a reason.
    """
    review = tx.review(review_id)
    if review.state is not ReviewState.OPEN:
        raise ConflictError(decided(review), where=review_id, mend="see it with `swarm inbox`")
    if not actor.startswith(PERSON) or not may_decide(review.deciders, actor):
        raise ForbiddenError(
            f"{actor.removeprefix(PERSON)} may not decide the gate {review.gate}",
            where=review_id,
            mend=f"ask {' or '.join(review.deciders) or 'a person'}",
        )
    words = plain(reason, MOST_REASON).strip()
    if not approve and not words:
        raise RejectedError("a rejection needs a reason", where=review_id, mend="say what is wrong with --reason")
    return settle(tx, review, approve=approve, decided_by=actor, reason=words)


def settle(tx: Tx, review: Review, *, approve: bool, decided_by: str, reason: str) -> Review:
    """Write the answer down, whoever's it is. ConflictError when it was answered meanwhile."""
    review_sessions.stop(tx, review.swarm_id, review.id, "the review was answered")
    event = ReviewEvent.APPROVE if approve else ReviewEvent.REJECT
    moved = tx.move_review(review.id, event, decided_by=decided_by, reason=reason)
    name = "review.approved" if approve else "review.rejected"
    _say(tx, moved, name, decided_by, {"gate": moved.gate, "reason": reason})
    return moved


def advise(tx: Tx, review: Review, advice: str, by: str) -> Review:
    advised = tx.advise_review(review.id, advice)
    of = next((_asked(gate) for gate in gates_of(tx, review.swarm_id) if gate.name == review.gate), "anybody")
    _say(tx, advised, "review.advised", by, {"gate": review.gate, "by": by, "advice": advice[:MOST_REASON], "of": of})
    return advised


def withdraw(tx: Tx, swarm_id: SwarmId, subject_id: str, why: str) -> list[Review]:
    """What was asked about is gone: its open questions are void."""
    gone: list[Review] = []
    for review in open_reviews(tx, swarm_id, subject_id):
        review_sessions.stop(tx, swarm_id, review.id, "the review was withdrawn")
        gone.append(tx.move_review(review.id, ReviewEvent.WITHDRAW, decided_by="platform", reason=why))
        _say(tx, review, "review.withdrawn", "platform", {"gate": review.gate, "reason": why})
    return gone


def decided(review: Review) -> str:
    if review.state is ReviewState.VOID:
        return f"it was withdrawn: {review.reason or 'what it was about is gone'}"
    who = (review.decided_by or "").removeprefix(PERSON)
    when = f" at {review.decided_at:%Y-%m-%d %H:%M} UTC" if review.decided_at else ""
    return f"it was {review.state} by {who}{when}" + (f": {review.reason}" if review.reason else "")


def _say(tx: Tx, review: Review, name: str, actor: str, data: dict[str, str]) -> None:
    tx.append(review.swarm_id, NewEvent(name, actor, {"review": review.id, **data}, review.task_id))
