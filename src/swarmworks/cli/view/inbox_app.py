"""`swarm inbox` on a terminal: the inbox's screen as an application of its own."""

from __future__ import annotations

from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType

from swarmworks.base.ids import SwarmId
from swarmworks.cli.view.inbox_screen import InboxScreen
from swarmworks.client.inbox import InboxClient


class InboxApp(App[None]):
    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c,ctrl+q", "quit", priority=True, show=False)]

    def __init__(self, inbox: InboxClient, swarm_id: SwarmId | None = None) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self._inbox = inbox
        self._swarm_id = swarm_id

    def on_mount(self) -> None:
        self.push_screen(InboxScreen(self._inbox, self._swarm_id), lambda _: self.exit())
