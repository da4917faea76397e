"""Days, months and agents as accounts beside the tree; requests as a limit like money and tokens; why a session is stopped."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

KINDS = "kind IN ('project', 'swarm', 'task', 'session', 'agent', 'day', 'month')"
UNITS = ("nano_usd", "tokens", "calls")
KEPT = (
    "id, parent_id, kind, subject, state, closing, version,"
    " limit_nano_usd, cap_nano_usd, spent_nano_usd, held_nano_usd, allocated_nano_usd, overrun_nano_usd,"
    " limit_tokens, cap_tokens, spent_tokens, held_tokens, allocated_tokens, overrun_tokens"
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _make_accounts_anew()
    else:
        _change_accounts()
    op.create_table(
        "budget_window",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("limit_tokens", sa.BigInteger(), nullable=True),
        sa.Column("limit_calls", sa.BigInteger(), nullable=True),
        sa.Column("newest", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.CheckConstraint("period IN ('day', 'month')", name=op.f("ck_budget_window_period")),
        sa.CheckConstraint("account_id IS NULL OR newest IS NOT NULL", name=op.f("ck_budget_window_begun_has_a_name")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_budget_window_account_id")),
        sa.PrimaryKeyConstraint("project", "period", name=op.f("pk_budget_window")),
    )
    op.create_table(
        "session_stop",
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_session_stop_session_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_session_stop")),
    )
    op.add_column("swarm", sa.Column("agent_limit", sa.Text(), nullable=True))
    for name in ("day_account", "month_account", "agent_account"):
        op.add_column("reservation", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("reservation", sa.Column("settled_calls", sa.BigInteger(), nullable=True))
    op.execute("UPDATE reservation SET settled_calls = 1 WHERE state = 'settled'")
    op.execute(
        "UPDATE account SET held_calls = (SELECT count(*) FROM reservation"
        " WHERE reservation.account_id = account.id AND reservation.state IN ('held', 'sent'))"
    )


def _change_accounts() -> None:
    op.execute("ALTER TABLE account RENAME COLUMN calls TO spent_calls")
    for name in ("limit_calls", "cap_calls"):
        op.add_column("account", sa.Column(name, sa.BigInteger(), nullable=True))
    for name in ("held_calls", "allocated_calls", "overrun_calls"):
        op.add_column("account", sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    op.drop_constraint(op.f("ck_account_kind"), "account")
    op.create_check_constraint(op.f("ck_account_kind"), "account", KINDS)
    for name, condition in _conditions("calls"):
        op.create_check_constraint(op.f(name), "account", condition)


def _make_accounts_anew() -> None:
    """SQLite changes no CHECK of a table that is there. Other tables refer to it by its name, which stays."""
    op.execute("CREATE TABLE account_before AS SELECT * FROM account")
    op.drop_index("ix_account_open", "account")
    op.drop_table("account")
    columns = [column for unit in UNITS for column in _columns(unit)]
    checks = [sa.CheckConstraint(condition, name=op.f(name)) for unit in UNITS for name, condition in _conditions(unit)]
    op.create_table(
        "account",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("closing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="0", nullable=False),
        *columns,
        *checks,
        sa.CheckConstraint(KINDS, name=op.f("ck_account_kind")),
        sa.CheckConstraint("state IN ('open', 'frozen', 'closed')", name=op.f("ck_account_state")),
        sa.ForeignKeyConstraint(["parent_id"], ["account.id"], name=op.f("fk_account_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_account_kind_subject")),
    )
    op.execute(f"INSERT INTO account ({KEPT}, spent_calls) SELECT {KEPT}, calls FROM account_before")  # noqa: S608
    op.execute("DROP TABLE account_before")
    op.create_index(
        "ix_account_open", "account", ["parent_id"], unique=False, sqlite_where=sa.text("state <> 'closed'")
    )


def _columns(unit: str) -> list[sa.Column[int]]:
    bounds = [sa.Column(f"{name}_{unit}", sa.BigInteger(), nullable=True) for name in ("limit", "cap")]
    counts = [
        sa.Column(f"{name}_{unit}", sa.BigInteger(), server_default="0", nullable=False)
        for name in ("spent", "held", "allocated", "overrun")
    ]
    return [*bounds, *counts]


def _conditions(unit: str) -> list[tuple[str, str]]:
    used = f"spent_{unit} + held_{unit} + allocated_{unit}"
    counts = " AND ".join(f"{name}_{unit} >= 0" for name in ("spent", "held", "allocated", "overrun"))
    return [
        (f"ck_account_not_negative_{unit}", counts),
        (f"ck_account_within_{unit}", f"limit_{unit} IS NULL OR {used} <= limit_{unit} + overrun_{unit}"),
        (f"ck_account_overrun_{unit}", f"overrun_{unit} = 0 OR state <> 'open'"),
    ]
