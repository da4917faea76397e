"""Several control planes on one database: who is there, who does which chore, and whose calls are under way."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("account", sa.Column("version", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("reservation", sa.Column("replica_id", sa.Text(), nullable=True))
    op.create_table(
        "replica",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("ttl_s", sa.Float(), nullable=False),
        sa.Column("beats", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("api_url", sa.Text(), nullable=False),
        sa.Column("gateway_url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_replica")),
    )
    op.create_table(
        "chore",
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("replica_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_chore")),
    )
    op.create_index(
        "ix_reservation_replica",
        "reservation",
        ["replica_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('held', 'sent')"),
        postgresql_where=sa.text("state IN ('held', 'sent')"),
    )
