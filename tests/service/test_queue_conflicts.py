"""What is known of the changes that wait, when the branch moves and git cannot say by what."""

from __future__ import annotations

import pytest

from swarmworks.base.errors import GitError, LimitReachedError
from swarmworks.service.queue_conflicts import Conflicts


class Unreadable:
    """A hub that sees changes, and not what moved on the branch."""

    def __init__(self, error):
        self.looked = []
        self._error = error

    def footprint(self, head, commit):
        self.looked.append((head, commit))
        return {b"a.txt": ((1, 1),)}

    def touched(self, _old, _new):
        raise self._error


@pytest.mark.parametrize("error", [GitError("a broken object"), LimitReachedError("too large")])
def test_all_are_looked_at_anew_when_what_moved_cannot_be_seen(error):
    hub = Unreadable(error)
    known = Conflicts(hub)
    waiting = {"one": "c1", "two": "c2"}
    known.survey_commits("h1", waiting)
    known.survey_commits("h2", waiting)
    assert hub.looked == [(head, commit) for head in ("h1", "h2") for commit in ("c1", "c2")]
    assert known.edges() == {"one": {"two"}, "two": {"one"}}
