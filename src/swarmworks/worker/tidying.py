"""Working copies of sessions that ended: kept until their task has landed, or came to its end otherwise, and no longer.

Their work is on refs of their own; what else lies in them (what .gitignore names, an agent's own commits) is nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from swarmworks.base.chores import Chore
from swarmworks.base.errors import SwarmworksError
from swarmworks.domain.refs import WORK
from swarmworks.wire.api import TaskName

if TYPE_CHECKING:
    from swarmworks.git.protocol import WorkingCopy
    from swarmworks.worker.context import WorkerContext

log = logging.getLogger(__name__)

EVERY_S = 30.0
MOST_ASKED = 1_000


class Tidying:
    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def chore(self) -> Chore:
        return Chore("give up working copies", self._look, every_s=EVERY_S)

    async def _look(self) -> bool:
        await self.once()
        return False

    async def try_once(self) -> None:
        try:
            await self.once()
        except (SwarmworksError, OSError) as error:
            log.warning("working copies of ended sessions stay for now: %s", error)

    async def once(self) -> None:
        """Gives up the copies whose tasks are over, and the oldest of too many; then, with the room there is now, saves what could not
        be saved when its session ended.
        """
        copies = self._context.copies
        retired = await asyncio.to_thread(copies.retired)
        named = {copy.name: task_of(copy) for copy in retired}
        asked = {task for task in named.values() if task is not None}
        over = await self._context.client.tasks_over(sorted(asked)[:MOST_ASKED]) if asked else frozenset[TaskName]()
        done = [copy for copy in retired if named[copy.name] in over]
        left = [copy for copy in retired if copy not in done]
        too_many = left[: max(0, len(left) - self._context.most_copies)]
        for copy in [*done, *too_many]:
            await asyncio.to_thread(copies.destroy, copy)
        if too_many:
            log.info("%d working copies were given up before their tasks landed: copies.kept", len(too_many))
        for saved in list(self._context.unsaved):
            if await saved():
                self._context.unsaved.remove(saved)


def task_of(copy: WorkingCopy) -> TaskName | None:
    """By the ref its work is on; None where that is of no task."""
    parts = copy.ref.removeprefix(WORK).split("/")
    return TaskName(parts[0], parts[1]) if copy.ref.startswith(WORK) and len(parts) == 3 else None
