"""Following one session's events as they come, with a person who may speak meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import click

from swarmworks.base.concurrency import end_all
from swarmworks.base.errors import RejectedError
from swarmworks.base.ids import SessionId, SwarmId
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.wire.api import EventRow
from swarmworks.wire.conversing import MOST_SAID_CHARS, Say

PAGE = 1_000
WAIT_S = 20.0
MOST_TYPED = 65_536
ENDED = "session.ended"


class Follower:
    """`show` is called with each event, in order. `live`: a control plane runs, so that more may come."""

    def __init__(
        self,
        client: ControlPlaneClient,
        swarm_id: SwarmId,
        session_id: SessionId,
        show: Callable[[EventRow], None],
        *,
        live: bool,
    ) -> None:
        self._client = client
        self._swarm_id = swarm_id
        self._session_id = session_id
        self._show = show
        self._live = live

    async def run(self, *, tail: int | None, speaking: bool) -> str | None:
        """Until the session ends, or the person leaves; the outcome, None when it has not ended."""
        if not speaking:
            return await self._follow(tail)
        async with _typed() as (lines, left):
            following = asyncio.create_task(self._follow(tail))
            tasks = [following, asyncio.create_task(self._speak(lines)), asyncio.create_task(left.wait())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await end_all(tasks)
            return None if following.cancelled() else following.result()

    async def _follow(self, tail: int | None) -> str | None:
        after = 0
        shown = tail is None
        waiting: list[EventRow] = []
        while True:
            page = await self._client.session_events(
                self._swarm_id,
                self._session_id,
                after=after,
                limit=PAGE,
                wait_s=WAIT_S if self._live and shown else 0.0,
            )
            events, outcome = _to_the_end(page.events)
            if shown:
                self._show_all(events)
            else:
                waiting = [*waiting, *events][-tail:] if tail else []
                if len(page.events) < PAGE or outcome is not None:
                    self._show_all(waiting)
                    shown = True
            if outcome is not None:
                return outcome
            if page.events:
                after = page.events[-1].seq
            elif not self._live:
                return None

    def _show_all(self, events: Sequence[EventRow]) -> None:
        for event in events:
            self._show(event)

    async def _speak(self, lines: asyncio.Queue[str]) -> None:
        """What is typed is sent, until the input ends. A refusal is shown, and one may try again."""
        while text := await lines.get():
            words = text.strip()[:MOST_SAID_CHARS]
            if not words:
                continue
            try:
                await self._client.say(self._swarm_id, Say(to=self._session_id, text=words))
            except RejectedError as error:
                click.echo(f"not said: {error}", err=True)


def _to_the_end(events: Sequence[EventRow]) -> tuple[Sequence[EventRow], str | None]:
    """The session's own events, and its outcome once it has ended: what becomes of its change is another story."""
    for number, event in enumerate(events):
        if event.kind == ENDED:
            return events[: number + 1], str(event.data.get("outcome"))
    return events, None


@asynccontextmanager
async def _typed() -> AsyncGenerator[tuple[asyncio.Queue[str], asyncio.Event]]:
    """The lines typed at the terminal, an empty text at their end, and whether the person wants to leave."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    left = asyncio.Event()
    descriptor = sys.stdin.fileno()

    def read() -> None:
        data = os.read(descriptor, MOST_TYPED)  # a terminal gives a line at a time
        lines.put_nowait(data.decode("utf-8", "replace"))
        if not data:
            loop.remove_reader(descriptor)

    loop.add_reader(descriptor, read)
    loop.add_signal_handler(signal.SIGINT, left.set)
    try:
        yield lines, left
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        with contextlib.suppress(ValueError, OSError):
            loop.remove_reader(descriptor)
