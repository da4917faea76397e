"""Facts as a control plane would tell them, for tests of the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from swarmworks.base.ids import ChangeId, SessionId, SwarmId, TaskId
from swarmworks.wire.api import (
    AgentReport,
    AgentStatus,
    BlockedTask,
    CodeReport,
    EventRow,
    MoneyStatus,
    QueueRow,
    QueueStatus,
    SwarmReport,
    SwarmStatus,
    SwarmSummary,
    TaskReport,
)
from swarmworks.wire.why import WhyReport

SWARM = SwarmId("swm_1a2b3c4d5e6f7g8h")
BRANCH = f"swarm/{SWARM}"
BORN = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
NANO = 1_000_000_000


def money(**changed: Any) -> MoneyStatus:
    facts: dict[str, Any] = {
        "limit_nano_usd": None,
        "spent_nano_usd": 0,
        "held_nano_usd": 0,
        "tokens_limit": None,
        "tokens_spent": 1_204_500,
        "calls": 412,
    }
    return MoneyStatus(**(facts | changed))


def status(state: str = "running", **changed: Any) -> SwarmStatus:
    facts: dict[str, Any] = {
        "id": SWARM,
        "project": "task-management",
        "plan_name": "Task Management",
        "state": state,
        "reason": None,
        "version": 1,
        "created_at": BORN,
        "ended_at": None,
        "elapsed_s": 252.0,
        "tasks": {"landed": 55} if state == "landed" else {"landed": 20, "running": 3, "waiting": 32},
        "agents": (),
        "queue": (),
        "building": None,
        "blocked": (),
        "money": money(),
        "tests": None,
        "coverage_percent": None,
        "landed_commits": 20,
        "integration_branch": BRANCH,
        "head": "8af13b0c55d2e1f00a11b22c33d44e55f6607788",
        "remaining_s": None,
    }
    return SwarmStatus(**(facts | changed))


def summary(state: str = "running", swarm_id: str = SWARM, *, age_h: int = 0) -> SwarmSummary:
    return SwarmSummary(
        id=SwarmId(swarm_id),
        project="task-management",
        plan_name="Task Management",
        state=state,
        reason=None,
        created_at=BORN - timedelta(hours=age_h),
        ended_at=None,
    )


def blocked(task: str = "tests-user", note: str = "rejected 3 times; last: tests failed") -> BlockedTask:
    return BlockedTask(task_id=TaskId(task), title="Tests of user", note=note)


def agent(name: str, task: str | None = None, doing: str = "", since_s: float = 0.0) -> AgentStatus:
    return AgentStatus(
        name=name,
        role=name.rpartition("-")[0],
        task_id=TaskId(task) if task else None,
        session_id=SessionId("ses_1") if task else None,
        since=BORN + timedelta(seconds=since_s) if task else None,
        doing=doing,
    )


def event(
    seq: int, kind: str, task: str | None = None, /, *, at_s: float = 0.0, actor: str = "platform", **data: Any
) -> EventRow:
    return EventRow(
        seq=seq,
        at=BORN + timedelta(seconds=at_s),
        kind=kind,
        actor=actor,
        task_id=task,
        session_id=None,
        data=data,
    )


def report(**changed: Any) -> SwarmReport:
    facts: dict[str, Any] = {
        "id": SWARM,
        "project": "task-management",
        "plan_id": "task-management",
        "plan_name": "Task Management",
        "state": "landed",
        "reason": None,
        "model": "rehearsal:rehearsal",
        "created_at": BORN,
        "ended_at": BORN + timedelta(seconds=252),
        "duration_s": 252.0,
        "tasks": (
            _task("scaffold", "scaffold"),
            _task("schema-user", "implement_database"),
            _task("endpoint-user-create", "implement_endpoint", attempts=1, sessions=2),
            _task("tests-user", "write_tests", state="blocked", note="rejected 3 times", sessions=3, commit=None),
        ),
        "agents": (
            AgentReport(
                name="api-1",
                role="api",
                sessions=3,
                landed=2,
                first_pass_landed=1,
                calls=41,
                tokens=120_400,
                cost_nano_usd=NANO // 4,
            ),
            AgentReport(
                name="database-1",
                role="database",
                sessions=1,
                landed=1,
                first_pass_landed=1,
                calls=9,
                tokens=940,
                cost_nano_usd=0,
            ),
        ),
        "tests": 214,
        "tests_failed": 0,
        "coverage_percent": 93.14,
        "calls": 412,
        "input_tokens": 1_100_000,
        "output_tokens": 104_500,
        "spent_nano_usd": NANO // 4,
        "peak_nano_usd": NANO // 2,
        "limit_nano_usd": 2 * NANO,
        "estimated_calls": 1,
        "gate_runs": {
            "coverage": {"passed": 9},
            "tests": {"passed": 20, "failed": 3, "could_not_run": 1, "cached": 2},
        },
        "rejections": 4,
        "human_interventions": 1,
        "events": 5_210,
        "chain_intact": True,
        "code": CodeReport(
            files=41,
            lines=3_120,
            source_lines=2_204,
            complexity_mean=2.31,
            complexity_max=9,
            complexity_worst="app/models/task.py list_page",
            maintainability_mean=71.4,
            maintainability_min=52.0,
            maintainability_worst="app/models/task.py",
            debt_hours=1.5,
            debt_method="30 min for each function above 10, 60 min for each file below 20",
        ),
        "code_note": "radon on the Python files of the landed tree",
        "integration_branch": BRANCH,
        "base": "0" * 40,
        "head": "8af13b0c55d2e1f00a11b22c33d44e55f6607788",
        "lines_added": 3_350,
        "lines_removed": 12,
    }
    return SwarmReport(**(facts | changed))


def _task(task: str, kind: str, **changed: Any) -> TaskReport:
    facts: dict[str, Any] = {
        "id": TaskId(task),
        "kind": kind,
        "title": task,
        "state": "landed",
        "attempts": 0,
        "sessions": 1,
        "agent": "api-1",
        "commit": "8af13b0c55d2",
        "note": None,
    }
    return TaskReport(**(facts | changed))


def why(**changed: Any) -> WhyReport:
    facts: dict[str, Any] = {
        "swarm_id": SWARM,
        "plan_id": "task-management",
        "plan_name": "Task Management",
        "task_id": "schema-user",
        "title": "The user's table",
        "kind": "implement_database",
        "role": "database",
        "state": "landed",
        "change_id": "chg_1",
        "change_state": "landed",
        "landed": "8af13b0c55d2e1f00a11b22c33d44e55f6607788",
        "events": 5_210,
    }
    return WhyReport(**(facts | changed))


def queue(*rows: QueueRow, frozen: str | None = None) -> QueueStatus:
    return QueueStatus(swarm_id=SWARM, head="a" * 40, frozen=frozen, failure_percent=5.0, run_s=62.0, rows=rows)


def queued(place: int, task: str, state: str, why: str, expected_s: float | None = None) -> QueueRow:
    return QueueRow(
        place=place,
        task_id=TaskId(task),
        change_id=ChangeId(f"chg_{place}"),
        submitted_at=BORN,
        state=state,
        why=why,
        expected_s=expected_s,
    )
