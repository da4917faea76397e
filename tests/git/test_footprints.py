"""Which changes conflict, foretold from the lines they touch, held against what git's own merge says."""

from __future__ import annotations

import random

import pytest

from swarmworks.base.errors import GitError
from swarmworks.git.footprints import overlapping, read_patch
from swarmworks.git.protocol import Candidate, Piece
from tests.git.conftest import AGENT, AT, COMMITTER

LINES = [f"line {number}" for number in range(32)]


def text(lines):
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture
def branch(repository, hub):
    commit = repository.commit({"a.txt": text(LINES), "b.txt": text(LINES), "c.bin": b"\0\1\2"})
    hub.import_commit(repository.root, commit)
    return commit


def brought(repository, hub, files, *, on):
    commit = repository.commit(files, on=on)
    hub.import_commit(repository.root, commit)
    return commit


def edited(rng, serial):
    """One of the things that changes do to a file: lines replaced, taken out, put in; other lines moved by it."""
    lines, at, count = list(LINES), rng.randrange(32), rng.choice([1, 1, 2, 5])
    match rng.randrange(3):
        case 0:
            lines[at : at + count] = [f"changed {serial} {n}" for n in range(count)]
        case 1:
            del lines[at : at + count]
        case _:
            lines[at:at] = [f"new {serial} {n}" for n in range(count)]
    return text(lines)


def conflict(hub, head, one, other):
    pieces = [Piece(commit, "m\n", AGENT, COMMITTER, AT) for commit in (one, other)]
    return not isinstance(hub.stack(head, pieces)[1], Candidate)


def test_what_is_foretold_is_what_merging_shows(repository, hub, branch):
    rng = random.Random(7)
    later = brought(repository, hub, {"a.txt": text(["first", *LINES]), "d.txt": "d\n"}, on=branch)
    changes = [
        brought(repository, hub, {rng.choice(["a.txt", "b.txt"]): edited(rng, number)}, on=branch)
        for number in range(14)
    ]
    changes += [brought(repository, hub, {"e.txt": f"{n}\n"}, on=branch) for n in range(2)]
    changes += [brought(repository, hub, {"c.bin": bytes([0, n])}, on=branch) for n in range(2)]
    changes += [brought(repository, hub, {"b.txt": None}, on=branch)]
    places = {commit: hub.footprint(later, commit) for commit in changes}
    assert all(places.values())
    foretold, shown = set(), set()
    for number, one in enumerate(changes):
        for other in changes[number + 1 :]:
            pair = frozenset((one, other))
            foretold |= {pair} if overlapping(places[one], {other: places[other]}) else set()
            shown |= {pair} if conflict(hub, later, one, other) else set()
    assert shown <= foretold
    assert len(shown) > 10
    assert len(foretold - shown) <= len(shown) // 10


def test_lines_of_a_file_that_look_like_headers_are_no_headers(repository, hub, branch):
    nasty = "-- a/a.txt\n@@ -1,2 +3,4 @@\ndiff --git a/x b/x\nnew file\nBinary files\n"
    made = hub.footprint(
        branch, brought(repository, hub, {"a.txt": text(LINES[:30]) + nasty + text(LINES[30:])}, on=branch)
    )
    assert made == {b"diff --git a/a.txt b/a.txt": ((30, 30),)}
    taken = read_patch(
        b"diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -3,2 +2,0 @@\n--- a\n-@@ -9 +9 @@\n@@ -9 +7 @@\n-a\n+b\n"
    )
    assert taken == {b"diff --git a/x b/x": ((2, 4), (8, 9))}


def test_one_that_conflicts_with_the_branch_has_no_places(repository, hub, branch):
    landed = brought(repository, hub, {"a.txt": text(["x", *LINES[1:]])}, on=branch)
    theirs = brought(repository, hub, {"a.txt": text(["y", *LINES[1:]])}, on=branch)
    assert hub.footprint(landed, theirs) is None
    assert hub.touched(branch, landed) == {b"diff --git a/a.txt b/a.txt"}


def test_what_git_does_not_say_is_not_taken_for_nothing(repository, hub, branch, monkeypatch):
    landed = brought(repository, hub, {"a.txt": "x\n"}, on=branch)
    monkeypatch.setattr(hub.persistent, "patch", lambda _old, _new: None)
    with pytest.raises(GitError):
        hub.touched(branch, landed)
