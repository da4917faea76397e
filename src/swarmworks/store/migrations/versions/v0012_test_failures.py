"""Tests that changes failed in the merge queue, and the tasks that look after those that fail for several. In which order runs ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("queue_run", sa.Column("ended", sa.BigInteger(), nullable=True))
    op.create_table(
        "test_failure",
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.Column("test", sa.Text(), nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["change_id"], ["change.id"], name=op.f("fk_test_failure_change_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_test_failure_swarm_id")),
        sa.PrimaryKeyConstraint("change_id", "test", name=op.f("pk_test_failure")),
    )
    op.create_index("ix_test_failure_test", "test_failure", ["swarm_id", "test"])
    op.create_table(
        "health_task",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("test", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_health_task_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", "test", name=op.f("pk_health_task")),
    )
