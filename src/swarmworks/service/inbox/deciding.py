"""What a person decides: reviews approved or rejected, questions answered, tasks retried or cancelled.

Each is one conditional transaction with the person's name in its event. What it says about the swarm: whether it goes on
now, which takes a control plane with workers, or waits for a `swarm resume`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from swarmworks.base.clock import Clock
from swarmworks.base.errors import ConflictError, RejectedError, UsageError
from swarmworks.base.ids import ChangeId, IdSource, MessageId, SwarmId, TaskId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.plan import PlannedTask
from swarmworks.domain.question import Question, QuestionState
from swarmworks.domain.review import Review, ReviewSubject
from swarmworks.domain.session import Session, SessionOutcome, SessionState
from swarmworks.domain.swarm import SwarmState
from swarmworks.domain.task import SATISFIED, Guidance, Task, TaskEvent, TaskState
from swarmworks.git.protocol import Hub
from swarmworks.policy.dependents import dependents_of
from swarmworks.policy.reviewing import Passed, Refused, ReviewFacts, Waiting
from swarmworks.policy.wording import plain
from swarmworks.service import change_reviews, parking, reviews
from swarmworks.service.inbox import finding
from swarmworks.service.inbox.going_on import go_on
from swarmworks.service.plan_reviews import plan_facts, plan_subject
from swarmworks.service.questions import guided, hears, tell_next, told
from swarmworks.service.scoping import grant
from swarmworks.service.staffing import staff_of
from swarmworks.store.protocol import Reader, Store, Tx
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.inbox import AnswerQuestion, Approve, CancelTask, Decided, Reject, RetryTask
from swarmworks.wire.options import from_json

MOST_WORDS = 4_000
MOST_NAMED = 8
REHEARSAL = "rehearsal"
CANCELLABLE = frozenset({TaskState.WAITING, TaskState.READY, TaskState.PARKED, TaskState.BLOCKED})


class Deciding:
    """`working`: whether this control plane has workers, so that a swarm that is resumed goes on. `deaf`: the programs of agents
    that cannot be told anything while they run.
    """

    def __init__(
        self, store: Store, hub: Hub, ids: IdSource, clock: Clock, *, working: bool, deaf: Collection[str] = frozenset()
    ) -> None:
        self._store = store
        self._hub = hub
        self._ids = ids
        self._clock = clock
        self._working = working
        self._deaf = deaf

    @property
    def working(self) -> bool:
        return self._working

    async def approve(self, wanted: str, request: Approve, actor: str) -> Decided:
        return await self._decide(wanted, request.reason, actor, approve=True)

    async def reject(self, wanted: str, request: Reject, actor: str) -> Decided:
        return await self._decide(wanted, request.reason, actor, approve=False)

    async def _decide(self, wanted: str, reason: str, actor: str, *, approve: bool) -> Decided:
        review = await self._store.read(lambda reader: finding.review(reader, wanted, actor, self._clock.now()))
        facts = await self._facts(review)

        def write(tx: Tx) -> Decided:
            decided = reviews.decide(tx, review.id, approve=approve, actor=actor, reason=reason)
            standing = self._follow(tx, decided, facts)
            moves = isinstance(standing, Passed) or (review.subject is ReviewSubject.CHANGE and not approve)
            if (moves or _a_model_is_next(tx, standing)) and review.subject is not ReviewSubject.DELIVERY:
                self._go_on(tx, review.swarm_id, actor, f"review {review.gate}")
            said = f"{_subject(review)} is {decided.state} at the gate {review.gate}"
            if isinstance(standing, Waiting):
                said += f"; next is the gate {standing.review.gate}: {standing.review.id}"
            return self._decided(tx, decided.id, review.swarm_id, review.task_id, said)

        return await self._store.transact(write)

    async def _facts(self, review: Review) -> ReviewFacts:
        if review.subject is ReviewSubject.PLAN:
            swarm = await self._store.read(lambda reader: reader.swarm(review.swarm_id))
            return await asyncio.to_thread(plan_facts, self._hub, swarm.base)
        if review.subject is ReviewSubject.CHANGE:
            change = await self._store.read(lambda reader: reader.change(ChangeId(review.subject_id)))
            task = await self._store.read(lambda reader: reader.task(change.swarm_id, change.task_id))
            return await asyncio.to_thread(change_reviews.change_facts, self._hub, change, task.planned.kind)
        return ReviewFacts()

    def _follow(self, tx: Tx, review: Review, facts: ReviewFacts) -> Passed | Waiting | Refused | None:
        """What the answer means for what was asked about; of a delivery, whoever asked sees to that."""
        if review.subject is ReviewSubject.PLAN:
            return reviews.proceed(tx, self._ids, plan_subject(review.swarm_id), facts)
        if review.subject is ReviewSubject.CHANGE:
            return change_reviews.proceed(tx, self._ids, tx.change(ChangeId(review.subject_id)), facts)
        return None

    async def answer(self, wanted: str, request: AnswerQuestion, actor: str) -> Decided:
        words = plain(request.text, MOST_WORDS).strip()
        if not words:
            raise RejectedError("the answer is empty", where=wanted, mend='swarm answer ID "what you say"')
        message_id = MessageId(self._ids.new("msg"))

        def write(tx: Tx) -> Decided:
            asked = finding.question(tx, wanted, actor, self._clock.now())
            question = tx.answer_question(asked.id, words, actor)
            data = {"question": question.id, "answer": words}
            event = NewEvent("question.answered", actor, data, question.task_id, question.session_id)
            tx.append(question.swarm_id, event)
            if question.paths:
                grant(tx, question, actor)
            said = self._hand_over(tx, question, message_id, actor)
            return self._decided(tx, question.id, question.swarm_id, question.task_id, said)

        return await self._store.transact(write)

    def _hand_over(self, tx: Tx, question: Question, message_id: MessageId, actor: str) -> str:
        """To the session while it runs and can hear, to the task's next attempt when it cannot, or ended with the question."""
        task_id = question.task_id
        session = tx.session(question.session_id)
        task, text = tx.task(question.swarm_id, task_id), told(question)
        if session.state is not SessionState.ENDED and not hears(tx, session, self._deaf):
            tell_next(tx, task, text)
            return (
                f"the answer is on record: the agent of {task_id} hears it if it still waits for it, "
                "and the task's next session is told it"
            )
        if session.state is not SessionState.ENDED:
            tx.insert_message(message_id, session.id, actor, text)
            data = {"session": session.id, "text": text}
            tx.append(question.swarm_id, NewEvent("message.sent", actor, data, task_id, session.id))
            return f"the answer is on its way to the session of {task_id}"
        if task.state is not TaskState.BLOCKED or not _asked_last(tx, session):
            return f"the answer is on record; {task_id} is {task.state} already"
        tell_next(tx, task, text)
        still = tx.questions(question.swarm_id, states=(QuestionState.OPEN,))
        if any(one.task_id == task_id for one in still):
            return f"the answer is on record; {task_id} has another question"
        tx.move_task(question.swarm_id, task_id, TaskEvent.ANSWER)
        self._go_on(tx, question.swarm_id, actor, f"{task_id} was answered")
        return f"{task_id} is ready again, and will be told the answer"

    async def retry(self, wanted: str, request: RetryTask, actor: str) -> Decided:
        def write(tx: Tx) -> Decided:
            task = finding.task(tx, wanted)
            _check_guidance(tx, task, request)
            _check_retry(task)
            self._withdraw(tx, task, actor, f"{task.id} is tried again")
            said = Guidance(_words(request.note), request.model, request.agent)
            said_nothing = said == Guidance()
            if not said_nothing:
                tx.guide_task(task.swarm_id, task.id, guided(task.guidance, said))
            rejection = None if said_nothing else rejection_wire.for_its_agent(task.rejection)
            tx.move_task(task.swarm_id, task.id, TaskEvent.RETRY, rejection=rejection)
            data = {"note": said.note, "model": said.model, "agent": said.agent}
            tx.append(task.swarm_id, NewEvent("task.retried", actor, data, task.id))
            self._go_on(tx, task.swarm_id, actor, f"{task.id} is tried again")
            return self._decided(tx, task.id, task.swarm_id, task.id, f"{task.id} is ready again, with fresh attempts")

        return await self._store.transact(write)

    async def cancel(self, wanted: str, request: CancelTask, actor: str) -> Decided:
        words = _words(request.reason)
        if words is None:
            raise RejectedError("a cancellation needs a reason", where=wanted, mend="say why with --reason")

        def write(tx: Tx) -> Decided:
            task = finding.task(tx, wanted)
            behind = _check_cancel(tx, task, with_dependents=request.with_dependents)
            for each in (task, *behind):
                if tx.task(each.swarm_id, each.id).state is TaskState.CANCELLED:  # it carried the work of a parked one
                    continue
                self._withdraw(tx, each, actor, f"{each.id} was cancelled")
                tx.move_task(each.swarm_id, each.id, TaskEvent.CANCEL, note=words)
                data = {"reason": words} if each is task else {"reason": words, "with": task.id}
                tx.append(each.swarm_id, NewEvent("task.cancelled", actor, data, each.id))
            self._go_on(tx, task.swarm_id, actor, f"{task.id} was cancelled")
            more = f", and {len(behind)} that waited for it: {_named(behind)}" if behind else ""
            return self._decided(tx, task.id, task.swarm_id, task.id, f"{task.id} is cancelled{more}")

        return await self._store.transact(write)

    def _withdraw(self, tx: Tx, task: Task, actor: str, why: str) -> None:
        """Open questions, a parked change and the task that was to land it have nobody left who waits for them."""
        gone = {task.id, *parking.take_back(tx, task.swarm_id, task.id, actor, why)}
        for question in tx.questions(task.swarm_id, states=(QuestionState.OPEN,)):
            if question.task_id in gone:
                tx.withdraw_question(question.id)
                data = {"question": question.id}
                event = NewEvent("question.withdrawn", actor, data, question.task_id, question.session_id)
                tx.append(task.swarm_id, event)
        change_reviews.withdraw_of_task(tx, task.swarm_id, task.id, why)

    def _go_on(self, tx: Tx, swarm_id: SwarmId, actor: str, why: str) -> None:
        if self._working:
            go_on(tx, swarm_id, actor, why, self._clock.now())

    def _decided(self, tx: Tx, item: str, swarm_id: SwarmId, task_id: TaskId | None, said: str) -> Decided:
        swarm = tx.swarm(swarm_id)
        return Decided(
            id=item,
            swarm_id=swarm_id,
            task_id=task_id,
            said=said,
            swarm_state=str(swarm.state),
            goes_on=self._working and swarm.state is SwarmState.RUNNING,
            still_needs_you=_needs_somebody(tx, swarm_id),
        )


def _a_model_is_next(reader: Reader, standing: Passed | Waiting | Refused | None) -> bool:
    """Whether the next gate has a model look first, which takes a swarm that runs."""
    if not isinstance(standing, Waiting) or standing.review.subject is not ReviewSubject.CHANGE:
        return False
    people = change_reviews.waits_for_people(reader, standing.review.swarm_id)
    return standing.review.id not in {review.id for review in people}


def _needs_somebody(reader: Reader, swarm_id: SwarmId) -> bool:
    blocked = reader.task_counts(swarm_id).get(TaskState.BLOCKED, 0)
    return bool(
        blocked or reviews.open_reviews(reader, swarm_id) or reader.questions(swarm_id, states=(QuestionState.OPEN,))
    )


def _asked_last(reader: Reader, session: Session) -> bool:
    """Whether the task is blocked by this session's question, and not by what came after."""
    latest = reader.sessions(session.swarm_id, task_id=session.task_id)[-1]
    return latest.id == session.id and session.outcome is SessionOutcome.ASKED


def _check_guidance(reader: Reader, task: Task, request: RetryTask) -> None:
    swarm = reader.swarm(task.swarm_id)
    config = from_json(swarm.options).config
    if request.model is not None and request.model not in config.models.tiers:
        provider, colon, model = request.model.partition(":")
        if not (provider and colon and model):
            mend = "write provider:model, such as openai:gpt-5, or a tier that is configured"
            raise UsageError(f"{request.model!r} names no model", where="--model", mend=mend)
        if provider != REHEARSAL and provider not in config.providers:
            known = ", ".join(sorted({REHEARSAL, *config.providers}))
            raise UsageError(f"the provider {provider!r} is not configured", where="--model", mend=f"there is: {known}")
    if request.agent is not None:
        staff = staff_of(swarm)  # others take none of its tasks
        able = [agent.name for agent in staff if task.planned.kind in agent.kinds]
        if request.agent not in able:
            mend = f"these can take it: {', '.join(able[:MOST_NAMED])}"
            raise UsageError(
                f"no agent {request.agent!r} takes a task of kind {task.planned.kind}", where="--agent", mend=mend
            )


def _check_retry(task: Task) -> None:
    """A parked task is refused later, while the task that carries its work is under way (`parking.take_back`)."""
    if task.state not in {TaskState.BLOCKED, TaskState.PARKED}:
        raise ConflictError(f"the task is {task.state}, not blocked", where=task.id, mend=finding.SEE)


def _check_cancel(reader: Reader, task: Task, *, with_dependents: bool) -> list[Task]:
    """The tasks behind it that would be cancelled with it."""
    _check_cancellable(task, reader.swarm(task.swarm_id).state)
    tasks = {one.id: one for one in reader.tasks(task.swarm_id)}
    carried = task.planned.supersedes
    if carried is not None and carried in tasks and tasks[carried].state is TaskState.PARKED:
        raise ConflictError(
            f"it is to land the parked work of {carried}, which nobody else would",
            where=task.id,
            mend=f"start {carried} over with `swarm retry {carried}`, or cancel that one with --with-dependents",
        )
    planned: list[PlannedTask] = [one.planned for one in tasks.values()]
    over = {*SATISFIED, TaskState.CANCELLED}
    behind = [tasks[one] for one in dependents_of(task.id, planned) if tasks[one].state not in over]
    if behind and not with_dependents:
        raise ConflictError(
            f"{len(behind)} tasks wait for it and could never start: {_named(behind)}",
            where=task.id,
            mend="cancel them too with --with-dependents",
        )
    for each in behind:
        _check_cancellable(each, reader.swarm(task.swarm_id).state)
    return behind


def _check_cancellable(task: Task, swarm: SwarmState) -> None:
    if task.state not in CANCELLABLE:
        mend = "reject its review instead" if task.state is TaskState.REVIEW else "wait for it, or stop the swarm"
        raise ConflictError(f"the task is {task.state}, in a swarm that is {swarm}", where=task.id, mend=mend)


def _named(tasks: list[Task]) -> str:
    more = f" and {len(tasks) - MOST_NAMED} more" if len(tasks) > MOST_NAMED else ""
    return ", ".join(task.id for task in tasks[:MOST_NAMED]) + more


def _words(text: str | None) -> str | None:
    return plain(text or "", MOST_WORDS).strip() or None


def _subject(review: Review) -> str:
    if review.subject is ReviewSubject.CHANGE:
        return f"the change of {review.task_id}"
    return "the plan" if review.subject is ReviewSubject.PLAN else "the delivery"
