"""Where people come in: reviews, questions from agents, messages to them, and deliveries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.domain.delivery import DELIVERY_TABLE, DeliveryEvent, DeliveryState
from swarmworks.domain.question import QUESTION_TABLE, QuestionEvent, QuestionState
from swarmworks.domain.review import REVIEW_TABLE, ReviewState
from swarmworks.domain.session import SessionState
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swarmworks.base.ids import DeliveryId, MessageId, QuestionId, ReviewId, SessionId, SwarmId
    from swarmworks.domain.delivery import Delivery
    from swarmworks.domain.question import Message, Question
    from swarmworks.domain.review import Review, ReviewEvent
    from swarmworks.store.connection import Row
    from swarmworks.store.protocol import NewDelivery, NewReview

_SQL = load("people")


class PeopleReads(Scope):
    def review(self, review_id: ReviewId) -> Review:
        return rows.review(found(self.db.row(_SQL["review"], id=review_id), "review", review_id))

    def reviews(
        self, swarm_id: SwarmId, *, states: Sequence[ReviewState] = (), subject_id: str | None = None
    ) -> list[Review]:
        wanted = tuple(states) or tuple(ReviewState)
        if subject_id is None:
            return [rows.review(row) for row in self.db.rows(_SQL["reviews"], swarm_id=swarm_id, states=wanted)]
        of_subject = self.db.rows(_SQL["reviews_of_subject"], swarm_id=swarm_id, subject_id=subject_id, states=wanted)
        return [rows.review(row) for row in of_subject]

    def question(self, question_id: QuestionId) -> Question:
        return rows.question(found(self.db.row(_SQL["question"], id=question_id), "question", question_id))

    def questions(self, swarm_id: SwarmId, *, states: Sequence[QuestionState] = ()) -> list[Question]:
        wanted = tuple(states) or tuple(QuestionState)
        return [rows.question(row) for row in self.db.rows(_SQL["questions"], swarm_id=swarm_id, states=wanted)]

    def messages(self, session_id: SessionId) -> list[Message]:
        return [rows.message(row) for row in self.db.rows(_SQL["messages"], session_id=session_id)]

    def undelivered_messages(self, session_ids: Sequence[SessionId]) -> list[Message]:
        return [rows.message(row) for row in self.db.rows(_SQL["undelivered"], session_ids=tuple(session_ids))]

    def delivery(self, delivery_id: DeliveryId) -> Delivery:
        return rows.delivery(found(self.db.row(_SQL["delivery"], id=delivery_id), "delivery", delivery_id))

    def deliveries(self, swarm_id: SwarmId, *, states: Sequence[DeliveryState] = ()) -> list[Delivery]:
        wanted = tuple(states) or tuple(DeliveryState)
        return [rows.delivery(row) for row in self.db.rows(_SQL["deliveries"], swarm_id=swarm_id, states=wanted)]


class PeopleWrites(PeopleReads):
    def insert_review(self, new: NewReview) -> Review:
        self.db.change(
            _SQL["insert_review"],
            id=new.id,
            swarm_id=new.swarm_id,
            gate=new.gate,
            subject=new.subject,
            subject_id=new.subject_id,
            question=new.question,
            state=REVIEW_TABLE.start,
            asked_at=self.now(),
            task_id=new.task_id,
            deciders=rows.names_text(new.deciders),
            advice=new.advice,
        )
        self.touched.add(new.swarm_id)
        return self.review(new.id)

    def advise_review(self, review_id: ReviewId, advice: str) -> Review:
        if not self.db.change(_SQL["advise_review"], id=review_id, advice=advice, expected=ReviewState.OPEN):
            raise ConflictError(f"the review is {self.review(review_id).state} already", where=review_id)
        present = self.review(review_id)
        self.touched.add(present.swarm_id)
        return present

    def move_review(self, review_id: ReviewId, event: ReviewEvent, *, decided_by: str, reason: str) -> Review:
        present = self.review(review_id)
        touched = self.db.change(
            _SQL["move_review"],
            id=review_id,
            state=REVIEW_TABLE.next(present.state, event),
            expected=present.state,
            decided_by=decided_by,
            reason=reason,
            decided_at=self.now(),
        )
        if not touched:
            raise ConflictError("the review moved meanwhile", where=review_id)
        self.touched.add(present.swarm_id)
        return self.review(review_id)

    def insert_question(
        self, question_id: QuestionId, session_id: SessionId, text: str, paths: Sequence[str] = ()
    ) -> Question:
        session = self._open_session(session_id)
        self.db.change(
            _SQL["insert_question"],
            id=question_id,
            swarm_id=session["swarm_id"],
            task_id=session["task_id"],
            session_id=session_id,
            text=text,
            state=QUESTION_TABLE.start,
            asked_at=self.now(),
            paths=rows.names_text(paths) if paths else None,
        )
        self.touched.add(session["swarm_id"])
        return self.question(question_id)

    def answer_question(self, question_id: QuestionId, answer: str, answered_by: str) -> Question:
        return self._move_question(question_id, QuestionEvent.ANSWER, answer, answered_by)

    def withdraw_question(self, question_id: QuestionId) -> Question:
        return self._move_question(question_id, QuestionEvent.WITHDRAW, None, None)

    def _move_question(
        self, question_id: QuestionId, event: QuestionEvent, answer: str | None, answered_by: str | None
    ) -> Question:
        present = self.question(question_id)
        touched = self.db.change(
            _SQL["move_question"],
            id=question_id,
            state=QUESTION_TABLE.next(present.state, event),
            expected=present.state,
            answer=answer,
            answered_by=answered_by,
            answered_at=self.now(),
        )
        if not touched:
            raise ConflictError("the question moved meanwhile", where=question_id)
        self.touched.add(present.swarm_id)
        return self.question(question_id)

    def insert_message(self, message_id: MessageId, session_id: SessionId, sender: str, text: str) -> Message:
        session = self._open_session(session_id)
        self.db.change(
            _SQL["insert_message"],
            id=message_id,
            swarm_id=session["swarm_id"],
            session_id=session_id,
            sender=sender,
            text=text,
            sent_at=self.now(),
        )
        self.touched.add(session["swarm_id"])
        return rows.message(found(self.db.row(_SQL["message"], id=message_id), "message", message_id))

    def mark_delivered(self, message_ids: Sequence[MessageId], session_ids: Sequence[SessionId]) -> list[Message]:
        values = {"ids": tuple(message_ids), "session_ids": tuple(session_ids), "delivered_at": self.now()}
        marked = [rows.message(row) for row in self.db.rows(_SQL["mark_delivered"], **values)]
        self.touched.update(one.swarm_id for one in marked)
        return sorted(marked, key=lambda one: message_ids.index(one.id))

    def _open_session(self, session_id: SessionId) -> Row:
        session = found(self.db.row(_SQL["asking_session"], id=session_id), "session", session_id)
        if session["state"] == SessionState.ENDED:
            raise ConflictError("the session has ended", where=session_id)
        return session

    def insert_delivery(self, new: NewDelivery) -> Delivery:
        start = DELIVERY_TABLE.start
        state = start if new.candidate is None else DELIVERY_TABLE.next(start, DeliveryEvent.PASS)
        self.db.change(
            _SQL["insert_delivery"],
            id=new.id,
            swarm_id=new.swarm_id,
            branch=new.branch,
            tip=new.tip,
            head=new.head,
            state=state,
            actor=new.actor,
            created_at=self.now(),
            candidate=new.candidate,
        )
        self.touched.add(new.swarm_id)
        return self.delivery(new.id)

    def move_delivery(
        self, delivery_id: DeliveryId, event: DeliveryEvent, *, candidate: str | None = None, note: str | None = None
    ) -> Delivery:
        present = self.delivery(delivery_id)
        state = DELIVERY_TABLE.next(present.state, event)
        touched = self.db.change(
            _SQL["move_delivery"],
            id=delivery_id,
            state=state,
            expected=present.state,
            candidate=candidate,
            note=note,
            ended_at=self.now() if state in DELIVERY_TABLE.terminal else None,
        )
        if not touched:
            raise ConflictError("the delivery moved meanwhile", where=delivery_id)
        self.touched.add(present.swarm_id)
        return self.delivery(delivery_id)
