"""Progress as plain lines, one per milestone: for logs, pipes and continuous integration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Self, TextIO

from swarmworks.cli.view.amounts import clock
from swarmworks.cli.view.phrases import Weight, phrase
from swarmworks.wire.api import EventRow, SwarmStatus


class PlainProgress:
    """Writes to `stream`, standard output when None. Times are since the swarm was created."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        for event in events:
            told = phrase(event)
            if told.weight is Weight.MILESTONE:
                at = clock((event.at - status.created_at).total_seconds())
                print(f"{at:>8}  {told.subject}: {told.text}", file=self._stream)
        self._stream.flush()

    def tick(self) -> None:
        """Nothing happened, so nothing is written."""

    def say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class SilentProgress:
    """For `--json`: only what the person must know, on standard error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        """The result is printed at the end."""

    def tick(self) -> None:
        """As show."""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
