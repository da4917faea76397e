from __future__ import annotations

import html
import os
import threading
from dataclasses import dataclass, field

import pytest

from swarmworks.base.errors import ConflictError
from swarmworks.cli.view.dashboard_app import DashboardApp
from swarmworks.cli.view.inbox_screen import InboxScreen
from swarmworks.cli.view.terminal import MOST_WAITING, Outlet
from tests.cli import sample
from tests.cli.inbox_sample import FakeInbox
from tests.cli.view.test_dashboard import EVENTS, FULL

SIZES = [(80, 24), (140, 40)]


@dataclass
class Listener:
    heard: list[str] = field(default_factory=list)
    inbox: FakeInbox = field(default_factory=FakeInbox)

    async def say(self, swarm_id, request):
        if request.text == "refused":
            raise ConflictError("the session has ended")
        self.heard.append(f"{request.to}: {request.text}")


@dataclass
class Hands:
    owned: bool = True
    swarm_id: str = sample.SWARM
    client: Listener = field(default_factory=Listener)
    did: list[str] = field(default_factory=list)
    refuses: bool = False

    async def pause(self):
        self._do("pause")

    async def go_on(self):
        self._do("go on")

    async def stop(self):
        self._do("stop")

    def leave(self):
        self.did.append("leave")

    def _do(self, what):
        if self.refuses:
            raise ConflictError("a swarm that is stopping cannot pause")
        self.did.append(what)


@pytest.fixture
def hands():
    return Hands()


@pytest.fixture
def app(hands):
    made = DashboardApp(hands, monotonic=lambda: 0.0)
    made.news(FULL, EVENTS)
    return made


def seen(app):
    return html.unescape(app.export_screenshot()).replace("\xa0", " ")


@pytest.mark.parametrize("size", SIZES)
async def test_it_shows_where_the_swarm_stands(app, size):
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        text = app.text
        for part in ("Task Management  running  2 need you", "31 of 55 tasks", "testing-1", "landed as 0d3e22aa17"):
            assert part in text
        assert "\x1b" not in text


async def test_news_are_drawn(app):
    async with app.run_test(size=(80, 24)) as pilot:
        app.news(FULL.model_copy(update={"tests": 999}), [sample.event(9, "change.landed", "new-one", commit="abc")])
        app.draw()
        await pilot.pause()
        assert "999 passed" in app.text
        assert "new-one" in app.text


async def test_the_terminal_may_change_its_size(app):
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.resize_terminal(140, 40)
        await pilot.pause()
        await pilot.pause()
        assert max(len(line) for line in app.text.splitlines()) > 100


async def test_p_pauses_and_goes_on(app, hands):
    async with app.run_test() as pilot:
        await pilot.press("p")
        app.news(FULL.model_copy(update={"state": "paused"}), [])
        app.draw()
        assert "go on" in app.text
        await pilot.press("p")
        assert hands.did == ["pause", "go on"]


async def test_a_refusal_is_told_in_words(app, hands):
    hands.refuses = True
    async with app.run_test() as pilot:
        await pilot.press("p")
        app.draw()
        await pilot.pause()
        assert "a swarm that is stopping cannot pause" in app.text


async def test_stopping_is_asked_for_twice(app, hands):
    async with app.run_test() as pilot:
        await pilot.press("s", "n")
        assert hands.did == []
        await pilot.press("s", "y")
        await pilot.pause()
        assert hands.did == ["stop"]


async def test_leaving_asks_where_the_swarm_would_stop_with_it(app, hands):
    async with app.run_test() as pilot:
        await pilot.press("q", "escape")
        assert hands.did == []
        await pilot.press("q", "y")
        await pilot.pause()
        assert hands.did == ["leave"]


async def test_leaving_does_not_ask_where_the_swarm_goes_on():
    hands = Hands(owned=False)
    app = DashboardApp(hands)
    app.news(FULL, EVENTS)
    async with app.run_test() as pilot:
        await pilot.press("q")
        assert hands.did == ["leave"]


async def test_ctrl_c_leaves_from_anywhere(app, hands):
    async with app.run_test() as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        await pilot.press("ctrl+c")
        assert hands.did == ["leave"]


async def test_arrows_select_an_agent_and_a_speaks_with_it(app, hands):
    call = sample.event(
        7,
        "session.tool_call",
        "endpoint-comment-list",
        actor="agent:api-1",
        tool="read_file",
        arguments="{'path': 'a.py'}",
    )
    app.news(FULL, [call.model_copy(update={"session_id": "ses_1"})])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down")
        assert "▸ api-1" in app.text
        await pilot.press("a")
        await pilot.pause()
        assert "read_file path=a.py" in seen(app)
        await pilot.press(*"stop it", "enter")
        await pilot.pause()
        assert hands.client.heard == ["ses_1: stop it"]
        await pilot.press(*"refused", "enter")
        await pilot.pause()
        assert "the session has ended" in seen(app)
        await pilot.press("escape")
        await pilot.press("down", "a")
        app.draw()
        await pilot.pause()
        assert "is at work on nothing now" in app.text


async def test_the_inbox_opens_and_its_keys_are_its_own(app, hands):
    async with app.run_test() as pilot:
        await pilot.press("i")
        await pilot.pause()
        assert isinstance(app.screen, InboxScreen)
        assert "wait for you" in seen(app)
        await pilot.press("p", "s", "question_mark")
        await pilot.pause()
        assert isinstance(app.screen, InboxScreen)
        assert hands.did == []
        await pilot.press("q")
        await pilot.pause()
        assert len(app.screen_stack) == 1


def test_a_stalled_terminal_keeps_nobody_waiting_and_is_drawn_anew():
    reading, writing = os.pipe()
    caught_up = threading.Event()
    outlet = Outlet(writing, caught_up.set, lambda: None)
    for _ in range(40):
        outlet.write("x" * (MOST_WAITING // 8))
    assert not caught_up.is_set()
    taken: list[int] = []
    threading.Thread(target=_drain, args=(reading, taken), daemon=True).start()
    assert caught_up.wait(10.0)
    assert outlet.finish(5.0)
    assert sum(taken) <= 2 * MOST_WAITING


def _drain(descriptor, taken):
    while data := os.read(descriptor, 1 << 16):
        taken.append(len(data))


def test_a_terminal_that_is_gone_takes_everything():
    reading, writing = os.pipe()
    os.close(reading)
    gone = threading.Event()
    outlet = Outlet(writing, lambda: None, gone.set)
    outlet.write("nobody reads this")
    assert outlet.finish(5.0)
    assert gone.is_set()
