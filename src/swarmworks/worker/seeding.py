"""What a session's working copy begins with: the head of the integration branch; for a `fix_bug` task with the parked change
on it, for a session that takes over with the work of the one before, for one that takes a landed change back without that. When that does not apply any more the session starts
without it, and its agent is told so and shown the change; a session that is to resolve a conflict starts with both sides in it,
and one that makes generated files anew with the branch's version of those.
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
    from swarmworks.wire.config_merge import MergeSection
    from swarmworks.wire.work import SessionWork

MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Seed:
    """`tree` is what the working copy begins with, None when the change (`paths`) conflicts in `conflicts` and nobody is to
    resolve that.
    """

    tree: str | None
    paths: tuple[str, ...]
    conflicts: tuple[str, ...] = ()


class MoreInConflictError(Exception):
    """By now there are conflicts that only the agent of the change can resolve."""


def seed_of(hub: Hub, work: SessionWork, rules: MergeSection | None = None) -> Seed | None:
    """None for a session that begins with nothing but its base. With `rules` a session that makes generated files anew begins
    without markers; MoreInConflictError when that is not all. Blocks: merges in the bare repository.
    """
    if work.start is None or work.start_base is None:
        return None
    start = reverting_commit(hub, work.start) if work.task.reverts is not None else work.start
    paths = tuple(change.path for change in hub.changes(work.start_base, start))
    merged = hub.merge(work.base, start)
    if not isinstance(merged, Conflicted):
        return Seed(merged.tree, paths)
    tree = None
    if work.regenerates and rules is not None:
        tree = hub.united(work.base, start, merged.paths, union=rules.union, generated=rules.generated)
        if tree is None:
            raise MoreInConflictError(", ".join(merged.paths[:MOST_NAMED]))
    elif work.resolves:
        tree = hub.merge_marked(work.base, start)
    return Seed(tree, paths, merged.paths)


def regenerating(hub: Hub, work: SessionWork, rules: MergeSection) -> str:
    """The shell commands that make anew what is in conflict, each in a shell of its own, and none after one that failed; one that
    does nothing when nothing is in conflict any more. Blocks.
    """
    assert work.start is not None
    commands = rules.commands(hub.conflicts(work.base, work.start))
    return "\n".join(f"(\n{one}\n)" for one in commands) or ":"


def start_commit(hub: Hub, work: SessionWork, at: datetime, rules: MergeSection | None = None) -> str:
    """The commit the working copy is made from: the base, or one on it that holds the parked change. What the session
    hands in is a difference from the base, so the parked change is in it.
    """
    seed = seed_of(hub, work, rules)
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
