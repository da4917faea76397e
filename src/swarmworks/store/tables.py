"""The tables. The migrations make them; this module says how they must look, and a test compares the two.

Every state column carries a CHECK generated from its transition table, and every account the ledger's invariants, so that
no code path, present or future, can store what the domain forbids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from swarmworks.domain.budget import RESERVATION_TABLE, AccountKind, AccountState, Period
from swarmworks.domain.change import CHANGE_TABLE, IntentState
from swarmworks.domain.delivery import DELIVERY_TABLE
from swarmworks.domain.gate import GateStage
from swarmworks.domain.lease import WORK_TABLE, WorkKind
from swarmworks.domain.question import QUESTION_TABLE
from swarmworks.domain.review import REVIEW_TABLE, ReviewSubject
from swarmworks.domain.session import SESSION_TABLE, SessionOutcome
from swarmworks.domain.swarm import SWARM_TABLE
from swarmworks.domain.task import TASK_TABLE
from swarmworks.policy.pricing import PriceVerdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from enum import StrEnum

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BIG = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself in SQLite


def one_of(column: str, states: Iterable[StrEnum]) -> CheckConstraint:
    names = ", ".join(f"'{state}'" for state in states)
    return CheckConstraint(f"{column} IN ({names})", name=column)


def _words(name: str, *, optional: bool = False) -> Column[str]:
    return Column(name, Text, nullable=optional)


def _count(name: str, default: int = 0) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=str(default))


def _where(condition: str) -> dict[str, Any]:
    """A partial index: the hot rows only, so that finished ones cost nothing."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _number() -> Column[int]:
    """The order of arrival."""
    return Column("number", _BIG, primary_key=True, autoincrement=True)


def _dimension(unit: str) -> list[Any]:
    """One dimension of an account. `limit` is what was carved out for it so far, `cap` the most it may ever be. Only an
    account that is not open may exceed its limit, and by `overrun` exactly: a settlement was above its reservation.
    """
    used = f"spent_{unit} + held_{unit} + allocated_{unit}"
    columns = (f"spent_{unit}", f"held_{unit}", f"allocated_{unit}", f"overrun_{unit}")
    return [
        Column(f"limit_{unit}", BigInteger),
        Column(f"cap_{unit}", BigInteger),
        *(_count(column) for column in columns),
        CheckConstraint(" AND ".join(f"{column} >= 0" for column in columns), name=f"not_negative_{unit}"),
        CheckConstraint(f"limit_{unit} IS NULL OR {used} <= limit_{unit} + overrun_{unit}", name=f"within_{unit}"),
        CheckConstraint(f"overrun_{unit} = 0 OR state <> 'open'", name=f"overrun_{unit}"),
    ]


account = Table(
    "account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("parent_id", Text, ForeignKey("account.id")),
    _words("kind"),
    _words("subject"),
    _words("state"),
    Column("closing", Boolean, nullable=False, server_default=text("false")),
    _count("version"),
    *_dimension("nano_usd"),
    *_dimension("tokens"),
    *_dimension("calls"),
    one_of("kind", AccountKind),
    one_of("state", AccountState),
    UniqueConstraint("kind", "subject"),
    Index("ix_account_open", "parent_id", **_where("state <> 'closed'")),
)

budget_window = Table(
    "budget_window",
    metadata,
    Column("project", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    _words("zone"),
    Column("limit_nano_usd", BigInteger),
    Column("limit_tokens", BigInteger),
    Column("limit_calls", BigInteger),
    _words("newest", optional=True),
    Column("account_id", Text, ForeignKey("account.id")),
    one_of("period", Period),
    CheckConstraint("account_id IS NULL OR newest IS NOT NULL", name="begun_has_a_name"),
)

swarm = Table(
    "swarm",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    _words("project"),
    _words("state"),
    Column("account_id", Text, ForeignKey("account.id"), nullable=False),
    _words("integration_ref"),
    _words("base"),
    _words("options"),
    _words("task_limit"),
    _words("created_at"),
    _words("ended_at", optional=True),
    _words("reason", optional=True),
    _words("agent_limit", optional=True),
    one_of("state", SWARM_TABLE.states),
    Index("ix_swarm_state", "state", "number"),
    Index("ix_swarm_project", "project", "state", "number"),
)

plan = Table(
    "plan",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    _words("document"),
)

task = Table(
    "task",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    _count("position"),
    _words("planned"),
    _words("kind"),
    _words("role"),
    _words("owns"),
    _words("state"),
    _count("rank"),
    _count("attempts"),
    _count("fence"),
    _count("waiting_on"),
    _words("rejection", optional=True),
    _words("note", optional=True),
    _words("landed_commit", optional=True),
    _words("guidance", optional=True),
    one_of("state", TASK_TABLE.states),
    CheckConstraint("waiting_on >= 0", name="waiting_on"),
    CheckConstraint("state NOT IN ('ready', 'running') OR waiting_on = 0", name="ready_waits_for_nothing"),
    Index("ix_task_ready", "swarm_id", text("rank DESC"), "position", **_where("state = 'ready'")),
    Index("ix_task_state", "swarm_id", "state"),
    Index("ix_task_position", "swarm_id", "position"),
)

task_count = Table(
    "task_count",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    Column("task_state", Text, primary_key=True),
    _count("tasks"),
    one_of("task_state", TASK_TABLE.states),
    CheckConstraint("tasks >= 0", name="tasks"),
)

task_edge = Table(
    "task_edge",
    metadata,
    Column("swarm_id", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("needs", Text, primary_key=True),
    ForeignKeyConstraint(["swarm_id", "task_id"], ["task.swarm_id", "task.id"]),
    ForeignKeyConstraint(["swarm_id", "needs"], ["task.swarm_id", "task.id"], name="fk_task_edge_needs"),
    Index("ix_task_edge_needs", "swarm_id", "needs", "task_id"),
)

file_claim = Table(
    "file_claim",
    metadata,
    Column("swarm_id", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    _words("task_id"),
    ForeignKeyConstraint(["swarm_id", "task_id"], ["task.swarm_id", "task.id"]),
    Index("ix_file_claim_task", "swarm_id", "task_id"),
)

agent = Table(
    "agent",
    metadata,
    Column("id", Text, primary_key=True),
    _words("project"),
    _words("name"),
    _words("role"),
    _words("kinds"),
    Column("active", Boolean, nullable=False),
    UniqueConstraint("project", "name"),
)

session = Table(
    "session",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("task_id"),
    _count("fence"),
    _count("attempt"),
    Column("agent_id", Text, ForeignKey("agent.id"), nullable=False),
    _words("worker_id"),
    Column("account_id", Text, ForeignKey("account.id"), nullable=False),
    _words("model"),
    _words("state"),
    _words("base_commit"),
    _words("claimed_at"),
    _words("started_at", optional=True),
    _words("ended_at", optional=True),
    _words("outcome", optional=True),
    _words("reason", optional=True),
    Column("token_sha256", Text, unique=True),
    ForeignKeyConstraint(["swarm_id", "task_id"], ["task.swarm_id", "task.id"], name="fk_session_task"),
    one_of("state", SESSION_TABLE.states),
    one_of("outcome", SessionOutcome),
    CheckConstraint("(state = 'ended') = (outcome IS NOT NULL)", name="ended_has_outcome"),
    Index("ix_session_swarm", "swarm_id", "state", "number"),
    Index("ix_session_one_per_agent", "agent_id", unique=True, **_where("state <> 'ended'")),
    Index("ix_session_one_per_task", "swarm_id", "task_id", unique=True, **_where("state <> 'ended'")),
    Index("ix_session_task", "swarm_id", "task_id", "number"),
)

session_stop = Table(
    "session_stop",
    metadata,
    Column("session_id", Text, ForeignKey("session.id"), primary_key=True),
    _words("reason"),
    _words("at"),
)

worker = Table(
    "worker",
    metadata,
    Column("id", Text, primary_key=True),
    _words("name"),
    _count("fence"),
    Column("ttl_s", Float, nullable=False),
    _count("renewals"),
    _words("capacity"),
)

replica = Table(
    "replica",
    metadata,
    Column("id", Text, primary_key=True),
    _words("name"),
    Column("ttl_s", Float, nullable=False),
    _count("beats"),
    _words("api_url"),
    _words("gateway_url"),
)

chore = Table("chore", metadata, Column("subject", Text, primary_key=True), _words("replica_id"))

counter = Table("counter", metadata, Column("name", Text, primary_key=True), _count("value"))

work = Table(
    "work",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    _words("kind"),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("task_id"),
    _words("subject"),
    _words("state"),
    _count("fence"),
    _words("need"),
    _words("payload"),
    _count("priority"),
    _words("worker_id", optional=True),
    _words("leased_at", optional=True),
    _words("result", optional=True),
    _count("unnamed_renewals"),
    one_of("kind", WorkKind),
    one_of("state", WORK_TABLE.states),
    CheckConstraint("state <> 'leased' OR worker_id IS NOT NULL", name="leased_to_somebody"),
    Index("ix_work_state", "state", text("priority DESC"), "number"),
    Index("ix_work_swarm", "swarm_id", "state", "number"),
    Index("ix_work_worker", "worker_id", "state"),
    Index("ix_work_subject", "subject"),
)

change = Table(
    "change",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("task_id"),
    Column("session_id", Text, ForeignKey("session.id"), nullable=False, unique=True),
    Column("agent_id", Text, ForeignKey("agent.id"), nullable=False),
    _words("state"),
    _words("base"),
    _words("head"),
    _words("handoff"),
    _words("submitted_at"),
    _words("candidate", optional=True),
    _words("landed", optional=True),
    one_of("state", CHANGE_TABLE.states),
    Index("ix_change_swarm", "swarm_id", "state", "number"),
    Index("ix_change_task", "swarm_id", "task_id", "number"),
)

gate_run = Table(
    "gate_run",
    metadata,
    _number(),
    Column("change_id", Text, ForeignKey("change.id"), nullable=False, index=True),
    _words("stage"),
    _words("tree"),
    _words("results"),
    _words("at"),
    one_of("stage", GateStage),
)

gate_cache = Table("gate_cache", metadata, Column("key", Text, primary_key=True), _words("result"), _words("at"))

intent = Table(
    "intent",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    Column("change_id", Text, ForeignKey("change.id"), nullable=False),
    _words("ref"),
    _words("old"),
    _words("new"),
    _words("state"),
    one_of("state", IntentState),
    Index("ix_intent_state", "state", "id"),
    Index("ix_intent_open", "change_id", unique=True, **_where("state = 'open'")),
)

queue_run = Table(
    "queue_run",
    metadata,
    _number(),
    Column("id", Text, ForeignKey("work.id"), nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("base"),
    _words("changes"),
    _words("commits"),
    Column("below", Integer, nullable=False),
    Column("lane", Boolean, nullable=False),
    _words("verdict", optional=True),
    Column("sure", Boolean, nullable=False),
    _words("started_at"),
    _words("ended_at", optional=True),
    Column("closed", Boolean, nullable=False),
    Column("ended", BigInteger),  # which of the swarm's runs it was to end: two may end in the same moment
    CheckConstraint("verdict IS NULL OR verdict IN ('passed', 'failed')", name="verdict"),
    Index("ix_queue_run_open", "swarm_id", "number", **_where("NOT closed")),
)

queue_branch = Table(
    "queue_branch",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    _words("head"),
    _words("pushed", optional=True),
    _words("frozen", optional=True),
)

test_failure = Table(
    "test_failure",
    metadata,
    Column("change_id", Text, ForeignKey("change.id"), primary_key=True),
    Column("test", Text, primary_key=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("task_id"),
    Index("ix_test_failure_test", "swarm_id", "test"),
)

health_task = Table(
    "health_task",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    Column("test", Text, primary_key=True),
    _words("task_id"),
)

review = Table(
    "review",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("gate"),
    _words("subject"),
    _words("subject_id"),
    _words("question"),
    _words("state"),
    _words("asked_at"),
    _words("task_id", optional=True),
    _words("deciders"),
    _words("advice", optional=True),
    _words("decided_by", optional=True),
    _words("reason", optional=True),
    _words("decided_at", optional=True),
    one_of("subject", ReviewSubject),
    one_of("state", REVIEW_TABLE.states),
    CheckConstraint("(state = 'open') = (decided_by IS NULL)", name="decided_by_somebody"),
    Index("ix_review_swarm", "swarm_id", "state", "number"),
    Index("ix_review_one_open", "subject_id", "gate", unique=True, **_where("state = 'open'")),
)

question = Table(
    "question",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("task_id"),
    Column("session_id", Text, ForeignKey("session.id"), nullable=False, index=True),
    _words("text"),
    _words("state"),
    _words("asked_at"),
    _words("answer", optional=True),
    _words("answered_by", optional=True),
    _words("answered_at", optional=True),
    _words("paths", optional=True),
    one_of("state", QUESTION_TABLE.states),
    CheckConstraint("(state = 'answered') = (answer IS NOT NULL)", name="answered_has_answer"),
    Index("ix_question_swarm", "swarm_id", "state", "number"),
)

message = Table(
    "message",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    Column("session_id", Text, ForeignKey("session.id"), nullable=False, index=True),
    _words("sender"),
    _words("text"),
    _words("sent_at"),
    _words("delivered_at", optional=True),
    Index("ix_message_undelivered", "session_id", "number", **_where("delivered_at IS NULL")),
)

takeover = Table(
    "takeover",
    metadata,
    Column("session_id", Text, ForeignKey("session.id"), primary_key=True),
    Column("before_id", Text, ForeignKey("session.id"), nullable=False),
    _count("tries"),
    _words("accepted_at", optional=True),
)

mail = Table(
    "mail",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    Column("session_id", Text, ForeignKey("session.id"), nullable=False, index=True),
    Column("recipient", Text, ForeignKey("agent.id"), nullable=False),
    _words("text"),
    _words("sent_at"),
    _words("read_at", optional=True),
    Index("ix_mail_unread", "swarm_id", "recipient", "number", **_where("read_at IS NULL")),
)

delivery = Table(
    "delivery",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("branch"),
    _words("tip"),
    _words("head"),
    _words("state"),
    _words("actor"),
    _words("created_at"),
    _words("candidate", optional=True),
    _words("note", optional=True),
    _words("ended_at", optional=True),
    one_of("state", DELIVERY_TABLE.states),
    CheckConstraint("state NOT IN ('ready', 'delivered') OR candidate IS NOT NULL", name="ready_has_candidate"),
    Index("ix_delivery_swarm", "swarm_id", "state", "number"),
)

event = Table(
    "event",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _words("at"),
    _words("kind"),
    _words("actor"),
    _words("task_id", optional=True),
    _words("session_id", optional=True),
    _words("data"),
    _words("previous_hash"),
    _words("hash"),
    Index("ix_event_session", "session_id", "seq", **_where("session_id IS NOT NULL")),
)

archive = Table(
    "archive",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    Column("last_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("first_seq", BigInteger, nullable=False),
    _words("last_hash"),
    _words("file"),
    _words("sha256"),
    _words("archived_at"),
)

anchor = Table(
    "anchor",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    _words("statement"),
    _words("signature"),
)

anchored = Table(
    "anchored",
    metadata,
    Column("swarm_id", Text, ForeignKey("swarm.id"), primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

reservation = Table(
    "reservation",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    Column("account_id", Text, ForeignKey("account.id"), nullable=False, index=True),
    Column("session_id", Text, ForeignKey("session.id"), nullable=False, index=True),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("state"),
    _words("model"),
    _count("reserved_nano_usd"),
    _count("reserved_tokens"),
    Column("settled_nano_usd", BigInteger),
    Column("settled_tokens", BigInteger),
    Column("input_tokens", BigInteger),
    Column("output_tokens", BigInteger),
    Column("cache_read_tokens", BigInteger),
    Column("cache_write_tokens", BigInteger),
    Column("estimated", Boolean, nullable=False, server_default=text("false")),
    _words("opened_at"),
    _words("ended_at", optional=True),
    _words("provider_request_id", optional=True),
    _words("replica_id", optional=True),
    _words("price", optional=True),
    _words("subscription", optional=True),
    _words("day_account", optional=True),
    _words("month_account", optional=True),
    _words("agent_account", optional=True),
    Column("settled_calls", BigInteger),
    one_of("state", RESERVATION_TABLE.states),
    CheckConstraint("reserved_nano_usd >= 0 AND reserved_tokens >= 0", name="not_negative"),
    CheckConstraint("(state = 'settled') = (settled_nano_usd IS NOT NULL)", name="settled_has_amount"),
    Index("ix_reservation_swarm", "swarm_id", "state"),
    Index("ix_reservation_replica", "replica_id", **_where("state IN ('held', 'sent')")),
    Index("ix_reservation_open", "number", **_where("state IN ('held', 'sent')")),
    Index("ix_reservation_subscription", "subscription", "ended_at", **_where("subscription IS NOT NULL")),
)

price_list = Table(
    "price_list",
    metadata,
    _number(),
    Column("id", Text, nullable=False, unique=True),
    _words("source"),
    _words("imported_by"),
    _words("imported_at"),
)

price = Table(
    "price",
    metadata,
    Column("list_id", Text, ForeignKey("price_list.id"), primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    _words("label"),
    _words("provider", optional=True),
    _words("hosts", optional=True),
    _words("match"),
    _words("valid_from"),
    _words("document"),
    CheckConstraint("(provider IS NULL) <> (hosts IS NULL)", name="one_place"),
)

price_decision = Table(
    "price_decision",
    metadata,
    _number(),
    Column("list_id", Text, ForeignKey("price_list.id"), nullable=False, unique=True),
    _words("verdict"),
    _words("decided_by"),
    _words("reason"),
    _words("decided_at"),
    one_of("verdict", PriceVerdict),
)

price_used = Table("price_used", metadata, Column("digest", Text, primary_key=True), _words("document"))

secret = Table(
    "secret",
    metadata,
    Column("name", Text, primary_key=True),
    _words("key_id"),
    _words("envelope"),
    _words("set_by"),
    _words("set_at"),
)

subscription = Table("subscription", metadata, Column("provider", Text, primary_key=True))

ledger_entry = Table(
    "ledger_entry",
    metadata,
    _number(),
    Column("swarm_id", Text, ForeignKey("swarm.id"), nullable=False),
    _words("reservation_id"),
    _count("nano_usd"),
    _count("tokens"),
    Index("ix_ledger_entry_swarm", "swarm_id", "number", "nano_usd", "tokens"),
)

blob = Table("blob", metadata, Column("key", Text, primary_key=True), Column("data", LargeBinary, nullable=False))
