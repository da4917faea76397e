"""What the merge queue judges at a time, and what it knows of the branch."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "queue_run",
        sa.Column("number", number, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("commits", sa.Text(), nullable=False),
        sa.Column("below", sa.Integer(), nullable=False),
        sa.Column("lane", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("sure", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.CheckConstraint("verdict IS NULL OR verdict IN ('passed', 'failed')", name=op.f("ck_queue_run_verdict")),
        sa.ForeignKeyConstraint(["id"], ["work.id"], name=op.f("fk_queue_run_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_queue_run_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_queue_run")),
        sa.UniqueConstraint("id", name=op.f("uq_queue_run_id")),
    )
    op.create_index(
        "ix_queue_run_open",
        "queue_run",
        ["swarm_id", "number"],
        sqlite_where=sa.text("NOT closed"),
        postgresql_where=sa.text("NOT closed"),
    )
    op.create_table(
        "queue_branch",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("pushed", sa.Text(), nullable=True),
        sa.Column("frozen", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_queue_branch_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", name=op.f("pk_queue_branch")),
    )
