"""Progress as plain lines, one per milestone: for logs, pipes and continuous integration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Self, TextIO

from swarmworks.cli.view.amounts import clock
from swarmworks.cli.view.phrases import Weight, phrase
from swarmworks.cli.view.steering import Steering
from swarmworks.wire.api import EventRow, SwarmStatus


class PlainProgress:
    """Writes to `stream`, standard output when None. Times are since the swarm was created."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._steering: Steering | None = None
        self._unread = False

    def steered_by(self, steering: Steering) -> None:
        """Lines cannot be steered by; but whoever reads them may go away."""
        self._steering = steering

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        for event in events:
            told = phrase(event)
            if told.weight is Weight.MILESTONE:
                at = clock((event.at - status.created_at).total_seconds())
                self._print(f"{at:>8}  {told.subject}: {told.text}")

    def say(self, text: str) -> None:
        self._print(text)

    def _print(self, line: str) -> None:
        """When nobody reads any more (`swarm run | head`), the person has left: the swarm is stopped in order."""
        if self._unread:
            return
        try:
            print(line, file=self._stream, flush=True)
        except BrokenPipeError:
            self._unread = True
            if self._steering is not None:
                self._steering.leave()

    def lost(self) -> None:
        """Whoever muted the terminal has seen to it."""


class SilentProgress:
    """For `--json`: only what the person must know, on standard error."""

    def steered_by(self, steering: Steering) -> None:
        """Nobody watches."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        """The result is printed at the end."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def lost(self) -> None:
        """Whoever muted the terminal has seen to it."""
