"""An event as one aligned line of `swarm logs`."""

from __future__ import annotations

from swarmworks.cli.view.phrases import phrase
from swarmworks.wire.api import EventRow

LEAST_SUBJECT = 12
MOST_SUBJECT = 32


class LogLines:
    """The subject's column grows with what was seen, so that lines stay aligned without reading ahead."""

    def __init__(self) -> None:
        self._width = LEAST_SUBJECT

    def line(self, event: EventRow) -> str:
        told = phrase(event)
        self._width = min(MOST_SUBJECT, max(self._width, len(told.subject)))
        at = event.at.astimezone()
        return f"{at:%H:%M:%S}  {told.subject:<{self._width}}  {told.text}"
