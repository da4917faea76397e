"""How many tasks of a swarm are in each state, kept as they move: counting them would take longer with every task that ends."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from swarmworks.domain.task import TASK_TABLE
from swarmworks.store.connection import load
from swarmworks.store.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swarmworks.base.ids import SwarmId
    from swarmworks.domain.task import TaskState

_SQL = load("swarms")


class CountWrites(Scope):
    """Whoever inserts or moves tasks says so here, in the same transaction."""

    def begin_counts(self, swarm_id: SwarmId) -> None:
        self.db.change_many(
            _SQL["insert_task_count"], [{"swarm_id": swarm_id, "task_state": state} for state in TASK_TABLE.states]
        )

    def count_tasks(self, swarm_id: SwarmId, grown: Mapping[TaskState, int]) -> None:
        changes = [(state, more) for state, more in grown.items() if more]
        for (state, more), (other, other_more) in zip_longest(changes[::2], changes[1::2], fillvalue=("", 0)):
            moved: dict[str, object] = {"state": state, "grown": more, "other": other, "other_grown": other_more}
            self.db.post(_SQL["count_tasks"], [{"swarm_id": swarm_id, **moved}])
