"""What becomes of a change whose own gates have run: before the review gates, proved, rejected, or run again."""

from __future__ import annotations

import asyncio

from swarmworks.base.clock import Clock
from swarmworks.base.ids import ChangeId, IdSource, WorkId
from swarmworks.domain.change import Change, ChangeEvent
from swarmworks.domain.event import NewEvent
from swarmworks.domain.gate import GateResult, GateStage
from swarmworks.domain.lease import Work, WorkerLease
from swarmworks.domain.plan import PlannedTask
from swarmworks.domain.rejection import RejectedFinding
from swarmworks.domain.review import ReviewSubject
from swarmworks.domain.task import TaskEvent
from swarmworks.git.protocol import Hub
from swarmworks.policy.rejections import could_not_run, from_gates, judge
from swarmworks.policy.required import at_stage, required_gates
from swarmworks.policy.reviewing import ReviewFacts
from swarmworks.service import change_reviews, parking, resolving
from swarmworks.service.attempts import ask_a_person, gives_up, reject
from swarmworks.service.change_reviews import change_facts
from swarmworks.service.parking import Seen
from swarmworks.service.reviews import gates_of
from swarmworks.store.protocol import GateRun, NewWork, Reader, Store, Tx
from swarmworks.wire.config_merge import MergeSection
from swarmworks.wire.options import from_json
from swarmworks.wire.work import WORK, GatesResult, GatesWork

MOST_RERUNS = 3
"""How often gates that could not run are run again before a person is asked."""


class Gating:
    def __init__(self, store: Store, hub: Hub, ids: IdSource, clock: Clock) -> None:
        self._store = store
        self._hub = hub
        self._ids = ids
        self._clock = clock

    async def cached(self, keys: tuple[str, ...]) -> dict[str, GateResult]:
        def look(reader: Reader) -> dict[str, GateResult]:
            found = {key: reader.cached_gate(key) for key in keys}
            return {key: result for key, result in found.items() if result is not None}

        return await self._store.read(look)

    async def finish(self, lease: WorkerLease, work_id: WorkId, fence: int, result: GatesResult) -> None:
        rerun_id = WorkId(self._ids.new("wrk"))
        facts = await self._review_facts(work_id)
        judged, task, parked, before, anew, rules = await self._store.read(lambda reader: _judged(reader, work_id))
        seen = await asyncio.to_thread(parking.look, self._hub, task, judged, parked, judged.head, rules)
        resolution = None
        if before is not None:
            resolution = await asyncio.to_thread(resolving.look, self._hub, before, judged, rules, anew=anew)

        def write(tx: Tx) -> None:
            tx.finish_work(lease, work_id, fence, result.model_dump_json(), swarm_id=judged.swarm_id)
            work = tx.work(work_id)
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
            if resolution is not None and resolution.wrong:
                reject(tx, change, resolving.rejection_of(resolution, tree=result.tree, base=change.base))
            elif failed or seen.weakened:
                self._reject(tx, change, seen, failed, result.tree)
            elif unknown:
                self._could_not_run(tx, change, work, unknown, result, rerun_id)
            elif asked.stage is GateStage.CANDIDATE:
                self._prove(tx, change, parking.not_run(tx, parked, result.results), result.tree)
            else:
                if resolution is not None:
                    resolving.record(tx, change, resolution)
                change_reviews.proceed(tx, self._ids, change, facts)

        await self._store.transact(write)

    async def _review_facts(self, work_id: WorkId) -> ReviewFacts:
        """What review gates look at; nothing is read from the repository where no gate would look."""

        def look(reader: Reader) -> tuple[Change, bool, str]:
            work = reader.work(work_id)
            change = reader.change(ChangeId(work.subject))
            asked = any(gate.on is ReviewSubject.CHANGE for gate in gates_of(reader, change.swarm_id))
            return change, asked, reader.task(change.swarm_id, change.task_id).planned.kind

        change, asked, kind = await self._store.read(look)
        return await asyncio.to_thread(change_facts, self._hub, change, kind) if asked else ReviewFacts(kind=kind)

    def _prove(self, tx: Tx, change: Change, lost: tuple[RejectedFinding, ...], tree: str) -> None:
        """`lost`: parked tests that did not run and pass."""
        if lost:
            reject(tx, change, parking.rejection_of_weakened(lost, tree=tree, base=change.base))
            return
        tx.move_change(change.id, ChangeEvent.PROVE)
        tx.move_task(change.swarm_id, change.task_id, TaskEvent.PROVE)
        data = {"change": change.id, "tree_of": change.head}
        tx.append(change.swarm_id, NewEvent("task.nothing_to_do", "platform", data, change.task_id, change.session_id))
        parking.supersede(tx, change, change.head)  # the branch holds the parked tests already, and they passed

    def _reject(self, tx: Tx, change: Change, seen: Seen, failed: list[GateResult], tree: str) -> None:
        if seen.weakened:
            reject(tx, change, parking.rejection_of_weakened(seen.weakened, tree=tree, base=change.base))
        elif parking.parks(tx, change, seen, failed):
            parking.park(tx, change, failed, tree=tree, base=change.base)
        else:
            reject(tx, change, from_gates(failed, tree=tree, base=change.base), final=gives_up(tx, change))

    def _could_not_run(
        self, tx: Tx, change: Change, work: Work, unknown: list[str], result: GatesResult, rerun_id: WorkId
    ) -> None:
        """No fault of the change's: run again, and after that ask a person. Costs no attempt."""
        if len(tx.gate_runs(change.id)) < MOST_RERUNS:
            tx.enqueue_work(
                NewWork(rerun_id, work.kind, work.swarm_id, work.task_id, work.subject, work.need, work.payload)
            )
            return
        ask_a_person(tx, change, could_not_run(unknown, result.results, tree=result.tree, base=change.base))


def _judged(
    reader: Reader, work_id: WorkId
) -> tuple[Change, PlannedTask, Change | None, Change | None, bool, MergeSection]:
    """The change, its task, the parked change it lands with its own, the one whose conflict it resolves, whether by making files
    anew, and the rules for conflicts.
    """
    change = reader.change(ChangeId(reader.work(work_id).subject))
    task = reader.task(change.swarm_id, change.task_id)
    parked = parking.parked_change(reader, change.swarm_id, task.planned)
    rules = from_json(reader.swarm(change.swarm_id).options).config.merge
    anew = resolving.made_anew(reader, reader.session(change.session_id), task)
    return change, task.planned, parked, resolving.conflicting(reader, task), anew is not None, rules


def _append_results(tx: Tx, change: Change, stage: GateStage, result: GatesResult) -> None:
    rows = [
        {"gate": one.gate, "outcome": str(one.outcome), "summary": one.summary[:300], "cached": one.cached}
        for one in result.results
    ]
    data: dict[str, object] = {"change": change.id, "stage": str(stage), "tree": result.tree, "results": rows}
    tx.append(change.swarm_id, NewEvent("gates.finished", "platform", data, change.task_id, change.session_id))
