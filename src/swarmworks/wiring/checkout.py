"""Where a swarm starts from: the user's checkout, only ever read."""

from __future__ import annotations

from pathlib import Path

from swarmworks.base.errors import ConflictError
from swarmworks.git.user_checkout import describe_checkout

SHOWN = 5


def base_commit(root: Path, *, allow_dirty: bool) -> str:
    """HEAD. ConflictError when there is uncommitted work that the swarm would not see, unless that is allowed."""
    checkout = describe_checkout(root)
    if checkout.dirty and not allow_dirty:
        shown = ", ".join(checkout.dirty_paths[:SHOWN])
        more = ", ..." if len(checkout.dirty_paths) > SHOWN else ""
        raise ConflictError(
            f"uncommitted changes in {shown}{more}: agents start from the last commit and would not see them",
            where=str(checkout.root),
            mend="commit or stash them, or pass --allow-dirty to start from the last commit all the same",
        )
    return checkout.head
