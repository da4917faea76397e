"""A session's events on their way to the control plane: batched, bounded, never in the agent's way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress

from swarmworks.base.errors import RejectedError, UnavailableError
from swarmworks.base.ids import SessionId, WorkerId
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.api import SessionEvents
from swarmworks.wire.session_events import SessionEvent

log = logging.getLogger(__name__)

MOST_WAITING = 5_000
BATCH = 100
PAUSE_S = 0.25
LAST_S = 10.0
"""Once a session has ended its worker waits no longer for a batch to be heard: the control plane may be gone for good."""

LAST_OF_ALL_S = 60.0
"""Nor begins another batch after that: the session's result waits for it."""


class EventReporter:
    """Sends what was added, in order. While the control plane does not answer, events wait, up to MOST_WAITING; what is
    dropped beyond is counted and said.
    """

    def __init__(self, client: ControlPlaneClient, session_id: SessionId, worker_id: WorkerId, fence: int) -> None:
        self._client = client
        self._session_id = session_id
        self._worker_id = worker_id
        self._fence = fence
        self._waiting: deque[SessionEvent] = deque()
        self._dropped = 0
        self._added = asyncio.Event()
        self._closing = False

    def add(self, event: SessionEvent) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(event)
        self._added.set()

    def close(self) -> None:
        """No more events: `run` sends what waits, and ends."""
        self._closing = True
        self._added.set()

    async def run(self) -> None:
        """Until closed. Never raises for want of a control plane: events are not worth a session."""
        while not self._closing:
            await self._added.wait()
            self._added.clear()
            await self._flush()
            if not self._closing:
                await asyncio.sleep(PAUSE_S)
        with suppress(TimeoutError):
            end = asyncio.get_running_loop().time() + LAST_OF_ALL_S
            while self._waiting and asyncio.get_running_loop().time() < end:
                async with asyncio.timeout(LAST_S):
                    while True:
                        if await self._send():
                            break
                        await asyncio.sleep(PAUSE_S)
            if not self._waiting:
                await self._flush()
                return
        log.warning("session %s: its last %d events could not be recorded", self._session_id, len(self._waiting))

    async def _flush(self) -> None:
        """Sends what waits, as far as it is heard."""
        while self._waiting:
            if not await self._send():
                return
        if self._dropped:
            log.warning("session %s: %d events dropped", self._session_id, self._dropped)
            self._dropped = 0

    async def _send(self) -> bool:
        """Whether the next batch was heard: one that is refused waits no longer."""
        batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
        rows = tuple(event.model_dump(mode="json") for event in batch)
        body = SessionEvents(worker_id=self._worker_id, worker_fence=self._fence, events=rows)
        try:
            await self._client.record(self._session_id, body)
        except UnavailableError:
            return False
        except RejectedError as error:
            log.warning("%d events of session %s refused: %s", len(batch), self._session_id, error)
        for _ in batch:
            self._waiting.popleft()
        return True
