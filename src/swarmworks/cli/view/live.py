"""Progress in a terminal: one region that is redrawn in place, and gone when the swarm has ended."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live

from swarmworks.cli.view.dashboard import MOST_EVENTS, Facts, News, frame
from swarmworks.cli.view.phrases import Weight, phrase
from swarmworks.wire.api import EventRow, SwarmStatus


class LiveProgress:
    """`setting_up` says whether the project's environment is being built now."""

    def __init__(
        self, console: Console, setting_up: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._setting_up = setting_up
        self._monotonic = monotonic
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._news: deque[News] = deque(maxlen=MOST_EVENTS)
        self._status: SwarmStatus | None = None
        self._taken_at = 0.0
        self._set_up_since: float | None = None
        self._notice = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        self._status = status
        self._taken_at = self._monotonic()
        for event in events:
            told = phrase(event)
            if told.weight is not Weight.DETAIL:
                self._news.append(News((event.at - status.created_at).total_seconds(), told))
        self._draw()

    def tick(self) -> None:
        self._draw()

    def say(self, text: str) -> None:
        self._notice = text
        self._draw()

    def _draw(self) -> None:
        if self._status is None:
            return
        facts = Facts(
            status=self._status,
            news=tuple(self._news),
            since_s=self._monotonic() - self._taken_at,
            setting_up_s=self._set_up_s(),
            notice=self._notice,
        )
        size = self._console.size
        self._live.update(Group(*frame(facts, size.width, size.height - 1)), refresh=True)

    def _set_up_s(self) -> float | None:
        if not self._setting_up():
            self._set_up_since = None
            return None
        if self._set_up_since is None:
            self._set_up_since = self._monotonic()
        return self._monotonic() - self._set_up_since
