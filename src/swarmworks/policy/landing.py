"""The order of the merge queue: what unblocks most lands first, among equals what was submitted first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarmworks.base.ids import TaskId
from swarmworks.domain.change import Change


def in_order(waiting: Sequence[Change], ranks: Mapping[TaskId, int], *, overtaken_limit: int = 20) -> list[Change]:
    """`waiting` in order of submission. Where more than `overtaken_limit` wait the first goes before all others, so that none
    waits for ever.
    """
    ordered = sorted(waiting, key=lambda change: -ranks.get(change.task_id, 0))
    if len(waiting) > overtaken_limit:
        ordered.remove(waiting[0])
        ordered.insert(0, waiting[0])
    return ordered
