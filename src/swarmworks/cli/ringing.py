"""Rings for the person in front of the terminal: a display that says, beside what it draws, what needs somebody now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Self, TextIO

from swarmworks.cli.context import OpenProject
from swarmworks.cli.view.steering import Steering
from swarmworks.cli.watching import Display
from swarmworks.domain.notice import Notice, Severity
from swarmworks.notify.protocol import Dispatch
from swarmworks.notify.terminal import TerminalChannel
from swarmworks.policy.notices import Happened, notice_of
from swarmworks.policy.quiet import quiet_until
from swarmworks.policy.telling import ChannelRule, wanted
from swarmworks.wire.api import EventRow, SwarmStatus
from swarmworks.wire.config_notify import NotifySection

FRESH = timedelta(seconds=30)
"""What happened longer ago was there to be seen: a display that begins with old events does not ring for them."""
_ENDS = frozenset({"swarm.landed", "swarm.blocked", "swarm.stopped"})


def ringing(display: Display, project: OpenProject) -> Display:
    """The display as the project's [notify] has it."""
    return RingingDisplay(display, project.config.notify, project.name)


class RingingDisplay:
    """`inner` with the configured terminal channels. In quiet hours only what is urgent rings; the line is there always."""

    def __init__(
        self,
        inner: Display,
        notify: NotifySection,
        project: str,
        *,
        stream: TextIO | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._inner = inner
        self._project = project
        self._quiet = notify.quiet_hours
        self._now = now
        self._terminal = TerminalChannel("terminal", stream or sys.stderr, inner.say)
        self._rules = [
            ChannelRule(one.name, one.severity, one.about) for one in notify.channels if one.kind == "terminal"
        ]

    def steered_by(self, steering: Steering) -> None:
        self._inner.steered_by(steering)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._inner.__aexit__(*error)

    def show(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        self._inner.show(status, events)
        for event in events:
            notice = notice_of(
                Happened(event.kind, status.id, event.seq, event.at, event.task_id, event.data),
            )
            if notice is not None and any(wanted(rule, notice) for rule in self._rules):
                self._tell(notice)

    def say(self, text: str) -> None:
        self._inner.say(text)

    def lost(self) -> None:
        self._rules = []
        self._inner.lost()

    def _tell(self, notice: Notice) -> None:
        now = self._now()
        if now - notice.at > FRESH:
            return
        dispatch = Dispatch(f"{notice.swarm_id}.{notice.seq}", self._project, (notice,))
        loud = notice.severity is Severity.URGENT or quiet_until(now, self._quiet) is None
        if notice.kind in _ENDS:  # how it ended, and what to type, is printed anyway
            if loud:
                self._terminal.ring(dispatch)
            return
        self._terminal.show(dispatch, ring=loud)
