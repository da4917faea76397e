"""What must hold between the rows, whatever the code does: the ledger's sums, the events' chains, and nothing that belongs
to nobody. The CHECKs of the tables hold what one row can say; these need several. Any `Connection` in a snapshot will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.findings import Check, Finding
from swarmworks.domain.event import first_break
from swarmworks.store.connection import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swarmworks.base.ids import SwarmId
    from swarmworks.domain.event import Event
    from swarmworks.store.connection import Connection
    from swarmworks.store.protocol import Reader

_SQL = load("checking")
_PAGE = 5_000
_NAMED = 3
_LEDGER = {
    "held": "holds another sum than its open reservations",
    "spent": "has another sum spent than what was settled in it",
    "allocated": "has another sum handed down than its children have",
    "entries": "has a history that does not add up to its reservations",
}
_ORPHANS = {
    "work_of_nobody": "work leased to a worker that is not registered",
    "sessions_of_nobody": "sessions under way at a worker that is not registered",
    "running_without_session": "tasks running without a session",
    "waiting_wrongly": "tasks that wait for another number of tasks than they need",
    "miscounted": "swarms whose tasks are counted wrongly",
    "files_held_for_nothing": "files held by a task that is not at work",
}
_MEND = "restore a backup, and keep this database aside: no way of using swarm leads here"


def check_rows(db: Connection, reader: Reader | None) -> Iterator[Check]:
    """With a `reader` on the same snapshot every event is read, the archived ones too."""
    yield _ledger(db)
    yield _orphans(db)
    if reader is not None:
        yield _chains(reader)


def _ledger(db: Connection) -> Check:
    wrong = [f"{_named(found)} {what}" for name, what in _LEDGER.items() if (found := _subjects(db, name))]
    if wrong:
        return Check("ledger", Finding.LACKING, "; ".join(wrong), _MEND)
    row = db.row(_SQL["accounts"])
    return Check("ledger", Finding.OK, f"the sums of {row['rows'] if row else 0:,} accounts hold")


def _orphans(db: Connection) -> Check:
    wrong = [f"{what}: {_named(found)}" for name, what in _ORPHANS.items() if (found := _subjects(db, name))]
    if wrong:
        return Check("rows", Finding.LACKING, "; ".join(wrong), _MEND)
    if found := _subjects(db, "calls_of_nobody"):
        what = f"model calls of a control plane that is gone: {_named(found)}"
        return Check("rows", Finding.NOTE, what, "one that runs charges them in full, within seconds")
    return Check("rows", Finding.OK, "each belongs to something")


def _chains(reader: Reader) -> Check:
    broken: list[str] = []
    swarms = [swarm.id for swarm in reader.swarms()]
    count = 0
    for swarm_id in swarms:
        chain = _Counted(_events(reader, swarm_id))
        try:
            at = first_break(chain)
        except StoreUnavailableError as error:
            return Check("events", Finding.LACKING, f"{error.where}: {error.what}", error.mend)
        count += chain.count
        if at is not None:
            broken.append(f"{swarm_id} at event {at}")
    if broken:
        return Check("events", Finding.LACKING, f"the chain is broken: {_named(broken)}", _MEND)
    return Check("events", Finding.OK, f"{count:,} in the chains of {len(swarms):,} swarms, intact")


class _Counted:
    def __init__(self, events: Iterator[Event]) -> None:
        self._events, self.count = events, 0

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            self.count += 1
            yield event


def _events(reader: Reader, swarm_id: SwarmId) -> Iterator[Event]:
    after = 0
    while page := reader.events(swarm_id, after=after, limit=_PAGE):
        yield from page
        after = page[-1].seq


def _subjects(db: Connection, name: str) -> list[str]:
    return [str(row["subject"]) for row in db.rows(_SQL[name])]


def _named(subjects: list[str]) -> str:
    rest = len(subjects) - _NAMED
    return ", ".join(subjects[:_NAMED]) + (f" and {rest:,} more" if rest > 0 else "")
