"""What is said to a PostgreSQL server beside the statements of `sql/`, and how those are said to it."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME = re.compile(r"(?<!:):(\w+)")
READER_SETTINGS = ("jit = off",)
WRITER_SETTINGS = ("lock_timeout = '300ms'", "idle_in_transaction_session_timeout = '2s'", "jit = off")
"""A process that is suspended in the middle must not keep the others from its swarms: its transaction is run again. A lock
is waited for shortly and then asked for again, because beats and renewals stand in the same line.
"""
BEGIN, BEGIN_SNAPSHOT = "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
LOCK_WAIT_LATER = "SET LOCAL lock_timeout = '10ms'"
HOLD = b"SELECT pg_current_xact_id()::text AS number FROM swarm WHERE id = %(swarm_id)s FOR NO KEY UPDATE"
"""A row's lock gives the transaction its number, by which the server is asked later what became of it."""
HOLD_NOW = HOLD + b" NOWAIT"
NUMBER = "SELECT pg_current_xact_id_if_assigned()::text AS number"


@functools.cache
def translated(sql: str) -> bytes:
    """`:name` as psycopg wants it, and the row locks that only a database with several writers has."""
    text = sql.replace("%", "%%").replace("/* lock */", "FOR UPDATE")
    return _NAME.sub(r"%(\1)s", text).encode()


@dataclass(frozen=True, slots=True)
class Asked:
    """`values` none: a statement of the transaction's own."""

    statement: bytes
    values: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Posted(Asked):
    """A statement that goes out with the next one whose answer is needed: a message to the server costs more than most
    statements do.
    """

    missed: Callable[[], Exception] | None = None
