"""Lists of prices that people import and approve, what each call was priced by, and the throughput of subscriptions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

NEVER_CHANGED = ("price_list", "price", "price_decision", "price_used")


def upgrade() -> None:
    _price_lists()
    op.create_table(
        "price_used",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_price_used")),
    )
    for table in NEVER_CHANGED:
        _forbid_changes(table)
    op.create_table(
        "subscription",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("provider", name=op.f("pk_subscription")),
    )
    op.add_column("reservation", sa.Column("price", sa.Text(), nullable=True))
    op.add_column("reservation", sa.Column("subscription", sa.Text(), nullable=True))
    drawn = sa.text("subscription IS NOT NULL")
    op.create_index(
        "ix_reservation_subscription",
        "reservation",
        ["subscription", "ended_at"],
        unique=False,
        sqlite_where=drawn,
        postgresql_where=drawn,
    )


def _price_lists() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "price_list",
        sa.Column("number", number, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.Column("imported_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_price_list")),
        sa.UniqueConstraint("id", name=op.f("uq_price_list_id")),
    )
    op.create_table(
        "price",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=True),
        sa.Column("hosts", sa.Text(), nullable=True),
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.CheckConstraint("(provider IS NULL) <> (hosts IS NULL)", name=op.f("ck_price_one_place")),
        sa.ForeignKeyConstraint(["list_id"], ["price_list.id"], name=op.f("fk_price_list_id")),
        sa.PrimaryKeyConstraint("list_id", "position", name=op.f("pk_price")),
    )
    op.create_table(
        "price_decision",
        sa.Column("number", number, autoincrement=True, nullable=False),
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.Text(), nullable=False),
        sa.CheckConstraint("verdict IN ('approved', 'rejected')", name=op.f("ck_price_decision_verdict")),
        sa.ForeignKeyConstraint(["list_id"], ["price_list.id"], name=op.f("fk_price_decision_list_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_price_decision")),
        sa.UniqueConstraint("list_id", name=op.f("uq_price_decision_list_id")),
    )


def _forbid_changes(table: str) -> None:
    """What was billed by a price must find it as it was: rows are added, never changed or taken out."""
    told = f"{table}: rows are never changed"
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{told}'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_unchanged() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{told}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_unchanged BEFORE UPDATE OR DELETE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION {table}_unchanged()"
    )
