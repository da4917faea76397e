"""The live dashboard: a terminal application over the facts that `watching` hands it, drawn at most four times a second.

Only lines that have changed are drawn, so that nothing flickers. It never asks the control plane on its own account, but for
what a person's key asks for.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import ClassVar

from rich.console import Console
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from swarmworks.base.errors import SwarmworksError
from swarmworks.cli.view.amounts import clock, plain
from swarmworks.cli.view.dashboard import MOST_EVENTS, Facts, News, frame, shape
from swarmworks.cli.view.dashboard_screens import HELP, Page, Question, SessionPage
from swarmworks.cli.view.inbox_screen import InboxScreen
from swarmworks.cli.view.phrases import Weight, phrase
from swarmworks.cli.view.seats import Seats, in_order
from swarmworks.cli.view.session_lines import session_lines
from swarmworks.cli.view.steering import Steering
from swarmworks.wire.api import EventRow, SwarmStatus
from swarmworks.wire.conversing import Say

DRAW_S = 0.25
KEYS = frozenset({"inbox", "attach", "pause", "stop", "leave", "help", "select"})
MOST_SESSION_LINES = 500
MOST_SESSIONS = 64
STOP = "Stop the swarm in order? Sessions are ended and their work is kept; swarm resume goes on."
LEAVE = (
    "The swarm runs inside this command, so leaving stops it in order: sessions are ended, their work is kept, and "
    "swarm resume goes on. Leave?"
)


class Board(Widget):
    """Lines of text, of which only those are drawn that have changed."""

    DEFAULT_CSS = "Board { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[Text] = []
        self._drawing = Console()

    def show(self, lines: list[Text]) -> None:
        before, self._lines = self._lines, lines
        if len(before) != len(lines):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before, lines, strict=True)) if not _same(old, new)]
        if changed:
            self.refresh(*[Region(0, y, self.size.width, 1) for y in changed])

    @property
    def text(self) -> str:
        return "\n".join(line.plain.rstrip() for line in self._lines)

    def render_line(self, y: int) -> Strip:
        if y >= len(self._lines):
            return Strip.blank(self.size.width)
        segments = [segment for segment in self._lines[y].render(self._drawing) if segment.text != "\n"]
        return Strip(segments).adjust_cell_length(self.size.width)


def _session_text(event: EventRow, at_s: float) -> Iterator[Text]:
    at = f"{clock(at_s):>7}  "
    for line in session_lines(event):
        yield Text.assemble((at, "dim"), (line.text, line.style))
        at = " " * len(at)


def _same(one: Text, other: Text) -> bool:
    return one == other and one.style == other.style


class DashboardApp(App[None]):
    """`setting_up` says whether the project's environment is being built now."""

    ENABLE_COMMAND_PALETTE = False
    CSS = "Screen { background: ansi_default; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "leave_now", priority=True, show=False),
        Binding("i", "inbox"),
        Binding("a,enter", "attach"),
        Binding("p", "pause"),
        Binding("s", "stop"),
        Binding("q", "leave"),
        Binding("question_mark,h,f1", "help"),
        Binding("down,j", "select(1)"),
        Binding("up,k", "select(-1)"),
    ]

    def __init__(
        self,
        steering: Steering,
        setting_up: Callable[[], bool] = lambda: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self._steering = steering
        self._setting_up = setting_up
        self._monotonic = monotonic
        self._board = Board()
        self._seats = Seats()
        self._news: deque[News] = deque(maxlen=MOST_EVENTS)
        self._sessions: OrderedDict[str, deque[Text]] = OrderedDict()
        self._status: SwarmStatus | None = None
        self._taken_at = 0.0
        self._set_up_since: float | None = None
        self._notice = ""
        self._selected = ""
        self._stale = False
        self._drawn_at = 0.0
        self._attached: tuple[str, SessionPage] | None = None

    @property
    def text(self) -> str:
        """What the board shows now, without colours."""
        return self._board.text

    # What `watching` tells; drawn by the timer.

    def news(self, status: SwarmStatus, events: Sequence[EventRow]) -> None:
        self._status = status
        self._taken_at = self._monotonic()
        for event in events:
            told = phrase(event)
            at_s = (event.at - status.created_at).total_seconds()
            if told.weight is not Weight.DETAIL:
                self._news.append(News(at_s, told))
            if event.session_id:
                self._keep(event.session_id, [*_session_text(event, at_s)])
        self._stale = True

    def say(self, text: str) -> None:
        self._notice = text
        self._stale = True

    def _keep(self, session_id: str, new: list[Text]) -> None:
        self._sessions.setdefault(session_id, deque(maxlen=MOST_SESSION_LINES)).extend(new)
        self._sessions.move_to_end(session_id)
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        if self._attached is not None and self._attached[0] == session_id:
            self.call_later(self._attached[1].add, new)

    def compose(self) -> ComposeResult:
        yield self._board

    def on_mount(self) -> None:
        self.draw()
        self.set_interval(DRAW_S, self._tick)

    def on_resize(self) -> None:
        self.call_after_refresh(self.draw)

    def _tick(self) -> None:
        if self._stale or self._monotonic() - self._drawn_at >= 1.0:
            self.draw()

    def draw(self) -> None:
        if self._status is None:
            return
        self._stale = False
        self._drawn_at = self._monotonic()
        width, height = self.size
        agents = self._status.agents
        seated = self._seats.seated(
            agents, shape(width, height - len(self._status.money.windows), len(agents)).agents, self._selected
        )
        facts = Facts(
            status=self._status,
            news=tuple(self._news),
            since_s=self._monotonic() - self._taken_at,
            setting_up_s=self._set_up_s(),
            seated=seated,
            selected=self._selected,
            notice=self._notice,
        )
        self._board.show(frame(facts, width, height))

    def _set_up_s(self) -> float | None:
        if not self._setting_up():
            self._set_up_since = None
            return None
        if self._set_up_since is None:
            self._set_up_since = self._monotonic()
        return self._monotonic() - self._set_up_since

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """On another screen, the dashboard's own keys mean nothing, but for leaving at once."""
        del parameters
        return action not in KEYS or len(self.screen_stack) == 1

    def action_select(self, step: int) -> None:
        names = in_order(agent.name for agent in self._status.agents) if self._status else []
        if not names:
            return
        if self._selected in names:
            self._selected = names[(names.index(self._selected) + step) % len(names)]
        else:
            self._selected = names[0 if step > 0 else -1]
        self.draw()

    def action_help(self) -> None:
        self.push_screen(Page("keys", HELP))

    def action_inbox(self) -> None:
        self.push_screen(InboxScreen(self._steering.client.inbox, self._steering.swarm_id))

    def action_attach(self) -> None:
        agents = {agent.name: agent for agent in self._status.agents} if self._status else {}
        agent = agents.get(self._selected) or next((one for one in agents.values() if one.session_id), None)
        if agent is None or agent.session_id is None:
            self.say(
                f"{agent.name if agent else 'No agent'} is at work on nothing now: select another with the arrows."
            )
            return
        session_id = agent.session_id

        async def say(text: str) -> str:
            return await self._say_to(session_id, text)

        page = SessionPage(f"{agent.name} on {agent.task_id}", list(self._sessions.get(session_id, ())), say)
        self._attached = (session_id, page)
        self.push_screen(page, self._detached)

    async def _say_to(self, session_id: str, text: str) -> str:
        try:
            await self._steering.client.say(self._steering.swarm_id, Say(to=session_id, text=text))
        except SwarmworksError as error:
            return plain(str(error))
        return "said; the agent hears it between two of its turns"

    def _detached(self, _result: None) -> None:
        self._attached = None

    async def action_pause(self) -> None:
        paused = self._status is not None and self._status.state == "paused"
        await self._steer(self._steering.go_on if paused else self._steering.pause)

    def action_stop(self) -> None:
        self.push_screen(Question(STOP), self._stop)

    async def _stop(self, yes: bool | None) -> None:
        if yes:
            await self._steer(self._steering.stop)

    def action_leave(self) -> None:
        if self._steering.owned:
            self.push_screen(Question(LEAVE), lambda yes: self.action_leave_now() if yes else None)
        else:
            self.action_leave_now()

    def action_leave_now(self) -> None:
        self._steering.leave()

    async def _steer(self, do: Callable[[], Awaitable[None]]) -> None:
        try:
            await do()
        except SwarmworksError as error:
            self.say(str(error))
        else:
            self.say("")
