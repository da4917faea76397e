from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.widgets import OptionList, Static

from swarmworks.cli.view.inbox_app import InboxApp
from swarmworks.cli.view.inbox_screen import InboxScreen
from tests.cli.inbox_sample import FakeInbox

SIZES = [(80, 24), (140, 40)]


@pytest.fixture
def inbox():
    return FakeInbox()


def text_of(app, name):
    return str(app.screen.query_one(name, Static).render())


def shown(app):
    listed = app.screen.query_one(OptionList)
    return [str(listed.get_option_at_index(number).prompt) for number in range(listed.option_count)]


def keep_picture(app, name):
    """Pictures are kept where SWARM_PICTURES says, for people to look at."""
    folder = os.environ.get("SWARM_PICTURES")
    if folder:
        (Path(folder) / f"{name}.svg").write_text(app.export_screenshot())


@pytest.mark.parametrize("size", SIZES)
async def test_the_list_says_what_waits_and_which_keys_decide_it(inbox, size):
    app = InboxApp(inbox)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        rows = shown(app)
        assert len(rows) == 3
        assert "blocked: tests-user" in rows[0]
        assert "12 behind" in rows[0]
        assert "security: Is it safe?" in rows[1]
        assert all(len(row) <= size[0] for row in rows)
        assert "3 things wait for you" in text_of(app, "#title")
        assert "t retry" in text_of(app, "#keys")
        await pilot.press("j")
        assert "a approve" in text_of(app, "#keys")
        keep_picture(app, f"inbox-list-{size[0]}")


@pytest.mark.parametrize("size", SIZES)
async def test_the_detail_holds_what_was_tried_and_the_difference(inbox, size):
    app = InboxApp(inbox)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press("enter")
        page = text_of(app, "#text")
        assert "tests/test_user.py:31: assert 422 == 201" in page
        assert "Added the user model" in page
        assert "+    # FIXME validate" in page
        keep_picture(app, f"inbox-detail-{size[0]}")
        await pilot.press("space")
        keep_picture(app, f"inbox-detail-page-{size[0]}")
        await pilot.press("escape")
        assert isinstance(app.screen, InboxScreen)
        assert not app.screen.has_class("reading")


async def test_a_change_is_approved_with_two_keys_and_leaves_the_list(inbox):
    app = InboxApp(inbox)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("j", "a")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        ((what, wanted, request),) = inbox.did
        assert (what, wanted, request.reason) == ("approve", "rev_0123456789abk3f9", "")
        assert len(shown(app)) == 2
        assert "approve is done; the swarm goes on" in text_of(app, "#told")


async def test_a_rejection_needs_words_and_escape_takes_it_back(inbox):
    app = InboxApp(inbox)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("j", "r")
        await pilot.pause()
        await pilot.press("enter")
        assert inbox.did == []
        keep_picture(app, "inbox-words-80")
        await pilot.press("escape")
        await pilot.pause()
        assert inbox.did == []
        await pilot.press("r")
        await pilot.pause()
        await pilot.press(*"no a", "enter")
        await pilot.pause()
        ((what, _wanted, request),) = inbox.did
        assert (what, request.reason) == ("reject", "no a")


async def test_a_question_is_answered_and_a_task_retried_from_its_page(inbox):
    app = InboxApp(inbox)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("enter", "t")
        await pilot.pause()
        await pilot.press(*"mind", "enter")
        await pilot.pause()
        await pilot.press("j", "w")
        await pilot.pause()
        await pilot.press(*"yes", "enter")
        await pilot.pause()
        did = [(what, wanted) for what, wanted, _ in inbox.did]
        assert did[0][0] == "retry"
        assert did[0][1].endswith(":tests-user")
        assert did[1] == ("answer", "qst_0123456789ab77zz")
        assert (inbox.did[0][2].note, inbox.did[1][2].text) == ("mind", "yes")


async def test_who_may_not_decide_is_told_so(inbox):
    inbox.forbids = True
    app = InboxApp(inbox)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("j", "a")
        await pilot.pause()
        await pilot.press("enter")
        await pilot.pause()
        assert "Bob may not decide" in text_of(app, "#told")
        assert len(shown(app)) == 3


async def test_keys_that_do_not_apply_do_nothing_and_q_leaves(inbox):
    app = InboxApp(inbox)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("a", "w")
        await pilot.pause()
        assert isinstance(app.screen, InboxScreen)
        await pilot.press("q")
        await pilot.pause()
        assert not app.is_running
