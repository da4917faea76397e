"""Whether a PostgreSQL server is fit to hold the state: its version, what our user may do, the connections left, its clock,
and whether notifications pass.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.findings import Check, Finding
from swarmworks.store.postgres import CONNECTIONS
from swarmworks.store.postgres_errors import refuse_old, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_CLOCK_DIFFERENCE_S = 2.0
NOTIFIED_S = 2.0
_CHANNEL = "swarm_check"
_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_TABLES_WITHOUT = """
SELECT tablename FROM pg_tables
WHERE schemaname = current_schema()
  AND NOT has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), %s) ORDER BY tablename
"""
_CONNECTIONS = """
SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS server_most,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS server_used,
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS user_most,
       (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user)::int AS user_used,
       (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_most,
       (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database())::int AS database_used
"""
_WRITES = """
SELECT pg_is_in_recovery() AS replica, current_setting('transaction_read_only') = 'on' AS read_only,
       current_setting('fsync') = 'off' OR current_setting('synchronous_commit') = 'off' AS forgetful,
       current_setting('server_encoding') AS encoding
"""

Raw = psycopg.Connection[Any]


def check_server(raw: Raw, where: str, listen_address: str, now: Callable[[], datetime]) -> Iterator[Check]:
    """`raw` is a connection in autocommit. What cannot be asked is lacking, and the next is asked all the same."""
    yield _version(raw, where)
    yield _writes(raw)
    yield _rights(raw)
    yield _connections(raw)
    yield _clock(raw, now)
    yield _notifications(raw, where, listen_address)


def _version(raw: Raw, where: str) -> Check:
    try:
        refuse_old(raw.info.server_version, where)
    except StoreUnavailableError as error:
        return Check("server", Finding.LACKING, error.what, error.mend)
    return Check("server", Finding.OK, f"PostgreSQL {raw.info.parameter_status('server_version')}")


def _writes(raw: Raw) -> Check:
    replica, read_only, forgetful, encoding = _one(raw, _WRITES)
    if replica or read_only:
        what = "a standby, which takes no writes" if replica else "read-only"
        return Check("writes", Finding.LACKING, f"the server is {what}", "name the primary in the store's address")
    if encoding != "UTF8":
        mend = "create the database with ENCODING 'UTF8' TEMPLATE template0"
        return Check("writes", Finding.LACKING, f"the database is in {encoding}, not UTF8", mend)
    if forgetful:
        mend = "switch fsync and synchronous_commit on: what was committed may be lost in a crash"
        return Check("writes", Finding.NOTE, "the server does not wait for its disk", mend)
    return Check("writes", Finding.OK, "taken, and durable when they are committed")


def _rights(raw: Raw) -> Check:
    (user, schema, makes) = _one(
        raw, "SELECT current_user, current_schema(), has_schema_privilege(current_schema(), 'CREATE')"
    )
    if schema is None:
        mend = f"as an administrator: GRANT USAGE, CREATE ON SCHEMA public TO {user}"
        return Check("permissions", Finding.LACKING, f"{user} sees no schema", mend)
    for right in _RIGHTS:
        tables = [name for (name,) in raw.execute(_TABLES_WITHOUT, [right]).fetchall()]
        if tables:
            mend = f"as an administrator: GRANT {', '.join(_RIGHTS)} ON ALL TABLES IN SCHEMA {schema} TO {user}"
            return Check("permissions", Finding.LACKING, f"{user} lacks {right} on {', '.join(tables[:3])}", mend)
    if not makes:
        mend = f"before the next upgrade, as an administrator: GRANT CREATE ON SCHEMA {schema} TO {user}"
        return Check("permissions", Finding.NOTE, f"{user} may not change schema {schema}", mend)
    return Check("permissions", Finding.OK, f"{user} may read, write and change schema {schema}")


def _connections(raw: Raw) -> Check:
    """Our own is one of those in use, and will be free again."""
    values = _one(raw, _CONNECTIONS)
    pairs = list(zip(values[::2], values[1::2], strict=True))
    left = min(most - used + 1 for most, used in pairs if most is not None and most >= 0)
    found = f"{left} left; a control plane takes {CONNECTIONS}"
    if left < CONNECTIONS:
        mend = "raise max_connections (or the user's or database's limit), or put pgbouncer before it"
        return Check("connections", Finding.LACKING, found, mend)
    return Check("connections", Finding.OK, found)


def _clock(raw: Raw, now: Callable[[], datetime]) -> Check:
    before = now()
    (there,) = _one(raw, "SELECT clock_timestamp()")
    after = now()
    here = before + (after - before) / 2
    difference_s = abs((there.astimezone(UTC) - here).total_seconds())
    found = f"{difference_s:.1f} s between the server's and this machine's"
    if difference_s > MOST_CLOCK_DIFFERENCE_S + (after - before).total_seconds():
        mend = "synchronise both (NTP): nothing is decided by it, but the times on record will look odd"
        return Check("clock", Finding.NOTE, found, mend)
    return Check("clock", Finding.OK, found)


def _notifications(raw: Raw, where: str, listen_address: str) -> Check:
    """Through a pooler in transaction mode LISTEN succeeds, and nothing is ever heard."""
    try:
        with psycopg.connect(listen_address, autocommit=True, connect_timeout=10) as ear:
            ear.execute(sql.SQL("LISTEN {}").format(sql.Identifier(_CHANNEL)))
            raw.execute("SELECT pg_notify(%s, '')", [_CHANNEL])
            heard = next(ear.notifies(timeout=NOTIFIED_S, stop_after=1), None) is not None
    except psycopg.Error as error:
        told = unavailable(error, where)
        return Check("notifications", Finding.LACKING, told.what, "correct store.listen_url: the server's own address")
    if not heard:
        mend = "name the server's own address in store.listen_url: a pooler does not pass them on"
        return Check("notifications", Finding.LACKING, "none arrived", mend)
    return Check("notifications", Finding.OK, "arrive")


def _one(raw: Raw, statement: str) -> tuple[Any, ...]:
    row = raw.execute(statement.encode()).fetchone()
    assert row is not None
    return row
