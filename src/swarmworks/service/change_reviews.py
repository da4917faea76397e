"""A change before its review gates: approved into the merge queue, waiting for an answer, or rejected with the reviewer's
words. Within a transaction, for those who judge changes and for those who take answers.
"""

from __future__ import annotations

from swarmworks.base.ids import IdSource, SwarmId, TaskId, WorkId
from swarmworks.domain.change import Change, ChangeEvent
from swarmworks.domain.event import NewEvent
from swarmworks.domain.lease import Capacity, WorkKind, WorkState
from swarmworks.domain.rejection import RejectedFinding, Rejection, RejectionKind
from swarmworks.domain.review import Review, ReviewSubject
from swarmworks.domain.task import TaskEvent
from swarmworks.git.protocol import Hub
from swarmworks.policy.retry import after_failure
from swarmworks.policy.reviewing import Passed, Refused, ReviewFacts, Waiting
from swarmworks.policy.wording import plain
from swarmworks.service import reviews
from swarmworks.service.reviews import Subject
from swarmworks.store.protocol import NewWork, Reader, Tx
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.options import from_json
from swarmworks.wire.work import ReviewWork

MOST_SUMMARY = 1_000
REVIEW_NEED = Capacity(agents=0, cpu_slots=1, memory_bytes=64 << 20)


def subject_of(change: Change) -> Subject:
    return Subject(change.swarm_id, ReviewSubject.CHANGE, change.id, change.task_id)


def change_facts(hub: Hub, change: Change, kind: str) -> ReviewFacts:
    """What the gates look at, from the repository itself. Blocks: call it outside the transaction."""
    touched = hub.changes(change.base, change.head)
    return ReviewFacts(paths=tuple(one.path for one in touched), lines=reviews.lines_of(touched), kind=kind)


def proceed(tx: Tx, ids: IdSource, change: Change, facts: ReviewFacts) -> Passed | Waiting | Refused:
    """Where a SUBMITTED change stands before its gates, with what follows from it written down."""
    found = reviews.proceed(tx, ids, subject_of(change), facts)
    match found:
        case Passed():
            _approve(tx, change, found)
        case Refused():
            reject(tx, change, found.review)
        case Waiting():
            _have_a_model_look(tx, ids, change, found.review)
    return found


def withdraw_of_task(tx: Tx, swarm_id: SwarmId, task_id: TaskId, why: str) -> None:
    """The task goes another way: what was asked about its changes is void."""
    for review in reviews.open_reviews(tx, swarm_id):
        if review.task_id == task_id:
            reviews.withdraw(tx, review.swarm_id, review.subject_id, why)


def waits_for_people(reader: Reader, swarm_id: SwarmId) -> list[Review]:
    """Open reviews of changes on which no model is at work any more: nothing but a person moves them."""
    asked = [one for one in reviews.open_reviews(reader, swarm_id) if one.subject is ReviewSubject.CHANGE]
    if not asked:
        return []
    alive = {work.subject for work in reader.works(swarm_id=swarm_id, states=(WorkState.QUEUED, WorkState.LEASED))}
    return [review for review in asked if review.id not in alive]


def _approve(tx: Tx, change: Change, passed: Passed) -> None:
    tx.move_change(change.id, ChangeEvent.APPROVE)
    tx.move_task(change.swarm_id, change.task_id, TaskEvent.APPROVE)
    data = {"change": change.id, "decided_by": passed.decided_by, "reason": passed.reason}
    tx.append(change.swarm_id, NewEvent("change.approved", passed.decided_by, data, change.task_id, change.session_id))


def reject(tx: Tx, change: Change, review: Review, findings: tuple[RejectedFinding, ...] = ()) -> None:
    """The next attempt is told the reviewer's words; it counts as one."""
    most = from_json(tx.swarm(change.swarm_id).options).config.limits.attempts
    used = tx.task(change.swarm_id, change.task_id).attempts + 1
    event = after_failure(used, most)
    words = review.reason or "rejected without a word"
    who = (review.decided_by or "").partition(":")[2] or "a reviewer"
    summary = plain(f"review {review.gate}: rejected by {who}: {words}", MOST_SUMMARY)
    rejection = Rejection(
        kind=RejectionKind.REVIEW,
        summary=summary,
        findings=findings or (RejectedFinding(gate=f"review {review.gate}", message=words[:MOST_SUMMARY]),),
        base=change.base,
        attempts_left=max(0, most - used),
    )
    tx.move_change(change.id, ChangeEvent.REJECT)
    exhausted = event is TaskEvent.EXHAUST
    tx.move_task(
        change.swarm_id,
        change.task_id,
        event,
        rejection=rejection_wire.dump(rejection),
        note=f"rejected {used} times; last: {summary}" if exhausted else None,
        count_attempt=True,
    )
    data: dict[str, object] = {"change": change.id, "kind": str(rejection.kind), "summary": summary}
    data |= {"attempts_left": rejection.attempts_left}
    actor = review.decided_by or "platform"
    tx.append(change.swarm_id, NewEvent("change.rejected", actor, data, change.task_id, change.session_id))
    if exhausted:
        blocked = NewEvent("task.blocked", "platform", {"reason": summary}, change.task_id, change.session_id)
        tx.append(change.swarm_id, blocked)


def _have_a_model_look(tx: Tx, ids: IdSource, change: Change, review: Review) -> None:
    """Once for each review whose gate names a model."""
    gate = next((one for one in reviews.gates_of(tx, change.swarm_id) if one.name == review.gate), None)
    if gate is None or gate.model is None:
        return
    alive = tx.works(swarm_id=change.swarm_id, states=(WorkState.QUEUED, WorkState.LEASED))
    if review.advice is not None or any(work.subject == review.id for work in alive):
        return
    task = tx.task(change.swarm_id, change.task_id)
    work_id = WorkId(ids.new("wrk"))
    payload = ReviewWork(
        work_id=work_id,
        fence=0,
        need=REVIEW_NEED,
        swarm_id=change.swarm_id,
        task=task.planned,
        review_id=review.id,
        change_id=change.id,
        gate=gate.name,
        question=gate.question,
        base=change.base,
        head=change.head,
        model=gate.model,
    )
    tx.enqueue_work(
        NewWork(
            id=work_id,
            kind=WorkKind.REVIEW,
            swarm_id=change.swarm_id,
            task_id=change.task_id,
            subject=review.id,
            need=REVIEW_NEED,
            payload=payload.model_dump_json(),
            priority=task.rank,
        )
    )
