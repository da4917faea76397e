"""Whose work a change is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from swarmworks.policy.authorship import written_by

SESSIONS = {
    name: SimpleNamespace(id=name, model=model)
    for name, model in (("a", "m"), ("x", "none"), ("y", "none"), ("b", "m"))
}


def changes(*sessions):
    return [SimpleNamespace(id=f"chg_{number}", session_id=session) for number, session in enumerate(sessions)]


@pytest.mark.parametrize(
    ("sessions", "kind", "writer"),
    [
        ("a", "endpoint", "a"),
        ("ax", "endpoint", "a"),
        ("abxy", "endpoint", "b"),
        ("x", "endpoint", "x"),
        ("ax", "command", "x"),
    ],
)
def test_it_is_the_last_ones_who_thought_about_it(sessions, kind, writer):
    all_of_it = changes(*sessions)
    assert written_by(all_of_it[-1], all_of_it, SESSIONS.__getitem__, kind).id == writer


def test_what_came_after_counts_for_nothing():
    all_of_it = changes("a", "x", "b")
    assert written_by(all_of_it[1], all_of_it, SESSIONS.__getitem__, "endpoint").id == "a"
