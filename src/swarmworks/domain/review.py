"""A review: one question about a plan, a change or a delivery, asked of people, and the answer on record.

A rule may say that none is needed; a model may advise or reject; where a person is asked for, only a person approves.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from swarmworks.base.ids import ReviewId, SwarmId, TaskId
from swarmworks.domain.table import TransitionTable


class ReviewSubject(StrEnum):
    PLAN = "plan"
    CHANGE = "change"
    DELIVERY = "delivery"


class ReviewState(StrEnum):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    VOID = "void"  # what it was about is gone


class ReviewEvent(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"


REVIEW_TABLE: TransitionTable[ReviewState, ReviewEvent] = TransitionTable(
    name="review",
    start=ReviewState.OPEN,
    moves={
        (ReviewState.OPEN, ReviewEvent.APPROVE): ReviewState.APPROVED,
        (ReviewState.OPEN, ReviewEvent.REJECT): ReviewState.REJECTED,
        (ReviewState.OPEN, ReviewEvent.WITHDRAW): ReviewState.VOID,
    },
)


class ReviewStrategy(StrEnum):
    FULL = "full"  # a person is asked
    MODEL = "model"  # only a model is asked: what it does not object to passes
    SKIP = "skip"  # nobody is asked, and no gate written after it either


class ModelMay(StrEnum):
    ADVISE = "advise"  # its word stands beside the question, and a person decides
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class ReviewGate:
    """One question and when it is asked. `paths` are patterns (policy.patterns), `kinds` task kinds; the lines of a change
    are those it adds and removes. `existing`: only where there was source code before the swarm. `model` is
    `provider:model`, None for no model's review.
    """

    name: str
    question: str
    on: ReviewSubject
    deciders: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    min_lines: int = 0
    max_lines: int | None = None
    existing: bool = False
    strategy: ReviewStrategy = ReviewStrategy.FULL
    model: str | None = None
    model_may: ModelMay = ModelMay.ADVISE


@dataclass(frozen=True, slots=True)
class Review:
    """`gate` is the review gate's name; `subject_id` the swarm's, change's or delivery's id; `deciders` the people who may
    decide, empty for anybody. `advice` is what a model said of it. `decided_by` is `rule:<name>`, `model:<name>` or
    `person:<name>`.
    """

    id: ReviewId
    swarm_id: SwarmId
    gate: str
    subject: ReviewSubject
    subject_id: str
    question: str
    state: ReviewState
    asked_at: datetime
    task_id: TaskId | None = None
    deciders: tuple[str, ...] = ()
    advice: str | None = None
    decided_by: str | None = None
    reason: str | None = None
    decided_at: datetime | None = None
