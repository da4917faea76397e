"""What a session's working copy begins with: the head of the integration branch; for a `fix_bug` task with the parked change
on it, for a session that takes over with the work of the one before, for one that takes a landed change back without that. When that does not apply any more the session starts
without it, and its agent is told so and shown the change; a session that is to resolve a conflict starts with both sides in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swarmworks.git.protocol import Conflicted
from swarmworks.git.reverting import reverting_commit
from swarmworks.worker.context import COMMITTER

if TYPE_CHECKING:
    from datetime import datetime

    from swarmworks.git.protocol import Hub
    from swarmworks.wire.work import SessionWork


@dataclass(frozen=True, slots=True)
class Seed:
    """`tree` is what the working copy begins with, None when the change (`paths`) conflicts in `conflicts` and nobody is to
    resolve that.
    """

    tree: str | None
    paths: tuple[str, ...]
    conflicts: tuple[str, ...] = ()


def seed_of(hub: Hub, work: SessionWork) -> Seed | None:
    """None for a session that begins with nothing but its base. Blocks: merges in the bare repository."""
    if work.start is None or work.start_base is None:
        return None
    start = reverting_commit(hub, work.start) if work.task.reverts is not None else work.start
    paths = tuple(change.path for change in hub.changes(work.start_base, start))
    merged = hub.merge(work.base, start)
    if isinstance(merged, Conflicted):
        marked = hub.merge_marked(work.base, start) if work.resolves else None
        return Seed(marked, paths, merged.paths)
    return Seed(merged.tree, paths)


def start_commit(hub: Hub, work: SessionWork, at: datetime) -> str:
    """The commit the working copy is made from: the base, or one on it that holds the parked change. What the session
    hands in is a difference from the base, so the parked change is in it.
    """
    seed = seed_of(hub, work)
    if seed is None or seed.tree is None or seed.tree == hub.tree_of(work.base):
        return work.base
    message = f"The parked change of {work.task.supersedes}\n\nSwarm-Parked: {work.start}\n"
    if work.task.reverts is not None:
        message = f"Take back {work.task.reverts}\n\nSwarm-Start: {work.start}\n"
    elif work.resolves:
        message = f"Both sides of a conflict\n\nSwarm-Start: {work.start}\n"
    elif work.summary is not None:
        message = f"The work of the session before\n\nSwarm-Start: {work.start}\n"
    return hub.commit_tree(seed.tree, [work.base], message, COMMITTER, COMMITTER, at)
