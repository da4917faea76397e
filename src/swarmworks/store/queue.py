"""The merge queue's runs, and what it knows of the branch."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import ConflictError
from swarmworks.policy.queueing import Run, Verdict
from swarmworks.store.connection import load
from swarmworks.store.protocol import QueueBranch
from swarmworks.store.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Collection

    from swarmworks.base.ids import SwarmId, WorkId
    from swarmworks.store.connection import Row

_SQL = load("queue")


class QueueReads(Scope):
    def open_runs(self, swarm_id: SwarmId) -> list[Run]:
        return [_run(row) for row in self.db.rows(_SQL["open_runs"], swarm_id=swarm_id)]

    def open_run(self, work_id: WorkId) -> Run | None:
        row = self.db.row(_SQL["open_run"], id=work_id)
        return None if row is None else _run(row)

    def run_started_at(self, work_id: WorkId) -> datetime | None:
        row = self.db.row(_SQL["open_run"], id=work_id)
        return None if row is None else datetime.fromisoformat(row["started_at"])

    def run_seconds(self, swarm_id: SwarmId, most: int) -> list[float]:
        found = self.db.rows(_SQL["times"], swarm_id=swarm_id, most=most)
        ends = [(datetime.fromisoformat(row["started_at"]), datetime.fromisoformat(row["ended_at"])) for row in found]
        return [(ended - started).total_seconds() for started, ended in ends]

    def queue_branch(self, swarm_id: SwarmId) -> QueueBranch | None:
        row = self.db.row(_SQL["branch"], swarm_id=swarm_id)
        return None if row is None else QueueBranch(row["head"], row["pushed"], row["frozen"])


class QueueWrites(QueueReads):
    def insert_run(self, swarm_id: SwarmId, run: Run) -> None:
        self.db.change(
            _SQL["insert_run"],
            id=run.id,
            swarm_id=swarm_id,
            base=run.base,
            changes=json.dumps(run.changes),
            commits=json.dumps(run.commits),
            below=run.below,
            lane=run.lane,
            sure=False,
            started_at=self.now(),
            closed=False,
        )
        self.touched.add(swarm_id)

    def end_run(self, work_id: WorkId, verdict: Verdict, *, sure: bool) -> None:
        if not self.db.change(_SQL["end_run"], id=work_id, verdict=verdict, sure=sure, ended_at=self.now()):
            raise ConflictError("the run has ended already", where=work_id)

    def close_runs(self, work_ids: Collection[str]) -> None:
        if work_ids:
            self.db.change(_SQL["close_runs"], ids=tuple(work_ids), closed=True)

    def set_queue_branch(self, swarm_id: SwarmId, branch: QueueBranch) -> None:
        self.db.change(
            _SQL["set_branch"], swarm_id=swarm_id, head=branch.head, pushed=branch.pushed, frozen=branch.frozen
        )
        self.touched.add(swarm_id)


def _run(row: Row) -> Run:
    return Run(
        id=row["id"],
        base=row["base"],
        changes=tuple(json.loads(row["changes"])),
        commits=tuple(json.loads(row["commits"])),
        below=row["below"],
        lane=bool(row["lane"]),
        verdict=None if row["verdict"] is None else Verdict(row["verdict"]),
        sure=bool(row["sure"]),
    )
