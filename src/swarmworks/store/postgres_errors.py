"""What a PostgreSQL server, or the way to it, says when it cannot be used, in words for whoever runs it."""

from __future__ import annotations

import psycopg
from psycopg import errors

from swarmworks.base.errors import StoreUnavailableError

OPERATORS = (
    psycopg.OperationalError,
    psycopg.InternalError,
    errors.InsufficientPrivilege,
    errors.UndefinedTable,
    errors.UndefinedColumn,
)
"""What is neither a caller's nor a programmer's fault."""
OLDEST = 13_00_00
_MENDS = {
    "53": "the server has no room left (disk, memory or connections): free some; nothing is half-written",
    "28": "check the user and the password of the store's address",
    "3D": "create the database named in the store's address",
    "42": "grant its user what is missing, or bring the schema to this version: swarm store migrate",
    "25": "the server takes no writes now: name the primary in the store's address",
}
"""By the SQLSTATE, or its class."""
_REFUSALS = {
    "too many connections": "53",
    "too many clients": "53",
    "connection slots are reserved": "53",
    "authentication failed": "28",
    "no password supplied": "28",
    "pg_hba.conf": "28",
    "is not permitted to log in": "28",
    'FATAL:  role "': "28",
    'FATAL:  database "': "3D",
}
"""The driver gives no SQLSTATE for a connection that was refused; these are the server's words, in English. In others the
general mend has to do.
"""


def unavailable(error: psycopg.Error, where: str) -> StoreUnavailableError:
    """What the server, or the way to it, said, with the mend for whoever runs it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    state = error.sqlstate or next((code for words, code in _REFUSALS.items() if words in str(error)), "")
    mend = _MENDS.get(state) or _MENDS.get(state[:2], "see that the server runs and can be reached, then try again")
    return StoreUnavailableError(f"the database cannot be used: {lines[0]}", where=where, mend=mend)


def refuse_old(server_version: int, where: str) -> None:
    """`server_version` as the driver tells it: 130004 is 13.4."""
    if server_version < OLDEST:
        raise StoreUnavailableError(
            f"the server is PostgreSQL {server_version // 10_000}, which is too old",
            where=where,
            mend=f"upgrade it to PostgreSQL {OLDEST // 10_000} or newer",
        )
