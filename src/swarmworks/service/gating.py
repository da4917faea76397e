"""What becomes of a change whose own gates have run: approved into the merge queue, proved, rejected, or run again."""

from __future__ import annotations

from swarmworks.base.clock import Clock
from swarmworks.base.ids import ChangeId, IdSource, WorkId
from swarmworks.domain.change import Change, ChangeEvent
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateResult, GateStage
from swarmworks.domain.lease import Work, WorkerLease
from swarmworks.domain.review import Review, ReviewVerdict
from swarmworks.domain.task import TaskEvent
from swarmworks.policy.rejections import from_gates, judge
from swarmworks.policy.required import at_stage, required_gates
from swarmworks.policy.retry import after_failure
from swarmworks.store.protocol import GateRun, NewWork, Reader, Store, Tx
from swarmworks.wire import rejection as rejection_wire
from swarmworks.wire.options import SwarmOptions, from_json
from swarmworks.wire.work import WORK, GatesResult, GatesWork

MOST_RERUNS = 3
"""How often gates that could not run are run again before a person is asked."""


class Gating:
    def __init__(self, store: Store, ids: IdSource, clock: Clock) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock

    async def cached(self, keys: tuple[str, ...]) -> dict[str, GateResult]:
        def look(reader: Reader) -> dict[str, GateResult]:
            found = {key: reader.cached_gate(key) for key in keys}
            return {key: result for key, result in found.items() if result is not None}

        return await self._store.read(look)

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: GatesResult) -> None:
        rerun_id = WorkId(self._ids.new("wrk"))

        def write(tx: Tx) -> None:
            work = tx.finish_work(lease, work_id, fence, result.model_dump_json())
            asked = WORK.validate_json(work.payload)
            assert isinstance(asked, GatesWork)
            change = tx.change(ChangeId(work.subject))
            run = GateRun(change.id, asked.stage, result.tree, result.results, self._clock.now())
            tx.record_gates(run, result.cache_keys)
            _append_results(tx, change, asked.stage, result)
            options = from_json(tx.swarm(change.swarm_id).options)
            configured = options.config.required_gates(asked.task.kind)
            required = required_gates(asked.task, configured, none_chosen=options.config.gates.explicitly_none)
            at_this_stage = at_stage(required, options.config.gate_definitions(), asked.stage)
            failed, unknown = judge(result.results, at_this_stage)
            if failed:
                self._reject(tx, change, options, failed, result.tree)
            elif unknown:
                self._could_not_run(tx, change, work, unknown, result, rerun_id)
            elif asked.stage is GateStage.CANDIDATE:
                self._prove(tx, change)
            else:
                self._approve(tx, change)

        await self._store.transact(write)

    def _approve(self, tx: Tx, change: Change) -> None:
        """No review rule applies: a review by rule, on record."""
        review = Review(change.id, ReviewVerdict.APPROVED, "rule:gates", "no review is configured", self._clock.now())
        tx.move_change(change.id, ChangeEvent.APPROVE)
        tx.move_task(change.swarm_id, change.task_id, TaskEvent.APPROVE)
        data = {"change": change.id, "decided_by": review.decided_by, "reason": review.reason}
        tx.append(
            change.swarm_id, NewEvent("change.approved", review.decided_by, data, change.task_id, change.session_id)
        )

    def _prove(self, tx: Tx, change: Change) -> None:
        tx.move_change(change.id, ChangeEvent.PROVE)
        tx.move_task(change.swarm_id, change.task_id, TaskEvent.PROVE)
        data = {"change": change.id, "tree_of": change.head}
        tx.append(change.swarm_id, NewEvent("task.nothing_to_do", "platform", data, change.task_id, change.session_id))

    def _reject(self, tx: Tx, change: Change, options: SwarmOptions, failed: list[GateResult], tree: str) -> None:
        task = tx.task(change.swarm_id, change.task_id)
        used = task.attempts + 1
        event = after_failure(used, options.config.limits.attempts)
        left = max(0, options.config.limits.attempts - used)
        rejection = from_gates(failed, tree=tree, base=change.base, attempts_left=left)
        tx.move_change(change.id, ChangeEvent.REJECT)
        tx.move_task(
            change.swarm_id,
            change.task_id,
            event,
            rejection=rejection_wire.dump(rejection),
            note=f"rejected {used} times; last: {rejection.summary}" if event is TaskEvent.EXHAUST else None,
            count_attempt=True,
        )
        data: dict[str, object] = {"change": change.id, "kind": str(rejection.kind), "summary": rejection.summary}
        data |= {"attempts_left": left}
        tx.append(change.swarm_id, NewEvent("change.rejected", "platform", data, change.task_id, change.session_id))
        if event is TaskEvent.EXHAUST:
            tx.append(
                change.swarm_id,
                NewEvent("task.blocked", "platform", {"reason": rejection.summary}, change.task_id, change.session_id),
            )

    def _could_not_run(
        self, tx: Tx, change: Change, work: Work, unknown: list[str], result: GatesResult, rerun_id: WorkId
    ) -> None:
        """No fault of the change's: run again, and after that ask a person. Costs no attempt."""
        if len(tx.gate_runs(change.id)) < MOST_RERUNS:
            tx.enqueue_work(
                NewWork(rerun_id, work.kind, work.swarm_id, work.task_id, work.subject, work.need, work.payload)
            )
            return
        why = {found.gate: found.summary for found in result.results}
        note = "; ".join(f"gate {name} could not run: {why.get(name, 'it is not configured')}" for name in unknown)
        tx.move_change(change.id, ChangeEvent.REJECT)
        tx.move_task(change.swarm_id, change.task_id, TaskEvent.EXHAUST, note=note)
        data = {"reason": note, "change": change.id}
        tx.append(change.swarm_id, NewEvent("task.blocked", "platform", data, change.task_id, change.session_id))


def _append_results(tx: Tx, change: Change, stage: GateStage, result: GatesResult) -> None:
    rows = [
        {"gate": one.gate, "outcome": str(one.outcome), "summary": one.summary[:300], "cached": one.cached}
        for one in result.results
    ]
    data: dict[str, object] = {"change": change.id, "stage": str(stage), "tree": result.tree, "results": rows}
    tx.append(change.swarm_id, NewEvent("gates.finished", "platform", data, change.task_id, change.session_id))
