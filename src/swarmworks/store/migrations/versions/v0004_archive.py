"""Events that lie in archive files, and signed statements of where the chains stood."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "archive",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_hash", sa.Text(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("archived_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_archive_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", "last_seq", name=op.f("pk_archive")),
    )
    op.create_table(
        "anchor",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_anchor")),
    )
    op.create_table(
        "anchored",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_anchored_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", name=op.f("pk_anchored")),
    )
