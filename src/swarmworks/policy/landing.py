"""The order of the merge queue: what unblocks most lands first, among equals what was submitted first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from swarmworks.base.ids import TaskId
from swarmworks.domain.change import Change


def next_to_build(
    approved: Sequence[Change], ranks: Mapping[TaskId, int], *, overtaken_limit: int = 20
) -> Change | None:
    """`approved` in order of submission. A change that was overtaken by `overtaken_limit` others goes first, so that
    none waits for ever.
    """
    if not approved:
        return None
    if len(approved) > overtaken_limit:
        return approved[0]
    return max(approved, key=lambda change: ranks.get(change.task_id, 0))
