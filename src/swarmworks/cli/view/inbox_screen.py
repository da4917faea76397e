"""The inbox on a screen: a list, everything about one of them, and single keys to decide. Opened by `swarm inbox`, and from the
dashboard. It asks the control plane only when it opens, after a decision, and for what a key asks for.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, cast

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from swarmworks.base.errors import SwarmworksError
from swarmworks.base.ids import SwarmId
from swarmworks.cli.view.amounts import counted, plain, shortened
from swarmworks.cli.view.inbox_text import age, asked, detail_lines, what_it_is
from swarmworks.client.inbox import InboxClient
from swarmworks.wire.inbox import AnswerQuestion, Approve, CancelTask, Decided, InboxItem, Reject, RetryTask

MOST_WORDS = 4_000
KEYS = {
    "review": (("a", "approve"), ("r", "reject")),
    "question": (("w", "answer"),),
    "blocked": (("t", "retry"), ("c", "cancel")),
}


class Words(ModalScreen[str | None]):
    """A line from the person; None when they change their mind."""

    CSS = """
    Words { align: center bottom; background: ansi_default; }
    Words VerticalScroll { height: auto; max-height: 8; border: round ansi_yellow; padding: 0 1; }
    Words Static { height: auto; }
    Words Input { border: none; padding: 0; background: ansi_default; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "give_up", "back")]

    def __init__(self, question: str, *, needed: bool) -> None:
        super().__init__()
        self._question = question
        self._needed = needed

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_subtitle = "Enter decides, Esc goes back"
            yield Static(Text(self._question))
            yield Input(placeholder="" if self._needed else "nothing to add: Enter", max_length=MOST_WORDS)

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() or not self._needed:
            self.dismiss(event.value.strip())

    def action_give_up(self) -> None:
        self.dismiss(None)


class InboxScreen(Screen[None]):
    """Dismisses itself on `q`. `swarm_id` None: of all swarms."""

    CSS = """
    InboxScreen { background: ansi_default; }
    InboxScreen #title, InboxScreen #keys, InboxScreen #told { height: 1; }
    InboxScreen OptionList { height: 1fr; background: ansi_default; border: none; padding: 0; scrollbar-size: 1 1; }
    InboxScreen OptionList > .option-list--option-highlighted { background: ansi_blue; color: ansi_bright_white; }
    InboxScreen #page { height: 1fr; background: ansi_default; scrollbar-size: 1 1; display: none; }
    InboxScreen #page Static { height: auto; }
    InboxScreen.reading OptionList { display: none; }
    InboxScreen.reading #page { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "move(1)", "down"),
        Binding("k", "move(-1)", "up"),
        Binding("space,pagedown", "page(1)", "page down", priority=True),
        Binding("b,pageup", "page(-1)", "page up"),
        Binding("escape,left,h", "back", "back"),
        Binding("q", "leave", "leave"),
        Binding("a", "approve", "approve"),
        Binding("r", "reject", "reject"),
        Binding("w", "answer", "answer"),
        Binding("t", "retry", "retry"),
        Binding("c", "cancel", "cancel"),
        Binding("g", "refresh", "look again"),
    ]

    def __init__(self, inbox: InboxClient, swarm_id: SwarmId | None = None) -> None:
        super().__init__()
        self._inbox = inbox
        self._swarm_id = swarm_id
        self._items: tuple[InboxItem, ...] = ()
        self._reading: InboxItem | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="title")
        yield OptionList()
        with VerticalScroll(id="page"):
            yield Static(id="text")
        yield Static(id="told")
        yield Static(id="keys")

    async def on_mount(self) -> None:
        await self.action_refresh()
        self.query_one(OptionList).focus()

    def on_resize(self) -> None:
        self.call_after_refresh(self._draw)

    async def action_refresh(self) -> None:
        try:
            self._items = (await self._inbox.items(self._swarm_id)).items
        except SwarmworksError as error:
            self._tell(plain(str(error)))
        self._draw()

    @property
    def chosen(self) -> InboxItem | None:
        if self._reading is not None:
            return self._reading
        at = self.query_one(OptionList).highlighted
        return self._items[at] if at is not None and at < len(self._items) else None

    def _draw(self) -> None:
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.clear_options()
        listed.add_options([Option(_row(item, self.size.width)) for item in self._items])
        if self._items:
            listed.highlighted = min(at, len(self._items) - 1)
        count = counted(len(self._items), "thing")
        waits = (
            f"{count} {'waits' if len(self._items) == 1 else 'wait'} for you"
            if self._items
            else "Nothing waits for you"
        )
        self.query_one("#title", Static).update(Text(waits, style="bold"))
        self._show_keys()

    def _show_keys(self) -> None:
        item = self.chosen
        keys = [("j/k", "move"), ("Enter", "look")] if self._reading is None else [("Space", "page"), ("Esc", "back")]
        keys += KEYS[item.kind] if item is not None else ()
        keys.append(("q", "leave"))
        text = Text()
        for key, word in keys:
            text.append(key, style="bold")
            text.append(f" {word}  ", style="dim")
        self.query_one("#keys", Static).update(text)

    def _tell(self, words: str, style: str = "yellow") -> None:
        self.query_one("#told", Static).update(Text(shortened(words, max(20, self.size.width)), style=style))

    def on_option_list_option_highlighted(self, _event: OptionList.OptionHighlighted) -> None:
        self._show_keys()

    async def on_option_list_option_selected(self, _event: OptionList.OptionSelected) -> None:
        item = self.chosen
        if item is None:
            return
        try:
            detail = await self._inbox.detail(item.id if item.kind != "blocked" else f"{item.swarm_id}:{item.id}")
        except SwarmworksError as error:
            self._tell(plain(str(error)))
            await self.action_refresh()
            return
        text = Text()
        for line in detail_lines(detail):
            text.append(f"{line.text}\n", style=line.style)
        self.query_one("#text", Static).update(text)
        self._reading = item
        self.add_class("reading")
        page = self.query_one("#page", VerticalScroll)
        page.scroll_home(animate=False)
        page.focus()
        self._tell("")
        self._show_keys()

    def action_move(self, step: int) -> None:
        if self._reading is not None:
            self.query_one("#page", VerticalScroll).scroll_relative(y=step, animate=False)
        elif step > 0:
            self.query_one(OptionList).action_cursor_down()
        else:
            self.query_one(OptionList).action_cursor_up()

    def action_page(self, step: int) -> None:
        page = self.query_one("#page", VerticalScroll)
        if self._reading is not None:
            page.scroll_relative(y=step * max(1, page.size.height - 2), animate=False)

    def action_back(self) -> None:
        if self._reading is None:
            self.action_leave()
            return
        self._reading = None
        self.remove_class("reading")
        self.query_one(OptionList).focus()
        self._show_keys()

    def action_leave(self) -> None:
        self.dismiss()

    def action_approve(self) -> None:
        self._ask("review", "Approve {}? A reason, for the record:", needed=False)

    def action_reject(self) -> None:
        self._ask("review", "What is wrong with {}? The next attempt is told:", needed=True, word="reject")

    def action_answer(self) -> None:
        self._ask("question", "{}", needed=True)

    def action_retry(self) -> None:
        self._ask("blocked", "Try {} again. What should its agent know?", needed=False)

    def action_cancel(self) -> None:
        self._ask("blocked", "Give {} up? Why:", needed=True, word="cancel")

    def _ask(self, kind: str, question: str, *, needed: bool, word: str = "") -> None:
        item = self.chosen
        if item is None or item.kind != kind:
            return

        async def decide(words: str | None) -> None:
            if words is not None:
                await self._decide(_call(self._inbox, item, words, word))

        about = plain(item.what) if kind == "question" else plain(item.title)
        app = cast("App[object]", self.app)  # pyright: ignore[reportUnknownMemberType]
        app.push_screen(Words(question.format(about), needed=needed), decide)

    async def _decide(self, call: Awaitable[Decided]) -> None:
        try:
            decided = await call
        except SwarmworksError as error:
            self._tell(plain(str(error)), "red")
            return
        if self._reading is not None:
            self.action_back()
        await self.action_refresh()
        end = "; the swarm goes on" if decided.goes_on else f"; go on with: swarm resume {decided.swarm_id}"
        self._tell(decided.said + ("" if decided.swarm_state == "landed" else end), "green")


def _call(inbox: InboxClient, item: InboxItem, words: str, word: str) -> Awaitable[Decided]:
    if item.kind == "question":
        return inbox.answer(item.id, AnswerQuestion(text=words))
    if item.kind == "review":
        return inbox.reject(item.id, Reject(reason=words)) if word else inbox.approve(item.id, Approve(reason=words))
    name = f"{item.swarm_id}:{item.id}"
    return inbox.cancel(name, CancelTask(reason=words)) if word else inbox.retry(name, RetryTask(note=words or None))


def _row(item: InboxItem, width: int) -> Text:
    """Without colours of its own, so that it can be read on the chosen row's ground."""
    behind = f"  {item.waiting} behind" if item.waiting else ""
    head = f"{age(item.age_s):>6}  {shortened(what_it_is(item), 30):<30}  "
    room = max(10, width - len(head) - len(behind) - 2)
    return Text(f"{head}{shortened(asked(item), room):<{room}}{behind}", no_wrap=True, overflow="ellipsis")
