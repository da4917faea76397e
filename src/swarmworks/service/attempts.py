"""What becomes of a task whose session ended without handing anything in: ready again, or blocked for a person."""

from __future__ import annotations

from swarmworks.domain.event import NewEvent
from swarmworks.domain.rejection import Rejection, RejectionKind
from swarmworks.domain.session import FREE, Session, SessionOutcome, SessionState
from swarmworks.domain.task import Task, TaskEvent
from swarmworks.policy.retry import after_failure, costs_an_attempt
from swarmworks.policy.wording import plain
from swarmworks.store.protocol import Reader, Tx
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.options import from_json

MOST_REASON = 600


def conclude(
    tx: Tx, session: Session, outcome: SessionOutcome, reason: str | None, *, swarm_out_of_budget: bool = False
) -> None:
    """Once the session has ended with `outcome`. Writes the task's move and its event."""
    task = tx.task(session.swarm_id, session.task_id)
    why = plain(reason or "", MOST_REASON)
    if costs_an_attempt(outcome, swarm_out_of_budget=swarm_out_of_budget, free_before=_free_sessions(tx, session)):
        _failed(tx, task, session, f"the session ended {outcome}: {why or 'no reason was given'}")
        return
    tx.move_task(task.swarm_id, task.id, TaskEvent.REWORK)
    _say(tx, task, "task.returned", {"outcome": str(outcome), "reason": why})


def _free_sessions(reader: Reader, session: Session) -> int:
    ended = reader.sessions(session.swarm_id, task_id=session.task_id, states=(SessionState.ENDED,))
    return sum(1 for one in ended if one.outcome in FREE and one.id != session.id)


def _failed(tx: Tx, task: Task, session: Session, summary: str) -> None:
    most = from_json(tx.swarm(task.swarm_id).options).config.limits.attempts
    event = after_failure(task.attempts + 1, most)
    rejection = Rejection(
        kind=RejectionKind.SESSION_FAILED,
        summary=summary,
        attempts_left=max(0, most - task.attempts - 1),
        base=session.base_commit,
    )
    tx.move_task(
        task.swarm_id,
        task.id,
        event,
        rejection=rejection_wire.dump(rejection),
        note=summary if event is TaskEvent.EXHAUST else None,
        count_attempt=True,
    )
    name = "task.blocked" if event is TaskEvent.EXHAUST else "task.rework"
    _say(tx, task, name, {"reason": summary, "attempts_left": rejection.attempts_left})


def _say(tx: Tx, task: Task, name: str, data: dict[str, object]) -> None:
    tx.append(task.swarm_id, NewEvent(name, "platform", data, task.id))
