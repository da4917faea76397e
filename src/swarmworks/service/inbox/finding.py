"""What a person means by an id or a part of one: the open review, the open question or the task, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from swarmworks.base.errors import ConflictError, NotFoundError, UsageError
from swarmworks.base.ids import TaskId
from swarmworks.domain.question import Question, QuestionState
from swarmworks.domain.review import Review, ReviewState
from swarmworks.domain.swarm import SwarmState
from swarmworks.domain.task import Task
from swarmworks.policy.reviewing import PERSON
from swarmworks.service.reviews import decided
from swarmworks.store.protocol import Reader

SEE = "see what waits with `swarm inbox`"
MOST_NAMED = 5
LATELY = timedelta(minutes=10)
"""How long somebody may look at what was withdrawn without noticing that there is another one by now."""

Asked = TypeVar("Asked", Review, Question)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """`names` are matched in whole; a part is sought in the first."""

    names: tuple[str, ...]
    label: str


def review(reader: Reader, wanted: str, actor: str, now: datetime) -> Review:
    """The open review of that id or task. One that was answered is a ConflictError with who answered, and when. So is a
    task whose review before was settled by another person than `actor`, who may have looked at that one, or withdrawn lately.
    What a model or a rule decided nobody was to look at.
    """
    every = [one for swarm in reader.swarms() for one in reader.reviews(swarm.id)]
    asked = [one for one in every if one.state is ReviewState.OPEN]
    number = _pick(wanted, [_names(one.id, one.task_id, one.swarm_id) for one in asked], "review")
    if number is not None:
        found = asked[number]
        past = [one for one in _before(every, found) if one.state is ReviewState.VOID or _is_a_person(one.decided_by)]
        if past and _by_task(wanted, found):
            withdrawn = past[-1].state is ReviewState.VOID and now - found.asked_at < LATELY
            if withdrawn or _another_person(past[-1].decided_by, actor):
                raise _another(found, "review", decided(past[-1]))
        return found
    past = [one for one in every if one.state is not ReviewState.OPEN and _means(wanted, one.id)]
    if past:
        raise ConflictError(decided(past[-1]), where=past[-1].id, mend=_instead(asked, past[-1]))
    raise NotFoundError(f"no review waits under {wanted!r}", mend=SEE)


def question(reader: Reader, wanted: str, actor: str, now: datetime) -> Question:
    """As `review`."""
    every = [one for swarm in reader.swarms() for one in reader.questions(swarm.id)]
    asked = [one for one in every if one.state is QuestionState.OPEN]
    number = _pick(wanted, [_names(one.id, one.task_id, one.swarm_id) for one in asked], "question")
    if number is not None:
        found = asked[number]
        past = _before(every, found)
        if past and _by_task(wanted, found):
            withdrawn = past[-1].state is QuestionState.WITHDRAWN and now - found.asked_at < LATELY
            if withdrawn or _another_person(past[-1].answered_by, actor):
                raise _another(found, "question", _answered(past[-1]))
        return found
    past = [one for one in every if one.state is not QuestionState.OPEN and _means(wanted, one.id)]
    if past:
        raise ConflictError(_answered(past[-1]), where=past[-1].id, mend=_instead(asked, past[-1]))
    raise NotFoundError(f"no question waits under {wanted!r}", mend=SEE)


def task(reader: Reader, wanted: str) -> Task:
    """A task of a swarm that has not landed; where several swarms have one of that name, the newest swarm's."""
    swarms = [swarm for swarm in reader.swarms() if swarm.state is not SwarmState.LANDED]
    every = [(swarm, one) for swarm in swarms for one in reader.tasks(swarm.id)]
    names = [_Candidate((one.id, f"{swarm.id}:{one.id}"), f"{swarm.id}:{one.id}") for swarm, one in every]
    number = _pick(wanted, names, "task", first_is_meant=True)
    if number is not None:
        return every[number][1]
    landed = [one for swarm in reader.swarms() if swarm not in swarms for one in reader.tasks(swarm.id)]
    if any(one.id == wanted for one in landed):
        raise ConflictError("its swarm has landed", where=wanted, mend="start another with `swarm run`")
    raise NotFoundError(f"there is no task {wanted!r} in a swarm that may go on", mend=SEE)


def _names(item_id: str, task_id: TaskId | None, swarm_id: str) -> _Candidate:
    of_task = (task_id, f"{swarm_id}:{task_id}") if task_id else ()
    return _Candidate((item_id, *of_task), item_id + (f" ({task_id})" if task_id else ""))


def _pick(wanted: str, candidates: Sequence[_Candidate], noun: str, *, first_is_meant: bool = False) -> int | None:
    """The number of the one that is meant. UsageError when it could be several."""
    whole = [number for number, one in enumerate(candidates) if wanted in one.names]
    parts = [number for number, one in enumerate(candidates) if _means(wanted, one.names[0])]
    meant = whole or parts
    if not meant:
        return None
    if len(meant) == 1 or (first_is_meant and whole):
        return meant[0]
    named = ", ".join(candidates[number].label for number in meant[:MOST_NAMED])
    raise UsageError(f"{wanted!r} could be any of {named}", where=noun, mend="write more of the id")


def _means(wanted: str, name: str) -> bool:
    return bool(wanted) and wanted in name


def _of(one: Asked) -> tuple[str, TaskId | None]:
    return one.swarm_id, one.task_id


def _by_task(wanted: str, found: Asked) -> bool:
    return wanted in _names(found.id, found.task_id, found.swarm_id).names[1:]


def _is_a_person(settled_by: str | None) -> bool:
    return (settled_by or "").startswith(PERSON)


def _another_person(settled_by: str | None, actor: str) -> bool:
    return _is_a_person(settled_by) and (settled_by or "").casefold() != actor.casefold()


def _before(every: Sequence[Asked], found: Asked) -> list[Asked]:
    """The task's before it, the last at the end."""
    mine = [one for one in every if _of(one) == _of(found)]
    return mine[: mine.index(found)]


def _another(found: Asked, noun: str, became: str) -> ConflictError:
    return ConflictError(
        f"{found.task_id} has another {noun} now, {found.id}: of the one before, {became}",
        where=found.task_id or found.id,
        mend=f"look at it with `swarm inbox {found.id}`, and name it by that id",
    )


def _instead(asked: Sequence[Asked], past: Asked) -> str:
    open_now = [one.id for one in asked if past.task_id is not None and _of(one) == _of(past)]
    return f"what waits now is {open_now[-1]}: look with `swarm inbox {open_now[-1]}`" if open_now else SEE


def _answered(found: Question) -> str:
    if found.state is QuestionState.WITHDRAWN:
        return "the question was withdrawn: its task went on without an answer"
    who = (found.answered_by or "").partition(":")[2]
    when = f" at {found.answered_at:%Y-%m-%d %H:%M} UTC" if found.answered_at else ""
    return f"it was answered by {who}{when}: {found.answer}"
