"""All of the protocol, put together: what a snapshot can be asked, and what a transaction can do."""

from __future__ import annotations

from swarmworks.store.changes import ChangeReads, ChangeWrites
from swarmworks.store.claims import SessionReads, SessionWrites
from swarmworks.store.events import EventReads, EventWrites
from swarmworks.store.health import HealthReads, HealthWrites
from swarmworks.store.ledger_reads import LedgerReads
from swarmworks.store.mail import MailReads, MailWrites
from swarmworks.store.people import PeopleReads, PeopleWrites
from swarmworks.store.prices import PriceReads, PriceWrites
from swarmworks.store.queue import QueueReads, QueueWrites
from swarmworks.store.replicas import ReplicaReads, ReplicaWrites
from swarmworks.store.secrets import SecretReads, SecretWrites
from swarmworks.store.stops import StopReads, StopWrites
from swarmworks.store.swarms import SwarmReads, SwarmWrites
from swarmworks.store.takeovers import TakeoverReads, TakeoverWrites
from swarmworks.store.workers import WorkReads


class SqlReader(
    SwarmReads,
    SessionReads,
    WorkReads,
    ChangeReads,
    QueueReads,
    HealthReads,
    PeopleReads,
    EventReads,
    LedgerReads,
    ReplicaReads,
    PriceReads,
    SecretReads,
    StopReads,
    MailReads,
    TakeoverReads,
):
    """A `Reader` on any `Connection` that is inside a transaction."""


class SqlTx(
    SwarmWrites,
    SessionWrites,
    ChangeWrites,
    QueueWrites,
    HealthWrites,
    PeopleWrites,
    EventWrites,
    ReplicaWrites,
    StopWrites,
    PriceWrites,
    SecretWrites,
    MailWrites,
    TakeoverWrites,
):
    """A `Tx` on any `Connection` that is inside a writing transaction."""
