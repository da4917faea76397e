"""A database and the hub of its project belong together: what one says of commits and landings is true of the other only.

A control plane of another folder, or of another machine, would finish landings and run chores against the wrong repository.
"""

from __future__ import annotations

from swarmworks.base.errors import ConflictError
from swarmworks.store.protocol import Reader, Store, Tx

KEY = "hub"
_TURN = "hub begun"
_MEND_SERVER = "name another database, or start in the folder it was begun in"
_MEND_FILE = "bring back the hub.git that lay beside it, or move both away to begin anew"


async def begin_in(store: Store, hub_id: str, hub: str, *, alone: bool) -> None:
    """The first control plane that does work says whose the database is; ConflictError for one of another hub. `alone`: the
    database is a file beside the hub, the path of which is `hub`.
    """

    def step(tx: Tx) -> None:
        if tx.blob(KEY) is None:
            tx.put_blob(_TURN, b"")  # of two that begin at once the second waits here, and sees the first's
        if tx.blob(KEY) is None:
            tx.put_blob(KEY, hub_id.encode())
        _compare(tx, hub_id, hub, alone=alone)

    await store.transact(step)


async def look_in(store: Store, hub_id: str, hub: str, *, alone: bool) -> None:
    """As `begin_in`, for who only looks: a database that is nobody's yet stays so."""
    await store.read(lambda reader: _compare(reader, hub_id, hub, alone=alone))


def _compare(reader: Reader, hub_id: str, hub: str, *, alone: bool) -> None:
    if reader.blob(KEY) not in (None, hub_id.encode()):
        raise ConflictError(
            "this database belongs to another project's repository",
            where=hub,
            mend=_MEND_FILE if alone else _MEND_SERVER,
        )
