"""What a person reads before deciding, line by line."""

from __future__ import annotations

import pytest

from swarmworks.cli.view.inbox_text import diff_lines

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
