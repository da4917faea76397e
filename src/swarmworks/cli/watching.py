"""Follows a swarm until it ends or the person leaves. One way for `run`, `resume` and `demo`."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Generator, Sequence
from typing import Protocol, Self

import click

from swarmworks.base.errors import EXIT_BLOCKED, EXIT_LANDED, EXIT_LIMIT, ConflictError, UnavailableError
from swarmworks.base.ids import SwarmId
from swarmworks.cli.swarms import ENDED, Reached
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.swarm import StopReason, SwarmState
from swarmworks.wire.api import EventRow, StopSwarm, SwarmStatus

EXIT_PERSON = 130
EVENTS_PAGE = 2_000
NEWS_WAIT_S = 20.0
TICK_S = 1.0
CALM_S = 0.25
"""Between two looks at a busy swarm: news faster than this cannot be read."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Display(Protocol):
    """Shows progress. `events` are those since the last call, in order."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None: ...

    def tick(self) -> None:
        """A second went by without news."""
        ...

    def say(self, text: str) -> None:
        """A line to the person, now."""
        ...


def exit_code(status: SwarmStatus) -> int:
    if status.state == SwarmState.LANDED:
        return EXIT_LANDED
    if status.state == SwarmState.BLOCKED:
        return EXIT_BLOCKED
    return EXIT_PERSON if status.reason in {StopReason.PERSON, None} else EXIT_LIMIT


async def follow(reached: Reached, status: SwarmStatus, display: Display, *, after: int = 0) -> SwarmStatus:
    """Shows the swarm until it ends, and returns how it stands then. `after`: the last event that is known already.

    The first Ctrl-C stops the swarm in order where the control plane is ours, and only stops watching where it is not.
    Raises UnavailableError when the control plane gives up, and Exit when the person leaves before the end.
    """
    asked: asyncio.Queue[None] = asyncio.Queue()
    with display, _signals(asked):
        watching = asyncio.create_task(_watch(reached.client, status, display, after))
        leaving = asyncio.create_task(_until_left(reached, status.id, display, asked))
        try:
            await asyncio.wait([watching, leaving, reached.live.gave_up], return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                return watching.result()
            if leaving.done():
                leaving.result()
                raise click.exceptions.Exit(EXIT_PERSON)
            raise UnavailableError(
                reached.live.gave_up.result(),
                where="control plane",
                mend="read the logs in .swarm/logs, then go on with `swarm resume`: nothing is lost",
            )
        finally:
            for task in (watching, leaving):
                task.cancel()
            await asyncio.gather(watching, leaving, return_exceptions=True)


@contextlib.contextmanager
def _signals(asked: asyncio.Queue[None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, asked.put_nowait, None)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _watch(client: ControlPlaneClient, status: SwarmStatus, display: Display, seen: int) -> SwarmStatus:
    while True:
        events = await _events(client, status.id, seen)
        seen = events[-1].seq if events else seen
        display.show(status, events)
        if status.state in ENDED:
            return status
        status = await _news(client, status, display)


async def _news(client: ControlPlaneClient, status: SwarmStatus, display: Display) -> SwarmStatus:
    """The status when it has changed, or after a while all the same; the display ticks meanwhile."""
    await asyncio.sleep(CALM_S)
    asking = asyncio.create_task(client.status(status.id, after=status.version, wait_s=NEWS_WAIT_S))
    try:
        while True:
            await asyncio.wait([asking], timeout=TICK_S)
            if asking.done():
                return asking.result()
            display.tick()
    finally:
        asking.cancel()


async def _events(client: ControlPlaneClient, swarm_id: SwarmId, after: int) -> list[EventRow]:
    found: list[EventRow] = []
    while True:
        page = await client.events(swarm_id, after=after, limit=EVENTS_PAGE)
        found += page.events
        if len(page.events) < EVENTS_PAGE:
            return found
        after = page.events[-1].seq


async def _until_left(reached: Reached, swarm_id: SwarmId, display: Display, asked: asyncio.Queue[None]) -> None:
    """Returns when the person leaves before the swarm has ended."""
    await asked.get()
    if not reached.owned:
        display.say(f"No longer watching. The swarm goes on: swarm status {swarm_id}")
        return
    display.say("Stopping in order: sessions are ended, their work is kept. Ctrl-C again leaves at once.")
    with contextlib.suppress(ConflictError):  # it is stopping already, or has just ended
        await reached.client.stop(swarm_id, StopSwarm())
    await asked.get()
    display.say(f"Leaving now. Nothing that was kept is lost; go on with: swarm resume {swarm_id}")
