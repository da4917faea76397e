"""What every part of a transaction shares: its connection, the clock, the ids, and which swarms it touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import NotFoundError
from swarmworks.store.archive import NOWHERE

if TYPE_CHECKING:
    from swarmworks.base.clock import Clock
    from swarmworks.base.ids import IdSource, SwarmId
    from swarmworks.store.archive import Archives
    from swarmworks.store.connection import Connection, Row


class Scope:
    def __init__(self, db: Connection, clock: Clock, ids: IdSource, archives: Archives = NOWHERE) -> None:
        self.db = db
        self.archives = archives
        self.clock = clock
        self.ids = ids
        self.touched: set[SwarmId] = set()

    def now(self) -> str:
        return self.clock.now().isoformat()


def found(row: Row | None, kind: str, name: str) -> Row:
    if row is None:
        raise NotFoundError(f"no such {kind}", where=name, mend=f"look at the list for the ids of each {kind} there is")
    return row
