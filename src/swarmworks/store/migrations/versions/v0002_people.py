"""Where people come in: reviews, questions, messages and deliveries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def _number() -> sa.Column[int]:
    return sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "review",
        _number(),
        _text("id"),
        _text("swarm_id"),
        _text("gate"),
        _text("subject"),
        _text("subject_id"),
        _text("question"),
        _text("state"),
        _text("asked_at"),
        _text("task_id", nullable=True),
        _text("deciders"),
        _text("advice", nullable=True),
        _text("decided_by", nullable=True),
        _text("reason", nullable=True),
        _text("decided_at", nullable=True),
        sa.CheckConstraint("(state = 'open') = (decided_by IS NULL)", name=op.f("ck_review_decided_by_somebody")),
        sa.CheckConstraint("state IN ('open', 'approved', 'rejected', 'void')", name=op.f("ck_review_state")),
        sa.CheckConstraint("subject IN ('plan', 'change', 'delivery')", name=op.f("ck_review_subject")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_review_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_review")),
        sa.UniqueConstraint("id", name=op.f("uq_review_id")),
    )
    op.create_index("ix_review_swarm", "review", ["swarm_id", "state", "number"], unique=False)
    op.create_index(
        "ix_review_one_open",
        "review",
        ["subject_id", "gate"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "question",
        _number(),
        _text("id"),
        _text("swarm_id"),
        _text("task_id"),
        _text("session_id"),
        _text("text"),
        _text("state"),
        _text("asked_at"),
        _text("answer", nullable=True),
        _text("answered_by", nullable=True),
        _text("answered_at", nullable=True),
        sa.CheckConstraint("(state = 'answered') = (answer IS NOT NULL)", name=op.f("ck_question_answered_has_answer")),
        sa.CheckConstraint("state IN ('open', 'answered', 'withdrawn')", name=op.f("ck_question_state")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_question_session_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_question_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_question")),
        sa.UniqueConstraint("id", name=op.f("uq_question_id")),
    )
    op.create_index(op.f("ix_question_session_id"), "question", ["session_id"], unique=False)
    op.create_index("ix_question_swarm", "question", ["swarm_id", "state", "number"], unique=False)
    op.create_table(
        "message",
        _number(),
        _text("id"),
        _text("swarm_id"),
        _text("session_id"),
        _text("sender"),
        _text("text"),
        _text("sent_at"),
        _text("delivered_at", nullable=True),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_message_session_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_message_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_message")),
        sa.UniqueConstraint("id", name=op.f("uq_message_id")),
    )
    op.create_index(op.f("ix_message_session_id"), "message", ["session_id"], unique=False)
    op.create_index(
        "ix_message_undelivered",
        "message",
        ["session_id", "number"],
        unique=False,
        sqlite_where=sa.text("delivered_at IS NULL"),
        postgresql_where=sa.text("delivered_at IS NULL"),
    )
    op.create_table(
        "delivery",
        _number(),
        _text("id"),
        _text("swarm_id"),
        _text("branch"),
        _text("tip"),
        _text("head"),
        _text("state"),
        _text("actor"),
        _text("created_at"),
        _text("candidate", nullable=True),
        _text("note", nullable=True),
        _text("ended_at", nullable=True),
        sa.CheckConstraint(
            "state IN ('building', 'ready', 'delivered', 'failed', 'void')", name=op.f("ck_delivery_state")
        ),
        sa.CheckConstraint(
            "state NOT IN ('ready', 'delivered') OR candidate IS NOT NULL",
            name=op.f("ck_delivery_ready_has_candidate"),
        ),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_delivery_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_delivery")),
        sa.UniqueConstraint("id", name=op.f("uq_delivery_id")),
    )
    op.create_index("ix_delivery_swarm", "delivery", ["swarm_id", "state", "number"], unique=False)
