"""Which of the changes that wait cannot be merged with each other: known before they are put into one candidate."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence

from swarmworks.base.errors import GitError, LimitReachedError
from swarmworks.domain.change import Change
from swarmworks.git.footprints import overlapping, shared
from swarmworks.git.protocol import Footprint, Hub

log = logging.getLogger(__name__)


class Conflicts:
    """Of one swarm's queue. Everything in it can be found out again; a change is looked at anew when something landed in a file it
    touches, for that moves its places.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._head: str | None = None
        self._commits: dict[str, str] = {}
        self._places: dict[str, Footprint] = {}
        self._edges: dict[str, set[str]] = {}
        self._known: dict[str, set[str]] = {}  # the edges as the last look left them: another look may be under way
        self._tried: dict[str, set[str]] = {}

    def edges(self) -> dict[str, set[str]]:
        """By change, those it cannot be merged with."""
        known, tried = self._known, self._tried
        return {name: known.get(name, set()) | tried.get(name, set()) for name in known.keys() | tried.keys()}

    def tried(self, change: str, others: Iterable[str]) -> None:
        """Merging showed it."""
        for other in others:
            self._tried.setdefault(change, set()).add(other)
            self._tried.setdefault(other, set()).add(change)

    def survey(self, head: str, waiting: Sequence[Change]) -> None:
        """Look at what is new among `waiting`. Blocks: merges each that is."""
        self.survey_commits(head, {change.id: change.head for change in waiting})

    def survey_commits(self, head: str, commits: Mapping[str, str]) -> None:
        """The same for whatever is in flight, by name; what has another commit than before is looked at anew."""
        if head != self._head:
            self._forget_moved(head)
            self._head = head
        for gone in [name for name in self._places if commits.get(name) != self._commits[name]]:
            self._forget(gone)
        for name, commit in commits.items():
            if name not in self._places:
                self._commits[name], self._places[name] = commit, self._look(head, name, commit)
                found = overlapping(self._places[name], {n: p for n, p in self._places.items() if n != name})
                self._edges[name] = set(found)
                for other in found:
                    self._edges.setdefault(other, set()).add(name)
        self._known = {name: set(others) for name, others in self._edges.items() if others}

    def files(self, one: str, other: str) -> list[str]:
        """In which two that were surveyed touch the same places."""
        return shared(self._places.get(one, {}), self._places.get(other, {}))

    def _look(self, head: str, name: str, commit: str) -> Footprint:
        """Empty where nothing can be said: then merging has to show it."""
        try:
            return self._hub.footprint(head, commit) or {}
        except (GitError, LimitReachedError, OSError) as error:
            log.warning("where %s touches the branch cannot be seen: %s", name, error)
            return {}

    def _forget_moved(self, head: str) -> None:
        touched = set[bytes]()
        try:
            if self._head is not None:
                touched = set(self._hub.touched(self._head, head))
        except (GitError, LimitReachedError) as error:
            log.warning("what moved on the branch cannot be seen, all is looked at anew: %s", error)
            touched = {path for places in self._places.values() for path in places}
        for name in [name for name, places in self._places.items() if not places or touched & places.keys()]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._places.pop(name, None)
        for other in self._edges.pop(name, set()):
            self._edges.get(other, set()).discard(name)
