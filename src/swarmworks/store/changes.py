"""Changes on their way to the integration branch: their gate runs, and the landings that were decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.domain.change import CHANGE_TABLE, ChangeState, IntentState
from swarmworks.domain.gate import GateOutcome
from swarmworks.store import rows
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope, found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swarmworks.base.ids import ChangeId, SwarmId, TaskId
    from swarmworks.domain.change import Change, ChangeEvent
    from swarmworks.domain.gate import GateResult
    from swarmworks.store.protocol import GateRun, Intent, NewChange

_SQL = load("changes")
_CACHED = frozenset({GateOutcome.PASSED, GateOutcome.FAILED})


class ChangeReads(Scope):
    def change(self, change_id: ChangeId) -> Change:
        return rows.change(found(self.db.row(_SQL["change"], id=change_id), "change", change_id))

    def changes(
        self, swarm_id: SwarmId, *, states: Sequence[ChangeState] = (), task_id: TaskId | None = None
    ) -> list[Change]:
        wanted = tuple(states) or tuple(ChangeState)
        if task_id is None:
            return [rows.change(row) for row in self.db.rows(_SQL["changes"], swarm_id=swarm_id, states=wanted)]
        of_task = self.db.rows(_SQL["changes_of_task"], swarm_id=swarm_id, task_id=task_id, states=wanted)
        return [rows.change(row) for row in of_task]

    def open_intents(self) -> list[Intent]:
        return [rows.intent(row) for row in self.db.rows(_SQL["open_intents"])]

    def gate_runs(self, change_id: ChangeId) -> list[GateRun]:
        return [rows.gate_run(row) for row in self.db.rows(_SQL["gate_runs"], change_id=change_id)]

    def cached_gate(self, key: str) -> GateResult | None:
        row = self.db.row(_SQL["cached_gate"], key=key)
        return None if row is None else rows.cached(row["result"])


class ChangeWrites(ChangeReads):
    def insert_change(self, new: NewChange) -> Change:
        session = found(self.db.row(_SQL["session"], id=new.session_id), "session", new.session_id)
        self.db.change(
            _SQL["insert_change"],
            id=new.id,
            swarm_id=session["swarm_id"],
            task_id=session["task_id"],
            session_id=new.session_id,
            agent_id=session["agent_id"],
            state=CHANGE_TABLE.start,
            base=new.base,
            head=new.head,
            handoff=new.handoff,
            submitted_at=self.now(),
        )
        self.touched.add(session["swarm_id"])
        return self.change(new.id)

    def move_change(
        self, change_id: ChangeId, event: ChangeEvent, *, candidate: str | None = None, landed: str | None = None
    ) -> Change:
        present = self.change(change_id)
        touched = self.db.change(
            _SQL["move_change"],
            id=change_id,
            state=CHANGE_TABLE.next(present.state, event),
            expected=present.state,
            candidate=candidate,
            landed=landed,
        )
        if not touched:
            raise ConflictError("the change moved meanwhile", where=change_id)
        self.touched.add(present.swarm_id)
        return self.change(change_id)

    def record_gates(self, run: GateRun, cache_keys: Mapping[str, str]) -> None:
        change = self.change(run.change_id)
        self.touched.add(change.swarm_id)
        self.db.change(
            _SQL["insert_gate_run"],
            change_id=run.change_id,
            stage=run.stage,
            tree=run.tree,
            results=rows.gates_text(run.results),
            at=run.at.isoformat(),
        )
        for result in run.results:
            key = cache_keys.get(result.gate)
            if key is not None and result.outcome in _CACHED and not result.cached:
                self.db.change(_SQL["cache_gate"], key=key, result=rows.gate_text(result), at=self.now())

    def open_intent(self, change_id: ChangeId, ref: str, old: str, new: str) -> Intent:
        change = self.change(change_id)
        if change.state is not ChangeState.BUILDING:
            raise ConflictError(f"a change that is {change.state} cannot be landed", where=change_id)
        row = self.db.row(
            _SQL["insert_intent"],
            swarm_id=change.swarm_id,
            change_id=change_id,
            ref=ref,
            old=old,
            new=new,
            state=IntentState.OPEN,
        )
        self.touched.add(change.swarm_id)
        return self._intent(found(row, "intent", change_id)["id"])

    def close_intent(self, intent_id: int, state: IntentState) -> None:
        present = self._intent(intent_id)
        if state is IntentState.OPEN:
            raise ConflictError("an intent closes as done or void", where=f"intent {intent_id}")
        if not self.db.change(_SQL["close_intent"], id=intent_id, state=state, expected=IntentState.OPEN):
            raise ConflictError(f"the intent is {present.state} already", where=f"intent {intent_id}")
        self.touched.add(present.swarm_id)

    def _intent(self, intent_id: int) -> Intent:
        return rows.intent(found(self.db.row(_SQL["intent"], id=intent_id), "intent", str(intent_id)))
