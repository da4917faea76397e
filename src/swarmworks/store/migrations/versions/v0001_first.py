"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("parent_id", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("closing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("limit_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("cap_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("spent_nano_usd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_nano_usd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("allocated_nano_usd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("overrun_nano_usd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("limit_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cap_tokens", sa.BigInteger(), nullable=True),
        sa.Column("spent_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("held_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("allocated_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("overrun_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("kind IN ('project', 'swarm', 'task', 'session')", name=op.f("ck_account_kind")),
        sa.CheckConstraint("overrun_nano_usd = 0 OR state <> 'open'", name=op.f("ck_account_overrun_nano_usd")),
        sa.CheckConstraint("overrun_tokens = 0 OR state <> 'open'", name=op.f("ck_account_overrun_tokens")),
        sa.CheckConstraint("state IN ('open', 'frozen', 'closed')", name=op.f("ck_account_state")),
        sa.CheckConstraint(
            "limit_nano_usd IS NULL OR spent_nano_usd + held_nano_usd + allocated_nano_usd <= limit_nano_usd + overrun_nano_usd",
            name=op.f("ck_account_within_nano_usd"),
        ),
        sa.CheckConstraint(
            "limit_tokens IS NULL OR spent_tokens + held_tokens + allocated_tokens <= limit_tokens + overrun_tokens",
            name=op.f("ck_account_within_tokens"),
        ),
        sa.CheckConstraint(
            "spent_nano_usd >= 0 AND held_nano_usd >= 0 AND allocated_nano_usd >= 0 AND overrun_nano_usd >= 0",
            name=op.f("ck_account_not_negative_nano_usd"),
        ),
        sa.CheckConstraint(
            "spent_tokens >= 0 AND held_tokens >= 0 AND allocated_tokens >= 0 AND overrun_tokens >= 0",
            name=op.f("ck_account_not_negative_tokens"),
        ),
        sa.ForeignKeyConstraint(["parent_id"], ["account.id"], name=op.f("fk_account_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_account_kind_subject")),
    )
    op.create_index(
        "ix_account_open",
        "account",
        ["parent_id"],
        unique=False,
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    )
    op.create_table(
        "agent",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent")),
        sa.UniqueConstraint("project", "name", name=op.f("uq_agent_project_name")),
    )
    op.create_table(
        "blob",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_blob")),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "gate_cache",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_gate_cache")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ttl_s", sa.Float(), nullable=False),
        sa.Column("renewals", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("capacity", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "swarm",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("integration_ref", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("task_limit", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'stopping', 'stopped', 'blocked', 'landed')", name=op.f("ck_swarm_state")
        ),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_swarm_account_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_swarm")),
        sa.UniqueConstraint("id", name=op.f("uq_swarm_id")),
    )
    op.create_table(
        "event",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("previous_hash", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_event_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", "seq", name=op.f("pk_event")),
    )
    op.create_index(
        "ix_event_session",
        "event",
        ["session_id", "seq"],
        unique=False,
        sqlite_where=sa.text("session_id IS NOT NULL"),
        postgresql_where=sa.text("session_id IS NOT NULL"),
    )
    op.create_table(
        "ledger_entry",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Text(), nullable=False),
        sa.Column("nano_usd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_ledger_entry_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger_entry")),
    )
    op.create_index("ix_ledger_entry_swarm", "ledger_entry", ["swarm_id", "number", "nano_usd", "tokens"], unique=False)
    op.create_table(
        "plan",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_plan_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", name=op.f("pk_plan")),
    )
    op.create_table(
        "task",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("planned", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("owns", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("rank", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("waiting_on", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rejection", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("landed_commit", sa.Text(), nullable=True),
        sa.Column("guidance", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('waiting', 'ready', 'running', 'review', 'queued', 'landed', 'nothing_to_do', 'parked', 'blocked', 'superseded', 'cancelled')",
            name=op.f("ck_task_state"),
        ),
        sa.CheckConstraint(
            "state NOT IN ('ready', 'running') OR waiting_on = 0", name=op.f("ck_task_ready_waits_for_nothing")
        ),
        sa.CheckConstraint("waiting_on >= 0", name=op.f("ck_task_waiting_on")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_task_swarm_id")),
        sa.PrimaryKeyConstraint("swarm_id", "id", name=op.f("pk_task")),
    )
    op.create_index("ix_task_position", "task", ["swarm_id", "position"], unique=False)
    op.create_index("ix_task_state", "task", ["swarm_id", "state"], unique=False)
    op.create_table(
        "work",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("need", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("leased_at", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("unnamed_renewals", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("kind IN ('session', 'gates', 'build', 'review', 'delivery')", name=op.f("ck_work_kind")),
        sa.CheckConstraint("state <> 'leased' OR worker_id IS NOT NULL", name=op.f("ck_work_leased_to_somebody")),
        sa.CheckConstraint("state IN ('queued', 'leased', 'done', 'void')", name=op.f("ck_work_state")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_work_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_work")),
        sa.UniqueConstraint("id", name=op.f("uq_work_id")),
    )
    op.create_index("ix_work_subject", "work", ["subject"], unique=False)
    op.create_index("ix_work_swarm", "work", ["swarm_id", "state", "number"], unique=False)
    op.create_index("ix_work_worker", "work", ["worker_id", "state"], unique=False)
    op.create_table(
        "file_claim",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["swarm_id", "task_id"], ["task.swarm_id", "task.id"], name=op.f("fk_file_claim_swarm_id")
        ),
        sa.PrimaryKeyConstraint("swarm_id", "path", name=op.f("pk_file_claim")),
    )
    op.create_index("ix_file_claim_task", "file_claim", ["swarm_id", "task_id"], unique=False)
    op.create_table(
        "session",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("base_commit", sa.Text(), nullable=False),
        sa.Column("claimed_at", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("token_sha256", sa.Text(), nullable=True),
        sa.CheckConstraint("(state = 'ended') = (outcome IS NOT NULL)", name=op.f("ck_session_ended_has_outcome")),
        sa.CheckConstraint(
            "outcome IN ('submitted', 'nothing_to_do', 'failed', 'handed_off', 'stopped', 'lost', 'killed', "
            "'infrastructure', 'asked')",
            name=op.f("ck_session_outcome"),
        ),
        sa.CheckConstraint("state IN ('claimed', 'running', 'ended')", name=op.f("ck_session_state")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_session_account_id")),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_session_agent_id")),
        sa.ForeignKeyConstraint(["swarm_id", "task_id"], ["task.swarm_id", "task.id"], name="fk_session_task"),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_session_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_session")),
        sa.UniqueConstraint("id", name=op.f("uq_session_id")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_session_token_sha256")),
    )
    op.create_index(
        "ix_session_one_per_agent",
        "session",
        ["agent_id"],
        unique=True,
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_index(
        "ix_session_one_per_task",
        "session",
        ["swarm_id", "task_id"],
        unique=True,
        sqlite_where=sa.text("state <> 'ended'"),
        postgresql_where=sa.text("state <> 'ended'"),
    )
    op.create_index("ix_session_swarm", "session", ["swarm_id", "state", "number"], unique=False)
    op.create_index("ix_session_task", "session", ["swarm_id", "task_id", "number"], unique=False)
    op.create_table(
        "task_edge",
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("needs", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["swarm_id", "needs"], ["task.swarm_id", "task.id"], name="fk_task_edge_needs"),
        sa.ForeignKeyConstraint(
            ["swarm_id", "task_id"], ["task.swarm_id", "task.id"], name=op.f("fk_task_edge_swarm_id")
        ),
        sa.PrimaryKeyConstraint("swarm_id", "task_id", "needs", name=op.f("pk_task_edge")),
    )
    op.create_index("ix_task_edge_needs", "task_edge", ["swarm_id", "needs", "task_id"], unique=False)
    op.create_table(
        "change",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("handoff", sa.Text(), nullable=False),
        sa.Column("submitted_at", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=True),
        sa.Column("landed", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('submitted', 'approved', 'building', 'landed', 'proved', 'rejected', 'parked', 'superseded')",
            name=op.f("ck_change_state"),
        ),
        sa.ForeignKeyConstraint(["agent_id"], ["agent.id"], name=op.f("fk_change_agent_id")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_change_session_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_change_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_change")),
        sa.UniqueConstraint("id", name=op.f("uq_change_id")),
        sa.UniqueConstraint("session_id", name=op.f("uq_change_session_id")),
    )
    op.create_index("ix_change_swarm", "change", ["swarm_id", "state", "number"], unique=False)
    op.create_index("ix_change_task", "change", ["swarm_id", "task_id", "number"], unique=False)
    op.create_table(
        "reservation",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("reserved_nano_usd", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reserved_tokens", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("settled_nano_usd", sa.BigInteger(), nullable=True),
        sa.Column("settled_tokens", sa.BigInteger(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cache_read_tokens", sa.BigInteger(), nullable=True),
        sa.Column("cache_write_tokens", sa.BigInteger(), nullable=True),
        sa.Column("estimated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("opened_at", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.Text(), nullable=True),
        sa.Column("provider_request_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "(state = 'settled') = (settled_nano_usd IS NOT NULL)", name=op.f("ck_reservation_settled_has_amount")
        ),
        sa.CheckConstraint("state IN ('held', 'sent', 'settled', 'freed')", name=op.f("ck_reservation_state")),
        sa.CheckConstraint("reserved_nano_usd >= 0 AND reserved_tokens >= 0", name=op.f("ck_reservation_not_negative")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_reservation_account_id")),
        sa.ForeignKeyConstraint(["session_id"], ["session.id"], name=op.f("fk_reservation_session_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_reservation_swarm_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_reservation")),
        sa.UniqueConstraint("id", name=op.f("uq_reservation_id")),
    )
    op.create_index(op.f("ix_reservation_account_id"), "reservation", ["account_id"], unique=False)
    op.create_index(
        "ix_reservation_open",
        "reservation",
        ["number"],
        unique=False,
        sqlite_where=sa.text("state IN ('held', 'sent')"),
        postgresql_where=sa.text("state IN ('held', 'sent')"),
    )
    op.create_index(op.f("ix_reservation_session_id"), "reservation", ["session_id"], unique=False)
    op.create_index("ix_reservation_swarm", "reservation", ["swarm_id", "state"], unique=False)
    op.create_table(
        "gate_run",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("tree", sa.Text(), nullable=False),
        sa.Column("results", sa.Text(), nullable=False),
        sa.Column("at", sa.Text(), nullable=False),
        sa.CheckConstraint("stage IN ('change', 'candidate')", name=op.f("ck_gate_run_stage")),
        sa.ForeignKeyConstraint(["change_id"], ["change.id"], name=op.f("fk_gate_run_change_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_gate_run")),
    )
    op.create_index(op.f("ix_gate_run_change_id"), "gate_run", ["change_id"], unique=False)
    op.create_table(
        "intent",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("swarm_id", sa.Text(), nullable=False),
        sa.Column("change_id", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("old", sa.Text(), nullable=False),
        sa.Column("new", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'done', 'void')", name=op.f("ck_intent_state")),
        sa.ForeignKeyConstraint(["change_id"], ["change.id"], name=op.f("fk_intent_change_id")),
        sa.ForeignKeyConstraint(["swarm_id"], ["swarm.id"], name=op.f("fk_intent_swarm_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_intent")),
    )
    op.create_index(
        "ix_intent_open",
        "intent",
        ["change_id"],
        unique=True,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index("ix_intent_state", "intent", ["state", "id"], unique=False)
    op.create_index(
        "ix_task_ready",
        "task",
        ["swarm_id", sa.text("rank DESC"), "position"],
        unique=False,
        sqlite_where=sa.text("state = 'ready'"),
        postgresql_where=sa.text("state = 'ready'"),
    )
    op.create_index("ix_work_state", "work", ["state", sa.text("priority DESC"), "number"], unique=False)
    op.execute("INSERT INTO counter (name, value) VALUES ('worker_fence', 0)")
