"""Which of the changes that wait cannot be merged with each other: known before they are put into one candidate."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from swarmworks.base.errors import GitError, LimitReachedError
from swarmworks.domain.change import Change
from swarmworks.git.footprints import overlapping
from swarmworks.git.protocol import Footprint, Hub

log = logging.getLogger(__name__)


class Conflicts:
    """Of one swarm's queue. Everything in it can be found out again; a change is looked at anew when something landed in a file it
    touches, for that moves its places.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._head: str | None = None
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
        if head != self._head:
            self._forget_moved(head)
            self._head = head
        names = {change.id for change in waiting}
        for gone in self._places.keys() - names:
            self._forget(gone)
        for change in waiting:
            if change.id not in self._places:
                self._places[change.id] = self._look(head, change)
                found = overlapping(self._places[change.id], {n: p for n, p in self._places.items() if n != change.id})
                self._edges[change.id] = set(found)
                for other in found:
                    self._edges.setdefault(other, set()).add(change.id)
        self._known = {name: set(others) for name, others in self._edges.items() if others}

    def _look(self, head: str, change: Change) -> Footprint:
        """Empty where nothing can be said: then merging has to show it."""
        try:
            return self._hub.footprint(head, change.head) or {}
        except (GitError, LimitReachedError) as error:
            log.warning("where %s touches the branch cannot be seen: %s", change.id, error)
            return {}

    def _forget_moved(self, head: str) -> None:
        touched = set[bytes]()
        if self._head is not None:
            touched = set(self._hub.touched(self._head, head))
        for name in [name for name, places in self._places.items() if not places or touched & places.keys()]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        self._places.pop(name, None)
        for other in self._edges.pop(name, set()):
            self._edges.get(other, set()).discard(name)
