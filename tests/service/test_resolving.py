"""What is looked at before a resolution, or a change that keeps tests, is believed."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from swarmworks.base.errors import LimitReachedError
from swarmworks.git.protocol import Loss
from swarmworks.service import parking, queue_explaining, resolving
from swarmworks.wire.config_merge import MergeSection
from swarmworks.wire.handoff import MAX_LINE_CHARS
from tests.scenario.harness import task

PARKED = SimpleNamespace(base="0" * 40, head="1" * 40)


class TooLarge:
    """A repository in which one file is changed that is too large to look into; `lost` of it."""

    def __init__(self, *lost):
        self.lost = lost

    def conflicts(self, _base, _head):
        return ("data.txt",)

    def changes(self, _base, _head):
        return [SimpleNamespace(path="data.txt", status="M")]

    def losses(self, _base, _head, _tree):
        return self.lost

    def kept_lines(self, _base, _head, _tree):
        return [loss.path for loss in self.lost]

    def read_file(self, _commit, path, *, limit_bytes):
        raise LimitReachedError("the file has too many bytes", where=path)


def resolution(hub, *dropped):
    rows = [{"path": "data.txt", "line": line, "why": "as agreed"} for line in dropped]
    handoff = json.dumps({"outcome": "submitted", "done": "x", "dropped": rows})
    change = SimpleNamespace(base="2" * 40, head="3" * 40, handoff=handoff)
    before = SimpleNamespace(id="chg_1", base="0" * 40, head="1" * 40)
    return resolving.look(hub, before, change, MergeSection(), anew=False)


def test_a_file_too_large_to_look_into_is_no_reason_to_judge_its_resolution_for_ever():
    assert resolution(TooLarge()).wrong == ()
    assert {one.file for one in resolution(TooLarge(Loss("data.txt", ()))).wrong} == {"data.txt"}


class Marked(TooLarge):
    """One in which the file can be read."""

    def __init__(self, text):
        super().__init__()
        self.text = text

    def read_file(self, _commit, _path, *, limit_bytes):
        return self.text.encode()


def test_a_marker_is_looked_for_where_git_begins_a_line():
    assert resolution(Marked("one = '\u2028<<<<<<< ours'\f\n")).wrong == ()
    (wrong,) = resolution(Marked("one\f\rtwo\n<<<<<<< ours\n")).wrong
    assert (wrong.message, wrong.line) == ("a conflict marker is left", 2)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_conflict_is_shown_where_it_stands_in_the_file(end):
    rows = ["a\x0cb", "<<<<<<< ours", "one\u2028more", "=======", "two", ">>>>>>> theirs", ""]
    (place,) = queue_explaining._places(end.join(rows))
    assert (place.line, place.ours, place.theirs) == (2, "one\u2028more", "two")


LONG = f"    {'value ' * 500}"


@pytest.mark.parametrize("named", [LONG[:MAX_LINE_CHARS], LONG.strip()[:MAX_LINE_CHARS]])
def test_a_line_too_long_for_a_handoff_is_named_by_its_beginning(named):
    lost = TooLarge(Loss("data.txt", (LONG,)))
    assert resolution(lost, named).wrong == ()
    unnamed = resolution(lost, f"other {named}"[:MAX_LINE_CHARS]).wrong
    assert f"name its first {MAX_LINE_CHARS} characters" in unnamed[0].message
    twice = TooLarge(Loss("data.txt", (LONG, LONG)))
    assert len(resolution(twice, named).wrong) == len(unnamed)


def test_nor_to_judge_for_ever_what_mends_the_code_of_kept_tests():
    mends = task("fix", kind="fix_bug", supersedes="tests")
    change = SimpleNamespace(base="2" * 40, head="3" * 40)
    seen = parking.look(TooLarge(), mends, change, PARKED, "4" * 40, MergeSection())
    assert seen.weakened == ()
    lost = parking.look(TooLarge(Loss("data.txt", ())), mends, change, PARKED, "4" * 40, MergeSection())
    assert [one.file for one in lost.weakened] == ["data.txt"]
