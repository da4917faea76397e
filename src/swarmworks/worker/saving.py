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
        self._saved = copy.commit

    async def keep(self) -> str:
        """The commit that holds what is in the copy now; the one it was made from when nothing was written."""
        work = self._work
        agent = Identity(work.agent.name, work.agent.email)
        message = f"{work.task.title}\n\nSwarm-Task: {work.task.id}\nSwarm-Session: {work.session_id}\n"
        now = self._clock.now()
        ref = work_ref(work.swarm_id, work.task.id, work.fence)
        commit = await asyncio.to_thread(self._copies.snapshot, self._copy, ref, message, agent, now)
        await self._transport.push(work, commit)
        return commit

    async def now_and_then(self, every_s: float, told: Callable[[SessionEvent], None]) -> None:
        """Until cancelled. What cannot be saved now is tried again: that is no reason to end who writes it."""
        while True:
            await self._sleep(every_s)
            try:
                commit = await self.keep()
            except (SwarmworksError, OSError) as error:
                log.warning("the work of session %s could not be saved: %s", self._work.session_id, error)
                continue
            if commit != self._saved:
                self._saved = commit
                told(Saved(commit=commit))
