"""The work in a session's copy, committed to the session's own ref: every few minutes, and before anything is ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from swarmworks.base.errors import SwarmworksError
from swarmworks.domain.refs import work_ref
from swarmworks.git.protocol import Identity
from swarmworks.wire.session_events import Saved

if TYPE_CHECKING:
    from swarmworks.base.clock import Clock
    from swarmworks.git.protocol import WorkingCopies, WorkingCopy
    from swarmworks.wire.session_events import SessionEvent
    from swarmworks.wire.work import SessionWork
    from swarmworks.worker.transport import Transport

LAST_PUSH_S = 300.0
"""A session that has ended does not wait longer for a hub elsewhere."""

log = logging.getLogger(__name__)


class Saving:
    """Of one session. `sleep` waits for so many seconds."""

    def __init__(
        self,
        copies: WorkingCopies,
        copy: WorkingCopy,
        work: SessionWork,
        clock: Clock,
        transport: Transport,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._copies = copies
        self._copy = copy
        self._work = work
        self._clock = clock
        self._transport = transport
        self._sleep = sleep
        self._told = copy.commit
        self.kept = work.base
        """The last commit that was kept where the next attempt finds it; the task's base while there is none."""

    async def keep(self) -> str:
        """As `snapshot`, where the next attempt finds it, which may be elsewhere."""
        commit = await self.snapshot()
        await self._transport.push(self._work, commit)
        self.kept = commit
        return commit

    async def try_snapshot(self) -> bool:
        """Of what may be changed or gone in a moment, and whether it is saved on this machine now."""
        try:
            await self.snapshot()
        except (SwarmworksError, OSError) as error:
            self._warn(error)
            return False
        return True

    async def keep_at_last(self, *, pushed: bool) -> Exception | None:
        """As `keep`, and what went wrong. Without `pushed`, on this machine alone: where somebody else has the task by now."""
        try:
            commit = await self.snapshot()
            if pushed:
                async with asyncio.timeout(LAST_PUSH_S):
                    await self._transport.push(self._work, commit)
            self.kept = commit
        except (SwarmworksError, OSError) as error:
            self._warn(error)
            return error
        return None

    async def snapshot(self) -> str:
        """The commit that holds what is in the copy now; the one it was made from when nothing was written."""
        work = self._work
        agent = Identity(work.agent.name, work.agent.email)
        message = f"{work.task.title}\n\nSwarm-Task: {work.task.id}\nSwarm-Session: {work.session_id}\n"
        now = self._clock.now()
        ref = work_ref(work.swarm_id, work.task.id, work.fence)
        return await asyncio.to_thread(self._copies.snapshot, self._copy, ref, message, agent, now)

    async def now_and_then(self, every_s: float, told: Callable[[SessionEvent], None]) -> None:
        """Until cancelled. What cannot be saved now is tried again: that is no reason to end who writes it."""
        while True:
            await self._sleep(every_s)
            try:
                await self.keep()
            except (SwarmworksError, OSError) as error:
                self._warn(error)
                continue
            if self.kept != self._told:
                self._told = self.kept
                told(Saved(commit=self.kept))

    def _warn(self, error: Exception) -> None:
        log.warning("the work of session %s could not be saved: %s", self._work.session_id, error)
