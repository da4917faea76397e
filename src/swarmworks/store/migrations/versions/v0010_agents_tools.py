"""Mail between agents; questions that ask for more files to write."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("question", sa.Column("paths", sa.Text(), nullable=True))
    op.create_table(
        "mail",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.Text(), nullable=False),
        sa.Column("read_at", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["recipient"], ["agent.id"], name=op.f("fk_mail_recipient")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_mail_session_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_mail_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_mail")),
        sa.UniqueConstraint("id", name=op.f("uq_mail_id")),
    )
    op.create_index(op.f("ix_mail_session_id"), "mail", ["session_id"], unique=False)
    op.create_index(
        "ix_mail_unread",
        "mail",
        ["swarm_id", "recipient", "number"],
        unique=False,
        sqlite_where=sa.text("read_at IS NULL"),
        postgresql_where=sa.text("read_at IS NULL"),
    )
