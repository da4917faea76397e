"""Files to which everybody only adds, and what a resolution lost, line by line."""

from __future__ import annotations

import pytest

from swarmworks.git.protocol import Candidate, Conflicted, Loss, Piece
from swarmworks.git.reverting import reverting_commit
from tests.git.conftest import AGENT, AT, COMMITTER

LOG = "# Changes\n\nnewest first\n"


def brought(repository, hub, files, *, on):
    commit = repository.commit(files, on=on)
    hub.import_commit(repository.root, commit)
    return commit


def stacked(hub, base, heads, union):
    return hub.stack(base, [Piece(head, "m\n", AGENT, COMMITTER, AT, union) for head in heads])


@pytest.fixture
def log(repository, hub):
    return brought(repository, hub, {"CHANGES.md": LOG, "notes/a.md": "a\n", "code.py": "x = 1\n"}, on=None)


def both(repository, hub, log, path, one, other):
    return [brought(repository, hub, {path: text}, on=log) for text in (one, other)]


@pytest.mark.parametrize(("path", "union"), [("CHANGES.md", ("CHANGES.md",)), ("notes/a.md", ("notes/",))])
def test_both_additions_are_kept_in_files_that_only_grow(repository, hub, log, path, union):
    before = hub.read_file(log, path).decode()
    heads = both(repository, hub, log, path, f"{before}- one\n", f"{before}- two\n- three\n")
    first, second = stacked(hub, log, heads, union)
    assert isinstance(second, Candidate)
    assert (first.united, second.united) == ((), (path,))
    assert hub.read_file(second.commit, path).decode() == f"{before}- one\n- two\n- three\n"
    assert not [loss for head in heads for loss in hub.losses(log, head, second.tree)]
    assert set(hub.list_files(second.commit)) == set(hub.list_files(log))


def test_a_new_file_that_both_begin_is_united_too(repository, hub, log):
    heads = both(repository, hub, log, "notes/new.md", "one\n", "two\n")
    *_, second = stacked(hub, log, heads, ("notes/",))
    assert hub.read_file(second.commit, "notes/new.md").decode().splitlines() == ["one", "two"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (f"{LOG}- one\n", "# Changes\n\nmine first\n- two\n"),
        (f"{LOG}- one\n", None),
        (f"{LOG}- one\n", b"\0binary"),
        (f"{LOG}- one\n", f"{LOG}- two\n" + "- more\n" * 700_000),
    ],
    ids=["a line replaced", "the file taken away", "no text", "over 4 MiB"],
)
def test_what_takes_a_line_away_or_cannot_be_looked_into_conflicts_as_ever(repository, hub, log, one, other):
    heads = both(repository, hub, log, "CHANGES.md", one, other)
    _, second = stacked(hub, log, heads, ("CHANGES.md",))
    assert isinstance(second, Conflicted)
    assert second.paths == ("CHANGES.md",)


def united(hub, ours, theirs, union=(), generated=()):
    return hub.united(ours, theirs, hub.conflicts(ours, theirs), union=union, generated=generated)


@pytest.mark.parametrize(
    ("ours", "theirs", "kept"),
    [
        ("x = 2\n", "x = 3\n", b"x = 2\n"),
        (b"\0two", b"\0three", b"\0two"),
        ("x = 2\n", None, b"x = 2\n"),
        (None, "x = 3\n", None),
        ("x = 2\n", "x = 3\n" * 1_000_000, b"x = 2\n"),
    ],
    ids=["text", "no text", "theirs is gone", "ours is gone", "theirs is large"],
)
def test_of_a_generated_file_ours_is_kept_and_the_rest_is_merged(repository, hub, log, ours, theirs, kept):
    heads = [
        brought(repository, hub, {"code.py": text, "CHANGES.md": f"{LOG}- {name}\n", f"{name}.py": "y\n"}, on=log)
        for name, text in (("one", ours), ("two", theirs))
    ]
    assert united(hub, *heads, generated=("code.py",)) is None
    tree = united(hub, *heads, union=("CHANGES.md",), generated=("code.py",))
    found = {path: hub.read_file(tree, path) for path in ("code.py", "CHANGES.md", "one.py", "two.py")}
    assert found == {
        "code.py": kept,
        "CHANGES.md": f"{LOG}- one\n- two\n".encode(),
        "one.py": b"y\n",
        "two.py": b"y\n",
    }


def test_generated_files_in_a_folder_that_both_begin(repository, hub, log):
    heads = both(repository, hub, log, "made/out.txt", "one\n", "two\n")
    tree = united(hub, *heads, generated=("made/",))
    assert hub.read_file(tree, "made/out.txt") == b"one\n"


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [({"made/x": "file\n"}, {"made/x/y": "below\n"}), ({"made/x/y": "below\n"}, {"made/x": "file\n"})],
    ids=["theirs is a folder", "ours is a folder"],
)
def test_a_folder_in_the_place_of_a_generated_file_is_a_conflict(repository, hub, log, ours, theirs):
    """Git names a path then that neither side has: it would have landed."""
    heads = [brought(repository, hub, files, on=log) for files in (ours, theirs)]
    assert any("~" in path for path in hub.conflicts(*heads))
    assert united(hub, *heads, generated=("made/",)) is None


def test_one_file_that_is_not_named_makes_it_a_conflict(repository, hub, log):
    one = brought(repository, hub, {"CHANGES.md": f"{LOG}- one\n", "code.py": "x = 2\n"}, on=log)
    other = brought(repository, hub, {"CHANGES.md": f"{LOG}- two\n", "code.py": "x = 3\n"}, on=log)
    _, second = stacked(hub, log, [one, other], ("CHANGES.md",))
    assert isinstance(second, Conflicted)


def test_what_was_lost_is_told_line_by_line(repository, hub, log):
    head = brought(repository, hub, {"CHANGES.md": f"{LOG}- one\n- two\n", "code.py": "x = 2\n"}, on=log)
    later = brought(repository, hub, {"CHANGES.md": f"{LOG}- two\n", "code.py": "x = 1\n"}, on=head)
    assert hub.losses(log, head, hub.tree_of(later)) == (Loss("CHANGES.md", ("- one",)), Loss("code.py", ("x = 2",)))
    assert hub.kept_lines(log, head, hub.tree_of(later)) == ("CHANGES.md", "code.py")


def test_a_commit_is_taken_back_without_what_came_after_it(repository, hub, log):
    landed = brought(repository, hub, {"code.py": "x = 1\ny = 2\n", "new.py": "n\n"}, on=log)
    later = brought(repository, hub, {"notes/a.md": "a\nb\n"}, on=landed)
    back = reverting_commit(hub, landed)
    assert back == reverting_commit(hub, landed)
    tree = hub.merge(later, back).tree
    assert hub.read_file(tree, "code.py") == b"x = 1\n"
    assert hub.read_file(tree, "new.py") is None
    assert hub.read_file(tree, "notes/a.md") == b"a\nb\n"


def test_both_sides_of_a_conflict_are_in_one_tree(repository, hub, log):
    ours, theirs = both(repository, hub, log, "code.py", "x = 2\n", "x = 3\n")
    text = hub.read_file(hub.merge_marked(ours, theirs), "code.py").decode()
    assert text == f"<<<<<<< {ours}\nx = 2\n=======\nx = 3\n>>>>>>> {theirs}\n"
