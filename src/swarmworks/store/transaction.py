"""All of the protocol, put together: what a snapshot can be asked, and what a transaction can do."""

from __future__ import annotations

from swarmworks.store.changes import ChangeReads, ChangeWrites
from swarmworks.store.claims import SessionReads, SessionWrites
from swarmworks.store.events import EventReads, EventWrites
from swarmworks.store.ledger import LedgerReads
from swarmworks.store.swarms import SwarmReads, SwarmWrites
from swarmworks.store.workers import WorkReads


class SqlReader(SwarmReads, SessionReads, WorkReads, ChangeReads, EventReads, LedgerReads):
    """A `Reader` on any `Connection` that is inside a transaction."""


class SqlTx(SwarmWrites, SessionWrites, ChangeWrites, EventWrites):
    """A `Tx` on any `Connection` that is inside a writing transaction."""
