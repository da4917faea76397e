"""What a server refuses is said in words, with the mend, and never as the driver's own exception."""

import re
import threading
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import RandomIds
from swarmworks.store import postgres_errors
from swarmworks.store.postgres import CONNECTIONS, READERS, open_postgres
from swarmworks.store.postgres_connection import PostgresConnection
from swarmworks.store.postgres_errors import unavailable
from tests.postgres import a_database, needs_postgres

pytestmark = needs_postgres


async def opened(address):
    return await open_postgres(address, SystemClock(), RandomIds())


async def refusal(address):
    with pytest.raises(StoreUnavailableError) as caught:
        await opened(address)
    assert "Traceback" not in str(caught.value)
    assert "\n" not in caught.value.what
    return caught.value


@pytest.fixture
def database():
    return a_database()


def name_of(database):
    return database.rsplit("/", 1)[1]


def administer(database, *statements):
    with psycopg.connect(database, autocommit=True) as raw:
        for statement in statements:
            raw.execute(statement)


def user(database, name, options=""):
    """A role of this database's own, and the database's address for it."""
    role = f"{name}_{name_of(database)}"
    administer(database, f"CREATE ROLE {role} LOGIN {options}")
    return role, database.replace("swarm@", f"{role}@")


async def test_nobody_listens_there():
    error = await refusal("postgresql://swarm:geheim@127.0.0.1:1/x")
    assert "Connection refused" in error.what
    assert "see that the server runs" in error.mend
    assert error.where == "postgresql://swarm@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("postgresql://u@127.0.0.1:1/x?password=geheim", "postgresql://u@127.0.0.1:1/x"),
        ("postgresql://u:geheim@127.0.0.1:1,127.0.0.1:2/x", "postgresql://u@127.0.0.1:1,127.0.0.1:2/x"),
        ("postgresql://u:geheim@127.0.0.1:1/x?no_such_option=1", "postgresql://u@127.0.0.1:1/x"),
    ],
)
async def test_every_form_of_an_address_is_told_without_its_password(address, where):
    error = await refusal(address)
    assert error.where == where
    assert "geheim" not in str(error)
    with pytest.raises(StoreUnavailableError) as caught:
        PostgresConnection(address, where, SystemClock(), RandomIds(), threading.Event(), writes=False)
    assert "geheim" not in str(caught.value)


async def test_the_first_of_several_hosts_that_answers_is_used(database):
    store = await opened(database.replace("swarm@", "swarm@127.0.0.1:1,"))
    await store.transact(lambda tx: tx.put_blob("k", b"v"))
    await store.close()


async def test_no_such_host():
    error = await refusal("postgresql://swarm:geheim@no-such-host.invalid/x")
    assert "no-such-host.invalid" in error.what
    assert "see that the server runs" in error.mend


async def test_no_such_database(database):
    error = await refusal(database.replace(name_of(database), "nowhere"))
    assert '"nowhere" does not exist' in error.what
    assert error.mend == "create the database named in the store's address"


async def test_no_such_user(database):
    error = await refusal(database.replace("swarm@", "ghost@"))
    assert "check the user and the password" in error.mend


def ask_for_password(database, role):
    """Of this role only, from when this returns."""
    with psycopg.connect(database, autocommit=True) as raw:
        path, before = raw.execute("SELECT current_setting('hba_file'), pg_conf_load_time()").fetchone()
        rules = Path(path)
        rules.write_text(f"host all {role} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        raw.execute("SELECT pg_reload_conf()")
    for _ in range(1_000):
        with psycopg.connect(database) as raw:
            if raw.execute("SELECT pg_conf_load_time()").fetchone()[0] > before:
                return
    raise AssertionError("the server does not read its configuration again")


async def test_a_wrong_password_is_not_repeated(database):
    role, address = user(database, "locked", "PASSWORD 'right'")
    ask_for_password(database, role)
    error = await refusal(address.replace("@", ":geheim@"))
    assert "password authentication failed" in error.what
    assert "check the user and the password" in error.mend
    assert "geheim" not in str(error)
    error = await refusal(address)
    assert "check the user and the password" in error.mend


async def test_no_connection_left(database):
    _role, address = user(database, "few", "CONNECTION LIMIT 0")
    error = await refusal(address)
    assert "no room left" in error.mend


async def test_no_permission_to_make_the_tables(database):
    administer(database, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    _role, address = user(database, "poor")
    error = await refusal(address)
    assert "permission denied" in error.what
    assert "grant its user what is missing" in error.mend


async def test_no_permission_to_write_a_table(database):
    await (await opened(database)).close()
    role, address = user(database, "reader")
    administer(database, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    store = await opened(address)
    with pytest.raises(StoreUnavailableError, match="permission denied") as caught:
        await store.transact(lambda tx: tx.put_blob("k", b"v"))
    assert "grant" in caught.value.mend
    assert await store.read(lambda r: r.blob("k")) is None
    administer(database, f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    await store.transact(lambda tx: tx.put_blob("k", b"v"))
    await store.close()


async def test_a_server_that_takes_no_writes(database):
    await (await opened(database)).close()
    administer(database, f"ALTER DATABASE {name_of(database)} SET default_transaction_read_only = on")
    store = await opened(database)
    with pytest.raises(StoreUnavailableError, match="read-only") as caught:
        await store.transact(lambda tx: tx.put_blob("k", b"v"))
    assert "name the primary" in caught.value.mend
    await store.close()


async def test_a_table_that_is_gone(database):
    store = await opened(database)
    administer(database, "DROP TABLE blob")
    with pytest.raises(StoreUnavailableError, match="blob") as caught:
        await store.read(lambda r: r.blob("k"))
    assert "swarm store migrate" in caught.value.mend
    await store.close()


async def test_a_server_that_is_too_old(database, monkeypatch):
    monkeypatch.setattr(postgres_errors, "OLDEST", 99_00_00)
    error = await refusal(database)
    assert "too old" in error.what
    assert error.mend == "upgrade it to PostgreSQL 99 or newer"
    with psycopg.connect(database) as raw:
        assert raw.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.parametrize("refused", [errors.DiskFull, errors.OutOfMemory, errors.TooManyConnections])
def test_no_room_left(refused):
    error = unavailable(refused('could not extend file "base/1/2": No space left\nHINT: Check.'), "here")
    assert "no room left" in error.mend
    assert error.what.endswith("No space left")


async def test_a_control_plane_never_takes_more_connections_than_its_budget(database):
    """Not while it works, nor after the server has cut every one of them."""
    store = await opened(database)
    asked = "SELECT count(*), count(*) FILTER (WHERE query ~ '^LISTEN') FROM pg_stat_activity "
    asked += f"WHERE datname = '{name_of(database)}' AND pid <> pg_backend_pid()"
    most = 0
    with psycopg.connect(database, autocommit=True) as raw:
        for cut in (False, True, False):
            if cut:
                raw.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            for number in range(20):
                await store.transact(lambda tx, n=number: tx.put_blob(f"k{n}", b"v"))
                await store.read(lambda r: r.blob("k0"))
                most = max(most, raw.execute(asked).fetchone()[0])
    await store.close()
    assert READERS + 1 <= most <= CONNECTIONS


def test_the_documented_budget_is_the_real_one():
    page = (Path(__file__).parents[2] / "docs" / "store.md").read_text()
    assert re.search(rf"takes {CONNECTIONS} connections", page)
