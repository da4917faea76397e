"""A landed commit taken back, as a change that can be merged: a commit on top of it with the tree of the one before it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from swarmworks.base.errors import GitError
from swarmworks.git.protocol import Identity

if TYPE_CHECKING:
    from swarmworks.git.protocol import Hub

_PLATFORM = Identity("Swarmworks", "swarm@swarmworks.invalid")
_ALWAYS = datetime(2020, 1, 1, tzinfo=UTC)


def reverting_commit(hub: Hub, commit: str) -> str:
    """The same id whenever and wherever it is asked for. Merged onto a branch that has `commit`, it takes back what that commit
    changed and nothing that came later.
    """
    rows = hub.log(None, commit, limit=2)
    if len(rows) < 2:
        raise GitError("there is nothing before the first commit", where=commit)
    return hub.commit_tree(rows[1]["tree"], [commit], f"Take back {commit}\n", _PLATFORM, _PLATFORM, _ALWAYS)
