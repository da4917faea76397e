from __future__ import annotations

import pytest

from swarmworks.git.protocol import Merged
from tests.git.test_hub import tree


@pytest.fixture
def lost(hub, repository):
    """The paths lost in `now`, for a change from `old` to `new` (each a mapping of files)."""

    def check(old, new, now):
        start = repository.commit({"keep": "keep\n"})
        base = tree(repository, hub, {"keep": "keep\n"} | old, on=start)
        head = tree(repository, hub, new, on=base)
        later = tree(repository, hub, now, on=head)
        return hub.kept_lines(base, head, hub.tree_of(later))

    return check


FILE = "a\nb\nc\nd\n"


@pytest.mark.parametrize(
    ("new", "now", "answer"),
    [
        ("a\nb\nnew\nc\nd\n", FILE, ("f",)),  # a silent revert
        ("a\nb\nnew\nc\nd\n", None, ("f",)),  # the file is gone
        ("a\nb\nnew\nc\nd\n", "more\na\nb\nnew\nc\n", ()),  # somebody else's edits around it
        ("a\nb\nnew\nc\nd\n", "new\na\nb\nc\nd\nx\n", ()),  # moved since
        ("a\nb\nnew 1\nnew 2\nc\nd\n", "a\nb\nnew 2\nc\nd\n", ("f",)),  # half of it
        ("b\na\nc\nd\n", "b\na\nc\nd\ne\n", ()),  # the change moved lines
        ("b\na\nc\nd\n", FILE, ("f",)),  # and that was undone
        ("a\nb\nc\nd\na\na\n", "x\na\nb\nc\nd\n", ("f",)),  # repeated lines count
        (
            "a\nb\nc\nd\na\na\n",
            "x\na\nb\nc\nd\na\n",
            (),
        ),  # two were added, two are there: their places are not compared
        ("a\nc\nd\n", "a\nc\nd\nx\n", ()),  # only a deletion
        ("a\nc\nd\n", FILE, ("f",)),  # undone, exactly
        (None, FILE, ()),  # a deleted file that came back is not a lost line
        ("a\nb\nnew\nc\nd", "a\nb\nnew\nc\nd\ne\n", ()),  # no newline at the end
        ("a\nb\nnew\nc\nd\n", "a\r\nb\r\nnew\r\nc\r\nd\r\n", ()),  # line endings do not count
        ("a\r\nb\r\nnew\r\nc\r\nd\r\n", "a\r\nb\r\nc\r\nd\r\n", ("f",)),
        (b"a\nb\0\n", b"a\nb\0\nmore\n", ("f",)),  # binary: identical or lost
        (b"a\nb\0\n", b"a\nb\0\n", ()),
        ("caf\u00e9\n", b"caf\xe9\n", ("f",)),  # bytes are compared
    ],
)
def test_one_file(lost, new, now, answer):
    assert lost({"f": FILE}, {"f": new}, {"f": now} if now != new else {}) == answer


def test_added_files(lost):
    assert lost({}, {"new": "x\n", "empty": ""}, {"new": None}) == ("new",)
    assert lost({}, {"d/one": "x\n", "d/two": "y\n"}, {"d/one": "x\nz\n"}) == ()


def test_links_and_modes(lost, repository, hub):
    base = tree(repository, hub, {"f": "x\n", "g": "g\n"}, on=None)
    (repository.root / "link").symlink_to("f")
    (repository.root / "f").chmod(0o755)
    head = tree(repository, hub, {}, on=None)
    edited = tree(repository, hub, {"f": "x\ny\n"}, on=None)
    assert hub.kept_lines(base, head, hub.tree_of(edited)) == ()
    (repository.root / "f").chmod(0o644)
    (repository.root / "link").unlink()
    (repository.root / "link").symlink_to("g")
    later = tree(repository, hub, {}, on=None)
    assert hub.kept_lines(base, head, hub.tree_of(later)) == ("f", "link")


LONG = "".join(f"line {number}\n" for number in range(30))


def test_a_file_the_other_side_renamed(hub, repository):
    base = tree(repository, hub, {"old.py": LONG}, on=None)
    theirs = tree(repository, hub, {"old.py": LONG + "added\n"}, on=base)
    ours = tree(repository, hub, {"old.py": None, "new.py": LONG}, on=base)
    merged = hub.merge(ours, theirs)
    assert isinstance(merged, Merged)
    assert hub.kept_lines(base, theirs, merged.tree) == ()
    assert hub.kept_lines(base, theirs, hub.tree_of(ours)) == ("old.py",)


def test_a_file_the_change_renamed_while_the_other_side_edited_it(hub, repository):
    base = tree(repository, hub, {"old.py": LONG}, on=None)
    theirs = tree(repository, hub, {"old.py": None, "new.py": LONG + "added\n"}, on=base)
    ours = tree(repository, hub, {"old.py": LONG.replace("line 3\n", "line three\n")}, on=base)
    merged = hub.merge(ours, theirs)
    assert isinstance(merged, Merged)
    assert hub.kept_lines(base, theirs, merged.tree) == ()
    assert hub.kept_lines(base, theirs, hub.tree_of(ours)) == ("new.py",)


def test_a_file_too_long_for_lines_must_be_identical(lost, monkeypatch):
    monkeypatch.setattr("swarmworks.git.survival.LINE_FILE_LIMIT_BYTES", 100)
    assert lost({"f": LONG}, {"f": LONG + "added\n"}, {"f": LONG + "added\nmore\n"}) == ("f",)
