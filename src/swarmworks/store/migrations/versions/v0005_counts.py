"""How many tasks of a swarm are in each state, kept as they move; and the open swarms found without looking at the others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

STATES = (
    "waiting",
    "ready",
    "running",
    "review",
    "queued",
    "landed",
    "nothing_to_do",
    "parked",
    "blocked",
    "superseded",
    "cancelled",
)


def upgrade() -> None:
    listed = ", ".join(f"'{state}'" for state in STATES)
    op.create_table(
        "task_count",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("task_state", sa.Text(), nullable=False),
        sa.Column("tasks", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint(f"task_state IN ({listed})", name=op.f("ck_task_count_task_state")),
        sa.CheckConstraint("tasks >= 0", name=op.f("ck_task_count_tasks")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_task_count_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", "task_state", name=op.f("pk_task_count")),
    )
    for state in STATES:
        op.execute(f"INSERT INTO task_count (swarm_id, task_state) SELECT id, '{state}' FROM swarm")  # noqa: S608
    op.execute(
        "UPDATE task_count SET tasks = (SELECT count(*) FROM task"
        " WHERE task.swarm_id = task_count.swarm_id AND task.state = task_count.task_state)"
    )
    op.create_index("ix_swarm_state", "swarm", ["state", "number"], unique=False)
    op.create_index("ix_swarm_project", "swarm", ["project", "state", "number"], unique=False)
