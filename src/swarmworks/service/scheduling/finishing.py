"""What becomes of a session's result: a change on its way to the gates, another attempt, or a blocked task."""

from __future__ import annotations

from collections.abc import Callable

from swarmworks.base.clock import Clock
from swarmworks.base.ids import ChangeId, IdSource, SessionId, WorkId
from swarmworks.domain.budget import Amount
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateStage
from swarmworks.domain.lease import Capacity, WorkerLease, WorkKind
from swarmworks.domain.rejection import Rejection, RejectionKind
from swarmworks.domain.session import Session, SessionOutcome
from swarmworks.domain.task import Task, TaskEvent
from swarmworks.policy.retry import after_failure, costs_an_attempt
from swarmworks.store.protocol import NewChange, NewWork, Store, Tx
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.options import from_json
from swarmworks.wire.work import GatesWork, SessionResult

GATES_NEED = Capacity(agents=0, cpu_slots=1, memory_bytes=512 << 20)


class Finishing:
    def __init__(self, store: Store, ids: IdSource, clock: Clock, least: Callable[[str], Amount]) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._least = least

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: SessionResult) -> None:
        """FenceLostError when the work is no longer the worker's; nothing is written then."""
        change_id, gates_id = self._ids.new("chg"), self._ids.new("wrk")

        def write(tx: Tx) -> None:
            work = tx.finish_work(lease, work_id, fence, result.model_dump_json())
            session = tx.session(SessionId(work.subject))
            self._ended(tx, session, result)
            if result.outcome in {SessionOutcome.SUBMITTED, SessionOutcome.NOTHING_TO_DO}:
                self._submitted(tx, session, result, ChangeId(change_id), WorkId(gates_id))
            else:
                self._not_submitted(tx, session, result)

        await self._store.transact(write)

    def _ended(self, tx: Tx, session: Session, result: SessionResult) -> None:
        tx.end_session(session.id, result.outcome, result.reason)
        account = tx.account(session.account_id)
        data: dict[str, object] = {
            "outcome": str(result.outcome),
            "reason": result.reason or "",
            "base": result.base,
            "head": result.head,
            "changed": list(result.changed[:100]),
            "problems": list(result.problems[:20]),
            "sandbox": list(result.properties),
            "peak_memory_bytes": result.peak_memory_bytes,
            "prompt_sha256": result.prompt_sha256,
            "tokens": account.spent.tokens,
            "cost_nano_usd": account.spent.nano_usd,
        }
        actor = f"agent:{session.agent_id.rpartition('/')[2]}"
        tx.append(session.swarm_id, NewEvent("session.ended", actor, data, session.task_id, session.id))

    def _submitted(
        self, tx: Tx, session: Session, result: SessionResult, change_id: ChangeId, gates_id: WorkId
    ) -> None:
        """A change that changes nothing claims that nothing is to be done: all its gates must prove it."""
        empty = result.outcome is SessionOutcome.NOTHING_TO_DO
        head = result.base if empty else result.head
        tx.insert_change(NewChange(change_id, session.id, result.base, head, result.handoff or "{}"))
        task = tx.move_task(session.swarm_id, session.task_id, TaskEvent.SUBMIT)
        payload = GatesWork(
            work_id=gates_id,
            fence=0,
            need=GATES_NEED,
            swarm_id=session.swarm_id,
            task=task.planned,
            change_id=change_id,
            stage=GateStage.CANDIDATE if empty else GateStage.CHANGE,
            base=result.base,
            head=head,
            floors=dict(tx.swarm(session.swarm_id).plan.floors),
        )
        tx.enqueue_work(
            NewWork(
                id=gates_id,
                kind=WorkKind.GATES,
                swarm_id=session.swarm_id,
                task_id=session.task_id,
                subject=change_id,
                need=GATES_NEED,
                payload=payload.model_dump_json(),
                priority=task.rank,
            )
        )
        data = {"change": change_id, "head": head, "empty": empty}
        tx.append(session.swarm_id, NewEvent("change.submitted", "platform", data, session.task_id, session.id))

    def _not_submitted(self, tx: Tx, session: Session, result: SessionResult) -> None:
        swarm = tx.swarm(session.swarm_id)
        options = from_json(swarm.options)
        totals = tx.totals(swarm.account_id)
        least = self._least(options.model)
        limit = totals.limit.nano_usd
        empty_purse = limit is not None and totals.spent.nano_usd + least.nano_usd > limit
        task = tx.task(session.swarm_id, session.task_id)
        if not costs_an_attempt(result.outcome, swarm_out_of_budget=empty_purse):
            tx.move_task(session.swarm_id, session.task_id, TaskEvent.REWORK)
            _say(tx, task, "task.returned", {"outcome": str(result.outcome), "reason": result.reason or ""})
            return
        attempts_left = options.config.limits.attempts - task.attempts - 1
        event = after_failure(task.attempts + 1, options.config.limits.attempts)
        rejection = Rejection(
            kind=RejectionKind.SESSION_FAILED,
            summary=f"the session ended {result.outcome}: {result.reason or 'no reason was given'}",
            tree="",
            findings=(),
            log_tail="",
            attempts_left=max(0, attempts_left),
            base=session.base_commit,
        )
        tx.move_task(
            session.swarm_id,
            session.task_id,
            event,
            rejection=rejection_wire.dump(rejection),
            note=rejection.summary if event is TaskEvent.EXHAUST else None,
            count_attempt=True,
        )
        name = "task.blocked" if event is TaskEvent.EXHAUST else "task.rework"
        _say(tx, task, name, {"reason": rejection.summary, "attempts_left": rejection.attempts_left})


def _say(tx: Tx, task: Task, name: str, data: dict[str, object]) -> None:
    tx.append(task.swarm_id, NewEvent(name, "platform", data, task.id))
