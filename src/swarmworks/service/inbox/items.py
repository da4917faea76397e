"""What waits for a person, found in the store: open reviews, open questions, blocked tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from swarmworks.base.ids import TaskId
from swarmworks.domain.question import QuestionState
from swarmworks.domain.review import Review, ReviewState, ReviewSubject
from swarmworks.domain.swarm import Swarm
from swarmworks.domain.task import SATISFIED, Task, TaskState
from swarmworks.policy.dependents import dependents_of
from swarmworks.store.protocol import Reader
from swarmworks.wire.inbox import InboxItem

LEAST_SHORT = 4


def items(reader: Reader, now: datetime, swarms: Iterable[Swarm]) -> list[InboxItem]:
    """The longest waiting first."""
    found = [item for swarm in swarms for item in _of_swarm(reader, now, swarm)]
    return _shortened(sorted(found, key=lambda item: item.since))


def _of_swarm(reader: Reader, now: datetime, swarm: Swarm) -> list[InboxItem]:
    asked = reader.reviews(swarm.id, states=(ReviewState.OPEN,))
    questions = reader.questions(swarm.id, states=(QuestionState.OPEN,))
    if not asked and not questions and not reader.task_counts(swarm.id).get(TaskState.BLOCKED, 0):
        return []
    tasks = reader.tasks(swarm.id)
    by_id = {task.id: task for task in tasks}
    blocked = [task for task in tasks if task.state is TaskState.BLOCKED]
    asking = {question.task_id for question in questions}
    found = [_review(review, swarm, by_id, now) for review in asked]
    for question in questions:
        task = by_id[question.task_id]
        what = {"id": question.id, "kind": "question", "what": question.text}
        found.append(_item(swarm, task, tasks, question.asked_at, now, **what))
    for task in blocked:
        if task.id not in asking:
            since = _blocked_since(reader, swarm, task)
            found.append(_item(swarm, task, tasks, since, now, id=task.id, kind="blocked", what=task.note or ""))
    return found


def _review(review: Review, swarm: Swarm, by_id: dict[TaskId, Task], now: datetime) -> InboxItem:
    task = by_id.get(review.task_id) if review.task_id else None
    more = {
        "id": review.id,
        "kind": "review",
        "what": review.question,
        "gate": review.gate,
        "subject": str(review.subject),
        "subject_id": review.subject_id,
        "deciders": review.deciders,
        "advice": review.advice,
    }
    if task is not None:
        return _item(swarm, task, list(by_id.values()), review.asked_at, now, **more)
    held = review.subject is ReviewSubject.PLAN
    waiting = len(by_id) if held else 0
    title = f"the plan {swarm.plan.name}" if held else f"the result of {swarm.plan.name}"
    return _row(swarm, None, title, waiting, review.asked_at, now, more)


def _item(swarm: Swarm, task: Task, tasks: Sequence[Task], since: datetime, now: datetime, **more: object) -> InboxItem:
    done = {one.id for one in tasks if one.state in SATISFIED or one.state is TaskState.CANCELLED}
    waiting = [one for one in dependents_of(task.id, [one.planned for one in tasks]) if one not in done]
    return _row(swarm, task.id, task.planned.title, len(waiting), since, now, more)


def _row(
    swarm: Swarm,
    task_id: TaskId | None,
    title: str,
    waiting: int,
    since: datetime,
    now: datetime,
    more: Mapping[str, object],
) -> InboxItem:
    row: dict[str, object] = {
        "short": more["id"],
        "swarm_id": swarm.id,
        "swarm_state": str(swarm.state),
        "plan_name": swarm.plan.name,
        "task_id": task_id,
        "title": title,
        "since": since,
        "age_s": max(0.0, (now - since).total_seconds()),
        "waiting": waiting,
    }
    return InboxItem.model_validate({**row, **more})


def _blocked_since(reader: Reader, swarm: Swarm, task: Task) -> datetime:
    ended = [one.ended_at for one in reader.sessions(swarm.id, task_id=task.id) if one.ended_at is not None]
    return max(ended, default=swarm.created_at)


def _shortened(found: list[InboxItem]) -> list[InboxItem]:
    """Ids end in random characters: their last few mostly name one."""
    ids = [item.id for item in found] + [item.task_id or "" for item in found]
    return [
        item if item.kind == "blocked" else item.model_copy(update={"short": _short(item.id, ids)}) for item in found
    ]


def _short(name: str, names: Sequence[str]) -> str:
    for length in range(LEAST_SHORT, len(name)):
        if sum(1 for other in names if name[-length:] in other) == 1:
            return name[-length:]
    return name
