"""Sessions that go on from another one's summary, and whether they have shown that they know their task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "takeover",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("before_id", sa.Text(), nullable=False),
        sa.Column("tries", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("accepted_at", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["before_id"], ["session.id"], name=op.f("fk_takeover_before_id")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_takeover_session_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_takeover")),
    )
