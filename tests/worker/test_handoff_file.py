"""A handoff that an agent's program leaves in its working copy: what it may be, and what it may not."""

from __future__ import annotations

import os

import pytest

from swarmworks.worker.handoff_file import HANDOFF_FILE, HandoffFile, read

GOOD = '{"outcome": "submitted", "done": "did it"}'


@pytest.fixture
def file(tmp_path):
    return tmp_path / HANDOFF_FILE


def test_a_handoff_is_read(tmp_path, file):
    assert read(tmp_path) is None
    file.write_text(GOOD)
    assert read(tmp_path).handoff.done == "did it"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not JSON", "no handoff"),
        ('{"outcome": "done", "done": "x"}', "outcome"),
        ('{"outcome": "submitted", "done": " "}', "what was done"),
        ('{"outcome": "handed_off", "done": "x"}', "outcome"),
        ("[" * 100_000, "no handoff"),
        (" " * (2 << 20), "sensible size"),
    ],
)
def test_what_is_none_says_why(tmp_path, file, text, says):
    file.write_text(text)
    left = read(tmp_path)
    assert left.handoff is None
    assert says in left.problem


def test_neither_links_nor_pipes_are_followed(tmp_path, file):
    outside = tmp_path / "outside"
    outside.write_text(GOOD)
    file.symlink_to(outside)
    assert read(tmp_path).handoff is None
    file.unlink()
    os.mkfifo(file)
    assert read(tmp_path).handoff is None
    file.unlink()
    file.mkdir()
    assert read(tmp_path).handoff is None


def test_while_the_program_runs_only_what_stands_unchanged_counts(tmp_path, file):
    looking = HandoffFile([tmp_path / "elsewhere", tmp_path])
    assert looking.settled() is None
    file.write_text(GOOD)
    assert looking.settled() is None
    file.write_text(GOOD.replace("did it", "did more"))
    os.utime(file, ns=(1, 1))
    assert looking.settled() is None
    assert looking.settled().done == "did more"


def test_a_broken_one_never_ends_a_program_that_still_runs(tmp_path, file):
    looking = HandoffFile([tmp_path])
    file.write_text("{")
    assert [looking.settled() for _ in range(3)] == [None] * 3
