"""Tests that fail for changes of several tasks, and who looks after them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.ids import ChangeId, TaskId
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from swarmworks.base.ids import SwarmId

_SQL = load("health")


class HealthReads(Scope):
    def tasks_failing(self, swarm_id: SwarmId, test: str) -> list[TaskId]:
        return [TaskId(row["task_id"]) for row in self.db.rows(_SQL["failing"], swarm_id=swarm_id, test=test)]

    def tests_failed(self, swarm_id: SwarmId, changes: Collection[ChangeId]) -> dict[ChangeId, tuple[str, ...]]:
        found: dict[ChangeId, tuple[str, ...]] = {}
        if changes:
            for row in self.db.rows(_SQL["failures"], swarm_id=swarm_id, ids=tuple(changes)):
                name = ChangeId(row["change_id"])
                found[name] = (*found.get(name, ()), row["test"])
        return found

    def health_tasks(self, swarm_id: SwarmId) -> dict[str, TaskId]:
        return {row["test"]: TaskId(row["task_id"]) for row in self.db.rows(_SQL["health"], swarm_id=swarm_id)}


class HealthWrites(HealthReads):
    def record_failures(self, swarm_id: SwarmId, task_id: TaskId, change_id: ChangeId, tests: Sequence[str]) -> None:
        for test in tests:
            row = {"change_id": change_id, "test": test, "swarm_id": swarm_id, "task_id": task_id}
            self.db.change(_SQL["insert_failure"], **row)

    def insert_health(self, swarm_id: SwarmId, tests: Sequence[str], task_id: TaskId) -> None:
        for test in tests:
            self.db.change(_SQL["insert_health"], swarm_id=swarm_id, test=test, task_id=task_id)
        self.touched.add(swarm_id)
