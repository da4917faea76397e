"""Progress in a terminal: the dashboard as a `Display`. Should the dashboard fail, plain lines go on in its place: the
swarm does not depend on how it is looked at.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Self

from swarmworks.cli.view.dashboard_app import DashboardApp
from swarmworks.cli.view.plain import PlainProgress
from swarmworks.cli.view.steering import Steering
from swarmworks.cli.view.terminal import PatientDriver
from swarmworks.wire.api import EventRow, SwarmStatus

log = logging.getLogger(__name__)


class LiveProgress:
    """`setting_up` says whether the project's environment is being built now."""

    def __init__(self, setting_up: Callable[[], bool]) -> None:
        self._setting_up = setting_up
        self._plain = PlainProgress()
        self._app: DashboardApp | None = None
        self._running: asyncio.Task[None] | None = None

    def steered_by(self, steering: Steering) -> None:
        self._app = DashboardApp(steering, self._setting_up)
        self._app.driver_class = PatientDriver

    async def __aenter__(self) -> Self:
        assert self._app is not None
        self._running = asyncio.create_task(self._app.run_async(mouse=False))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._app is not None and self._running is not None:
            self._app.exit()
            await asyncio.wait([self._running])
            if not self._running.cancelled() and (error := self._running.exception()) is not None:
                log.error("the dashboard failed", exc_info=error)

    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        if self._alive():
            assert self._app is not None
            self._app.news(status, events)
        else:
            self._plain.show(status, events)

    def say(self, text: str) -> None:
        if self._alive():
            assert self._app is not None
            self._app.say(text)
        else:
            self._plain.say(text)

    def lost(self) -> None:
        """The terminal is gone: nothing is read from it or written to it any more."""
        if self._app is not None:
            self._app.exit()

    def _alive(self) -> bool:
        return self._running is not None and not self._running.done()
