"""Follows a swarm until it ends or the person leaves. One way for `run`, `resume` and `demo`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import click

from swarmworks.base.concurrency import end_all
from swarmworks.base.errors import EXIT_BLOCKED, EXIT_LANDED, EXIT_LIMIT, ConflictError, UnavailableError
from swarmworks.base.ids import SwarmId
from swarmworks.cli.swarms import ENDED, Reached
from swarmworks.cli.view.steering import Steering
from swarmworks.client.control_plane import ControlPlaneClient
from swarmworks.domain.swarm import StopReason, SwarmState
from swarmworks.wire.api import EventRow, ResumeSwarm, StopSwarm, SwarmStatus

EXIT_PERSON = 130
EVENTS_PAGE = 2_000
NEWS_WAIT_S = 20.0
CALM_S = 0.25
"""Between two looks at a busy swarm: news faster than this cannot be read."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Display(Protocol):
    """Shows progress. `events` are those since the last call, in order. `steered_by` is called once, before it is entered."""

    def steered_by(self, steering: Steering) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *_: object) -> None: ...
    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None: ...

    def say(self, text: str) -> None:
        """A line to the person, now."""
        ...

    def lost(self) -> None:
        """The terminal is gone: nothing may be read from it or written to it any more."""
        ...


@dataclass(frozen=True, slots=True)
class _Hands:
    """`Steering` for a swarm that is followed. `asked`: what a signal tells, and a person who leaves."""

    reached: Reached
    swarm_id: SwarmId
    asked: asyncio.Queue[None]

    @property
    def client(self) -> ControlPlaneClient:
        return self.reached.client

    @property
    def owned(self) -> bool:
        return self.reached.owned

    async def pause(self) -> None:
        await self.client.pause(self.swarm_id)

    async def go_on(self) -> None:
        await self.client.resume(self.swarm_id, ResumeSwarm())

    async def stop(self) -> None:
        await self.client.stop(self.swarm_id, StopSwarm())

    def leave(self) -> None:
        self.asked.put_nowait(None)


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
    hands = _Hands(reached, status.id, asyncio.Queue())
    display.steered_by(hands)
    with _signals(hands.asked, display):
        async with display:
            ended = await _until_over(hands, status, display, after)
    if isinstance(ended, str):
        display.say(ended)
        raise click.exceptions.Exit(EXIT_PERSON)
    return ended


async def _until_over(hands: _Hands, status: SwarmStatus, display: Display, after: int) -> SwarmStatus | str:
    """The status at the end, or the last word to a person who left before it."""
    watching = asyncio.create_task(_watch(hands.client, status, display, after))
    leaving = asyncio.create_task(_until_left(hands, display))
    gave_up = hands.reached.live.gave_up
    try:
        await asyncio.wait([watching, leaving, gave_up], return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            return _watched(watching)
        if leaving.done():
            return leaving.result()
        raise UnavailableError(
            gave_up.result(),
            where="control plane",
            mend="read the logs in .swarm/logs, then go on with `swarm resume`: nothing is lost",
        )
    finally:
        await end_all((watching, leaving))


def _watched(watching: asyncio.Task[SwarmStatus]) -> SwarmStatus:
    """What failed under a swarm that has begun is nothing to begin again: it goes on."""
    try:
        return watching.result()
    except UnavailableError as error:
        mend = f"{error.mend}; then go on with `swarm resume`: nothing is lost".removeprefix("; then ")
        raise type(error)(error.what, where=error.where, mend=mend) from error


@contextlib.contextmanager
def _signals(asked: asyncio.Queue[None], display: Display) -> Generator[None]:
    """A hang-up that is ignored, as under nohup, stays ignored."""
    loop = asyncio.get_running_loop()
    numbers = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    def hung_up() -> None:
        display.lost()
        _mute(terminals)
        asked.put_nowait(None)

    for number in numbers:
        if number == signal.SIGHUP:
            loop.add_signal_handler(number, hung_up)
        else:
            loop.add_signal_handler(number, asked.put_nowait, None)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _mute(terminals: Sequence[int]) -> None:
    """Nobody reads a terminal that is gone, and writing to it would fail: what is said from now on goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in terminals:
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


async def _watch(client: ControlPlaneClient, status: SwarmStatus, display: Display, seen: int) -> SwarmStatus:
    while True:
        events = await _events(client, status.id, seen)
        seen = events[-1].seq if events else seen
        display.show(status, events)
        if status.state in ENDED:
            return status
        await asyncio.sleep(CALM_S)
        status = await client.status(status.id, after=status.version, wait_s=NEWS_WAIT_S)


async def _events(client: ControlPlaneClient, swarm_id: SwarmId, after: int) -> list[EventRow]:
    found: list[EventRow] = []
    while True:
        page = await client.events(swarm_id, after=after, limit=EVENTS_PAGE)
        found += page.events
        if len(page.events) < EVENTS_PAGE:
            return found
        after = page.events[-1].seq


async def _until_left(hands: _Hands, display: Display) -> str:
    """Returns when the person leaves before the swarm has ended: what there is to say of it."""
    await hands.asked.get()
    if not hands.owned:
        return f"No longer watching. The swarm goes on: swarm status {hands.swarm_id}"
    display.say("Stopping in order, all work is kept. Ctrl-C again leaves at once.")
    with contextlib.suppress(ConflictError):  # it is stopping already, or has just ended
        await hands.stop()
    await hands.asked.get()
    return f"Leaving now. Nothing that was kept is lost; go on with: swarm resume {hands.swarm_id}"
