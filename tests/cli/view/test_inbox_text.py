"""What a person reads before deciding, line by line."""

from __future__ import annotations

import pytest

from swarmworks.cli.view.inbox_text import detail_lines, diff_lines
from swarmworks.wire.inbox import ChangedFile, ChangeSize, InboxDetail
from tests.cli.inbox_sample import REVIEW

BREAKS = ["\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("sign", BREAKS)
def test_no_part_of_an_added_line_is_shown_as_if_it_had_been_there(sign):
    added, kept = diff_lines(f"+a = 1{sign} import os\n b = 2\n")
    assert added.text.startswith("+a = 1")
    assert added.text.endswith(" import os")
    assert added.text[6] not in {" ", sign}, "it shows that something stands there"
    assert added.style == "green"
    assert (kept.text, kept.style) == (" b = 2", "")


def test_a_carriage_return_is_drawn_unless_it_ends_the_line():
    assert [line.text for line in diff_lines("+a\rb\r\n c\r\n")] == ["+a␍b", " c"]


def told(**facts):
    return [line.text for line in detail_lines(InboxDetail(item=REVIEW, **facts))]


def test_a_plan_of_which_a_part_is_shown_says_how_many_tasks_it_has():
    lines = told(plan=("a  Do a", "b  Do b"), tasks=1_800)
    start = lines.index("1,800 tasks:")
    assert lines[start + 1 : start + 4] == ["  a Do a", "  b Do b", "  and 1,798 more"]
    assert "2 tasks:" in told(plan=("a  Do a", "b  Do b"))


def test_a_change_of_which_a_part_is_shown_says_how_large_it_is():
    files = tuple(ChangedFile(path=f"{number}.py", status="A", added=1, removed=0) for number in range(50))
    lines = told(changed=files, whole=ChangeSize(files=1_200, added=9_000, removed=7))
    assert "the change: 1,200 files, +9000 -7" in lines
    assert "  and 1,160 more" in lines
    assert {"the change: 50 files, +50 -0", "  and 10 more"} <= set(told(changed=files))


def test_a_detail_that_is_not_cut_can_be_read_by_an_older_command():
    assert not {"tasks", "whole"} & InboxDetail(item=REVIEW).model_dump().keys()
