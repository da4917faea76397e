"""The dashboard's smaller screens: a question to the person, a page of text, the session of an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, RichLog, Static

from swarmworks.wire.conversing import MOST_SAID_CHARS

HELP = """\
i       inbox: what waits for you
a       attach: look over the selected agent's shoulder, speak to it
up/down select an agent
p       pause: no new sessions start; again: go on
s       stop in order: sessions are ended, their work is kept
q       leave the dashboard
Ctrl-C  as q, without asking
?       this page

Each is a command too: swarm inbox, attach, say, pause, resume, stop."""


class Question(ModalScreen[bool]):
    """Yes or no; anything but yes is no."""

    CSS = """
    Question { align: center middle; background: ansi_default; }
    Question Static { width: 64; max-width: 100%; height: auto; border: round ansi_yellow; padding: 1 2; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("y", "answer(True)", "yes"),
        ("n,escape,q,enter", "answer(False)", "no"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        yield Static(Text(f"{self._text}\n\n y  yes      n  no"))

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Page(ModalScreen[None]):
    """Text that may be longer than the screen."""

    CSS = """
    Page { align: center middle; background: ansi_default; }
    Page VerticalScroll { width: 90%; max-width: 100; height: auto; max-height: 90%; border: round ansi_blue; padding: 0 1; }
    Page Static { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,enter,question_mark", "close", "close")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title = title
        self._text = text

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = self._title
            box.border_subtitle = "Esc closes"
            yield Static(Text(self._text))

    def action_close(self) -> None:
        self.dismiss()


class SessionPage(Screen[None]):
    """What one session did, as it does it. `say` hands a person's words to its agent, and returns what became of them."""

    CSS = """
    SessionPage Static { height: 1; }
    SessionPage RichLog { height: 1fr; background: ansi_default; scrollbar-size: 1 1; }
    SessionPage Input { height: 1; border: none; padding: 0; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "close", "back"),
        ("pageup", "scroll(-1)", "up"),
        ("pagedown", "scroll(1)", "down"),
    ]

    def __init__(self, title: str, lines: Sequence[Text], say: Callable[[str], Awaitable[str]]) -> None:
        super().__init__()
        self._title = title
        self._lines = lines
        self._say = say

    def compose(self) -> ComposeResult:
        yield Static(Text(self._title, style="bold"))
        yield RichLog(wrap=True, max_lines=5_000, auto_scroll=True)
        yield Static(Text("Enter says it to the agent, Esc goes back, page keys scroll", style="dim"), id="told")
        yield Input(placeholder="say something to the agent", max_length=MOST_SAID_CHARS)

    def on_mount(self) -> None:
        self.add(self._lines)
        self.query_one(Input).focus()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        if text:
            event.input.clear()
            self.query_one("#told", Static).update(Text(await self._say(text), style="dim"))

    def action_scroll(self, pages: int) -> None:
        log = self.query_one(RichLog)
        log.scroll_relative(y=pages * max(1, log.size.height - 1), animate=False)

    def add(self, lines: Sequence[Text]) -> None:
        log = self.query_one(RichLog)
        for line in lines:
            log.write(line)

    def action_close(self) -> None:
        self.dismiss()
