"""A database as a session is offered it: real clients at the sandbox's listener, a real server behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import struct
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import psycopg
import pytest

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import UsageError
from swarmworks.worker.databases import messages
from swarmworks.worker.databases.address import parse
from swarmworks.worker.databases.proxy import DatabaseProxy, Offered, _pump
from swarmworks.worker.egress import Egress
from swarmworks.worker.gateways import Gateways
from swarmworks.worker.relay import Exits, Relay
from tests.postgres import NO_LARGE_OBJECTS, NOBODY, Server, needs_postgres
from tests.worker.test_relay import listener

pytestmark = needs_postgres
CERTIFICATE = Path(__file__).parents[1] / "notify" / "localhost.pem"
SECRET = "of-the-session"
RULES = """
hostssl all scrambled 127.0.0.1/32 scram-sha-256
host all scrambled 127.0.0.1/32 reject
host all hashed 127.0.0.1/32 md5
host all spoken 127.0.0.1/32 password
"""
ROLES = """
CREATE ROLE reader LOGIN;
CREATE ROLE scrambled LOGIN PASSWORD 'pass, w=ord';
SET password_encryption = 'md5';
CREATE ROLE hashed LOGIN PASSWORD 'word';
CREATE ROLE spoken LOGIN PASSWORD 'word';
CREATE TABLE item (id serial PRIMARY KEY, name text);
INSERT INTO item (name) VALUES ('lamp');
GRANT SELECT ON item TO reader, scrambled, hashed, spoken;
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Not in a folder of pytest's: those are private, and a database server does not run as root."""
    with tempfile.TemporaryDirectory(prefix="swarm-pg-", ignore_cleanup_errors=True) as folder:
        yield from _served(Path(folder))


def _served(folder):
    keys = folder / "server.pem"
    shutil.copy(CERTIFICATE, keys)
    keys.chmod(0o600)
    if os.getuid() == 0:
        os.chown(keys, NOBODY, NOBODY)
    made = Server(folder, ssl="on", ssl_cert_file=str(keys), ssl_key_file=str(keys))
    rules = folder / "data" / "pg_hba.conf"
    rules.write_text(RULES + rules.read_text())
    made.start()
    with psycopg.connect(f"{made.address}/postgres", autocommit=True) as connection:
        connection.execute(ROLES + NO_LARGE_OBJECTS)
    yield made
    made.stop()


@pytest.fixture
def owner(server):
    with psycopg.connect(f"{server.address}/postgres", autocommit=True) as connection:
        yield connection


@asynccontextmanager
async def offered(server, *, user="reader", password="", query="", timeout_s=30.0):
    """The port of a session's listener, and what is put on record."""
    word = f":{password}" if password else ""
    address = parse(f"postgresql://{user}{word}@127.0.0.1:{server.port}/postgres{query}", "SHOP_URL")
    said = []
    databases = DatabaseProxy([Offered("shop", address, "SHOP_URL", SECRET, timeout_s)], said.append)
    inside = listener()
    found = Gateways(SystemClock(), lambda: "")
    relay = Relay(inside, found, Exits(Egress((), said.append), databases), lambda: None)
    await relay.start()
    try:
        yield inside.getsockname()[1], said
    finally:
        await relay.close()


async def ask(port, *queries, user="shop", password=SECRET):
    async with await psycopg.AsyncConnection.connect(
        f"host=127.0.0.1 port={port} user={user} dbname=whatever password={password}", autocommit=True
    ) as connection:
        found = None
        for query in queries:
            cursor = await connection.execute(query)
            found = await cursor.fetchall() if cursor.description else None
        return found


async def test_an_agent_reads_as_the_role_of_the_project_in_the_database_of_the_project(server):
    async with offered(server) as (port, said):
        assert await ask(port, "SELECT name, current_user, current_database() FROM item") == [
            ("lamp", "reader", "postgres")
        ]
        assert await ask(port, "SELECT 1") == [(1,)]
    assert [(row.to, row.verdict) for row in said] == [("database shop", "allowed")] * 2


async def test_it_writes_nothing_even_when_it_says_that_it_may(server):
    async with offered(server) as (port, _said):
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            await ask(port, "CREATE TEMP TABLE t (id int)")
        large = (
            "SELECT lo_create(0)",
            "SELECT lo_creat(-1)",
            "SELECT lo_from_bytea(0, 'x')",
            "SELECT lo_put(1, 0, 'x')",
        )
        for write in ("INSERT INTO item (name) VALUES ('x')", "DELETE FROM item", "DROP TABLE item", *large):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await ask(port, "SET default_transaction_read_only = off", write)


async def test_a_statement_that_takes_too_long_is_ended(server):
    async with offered(server, timeout_s=0.05) as (port, _said):
        with pytest.raises(psycopg.errors.QueryCanceled):
            await ask(port, "SELECT pg_sleep(30)")


@pytest.mark.parametrize(
    ("grant", "undo", "why"),
    [
        ("ALTER ROLE reader SUPERUSER", "ALTER ROLE reader NOSUPERUSER", "reader is a superuser"),
        ("ALTER ROLE reader CREATEDB", "ALTER ROLE reader NOCREATEDB", "may make databases"),
        ("ALTER ROLE reader CREATEROLE", "ALTER ROLE reader NOCREATEROLE", "may make roles"),
        ("GRANT INSERT ON item TO reader", "REVOKE INSERT ON item FROM reader", "reader may write public.item"),
        ("GRANT UPDATE (name) ON item TO reader", "REVOKE UPDATE (name) ON item FROM reader", "may write public.item"),
        ("GRANT DELETE ON item TO PUBLIC", "REVOKE DELETE ON item FROM PUBLIC", "may write public.item"),
        ("GRANT USAGE ON item_id_seq TO reader", "REVOKE USAGE ON item_id_seq FROM reader", "may advance"),
        ("GRANT CREATE ON SCHEMA public TO reader", "REVOKE CREATE ON SCHEMA public FROM reader", "the schema public"),
        ("GRANT CREATE ON DATABASE postgres TO reader", "REVOKE CREATE ON DATABASE postgres FROM reader", "schemas"),
        (
            "GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
            "REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC",
            "until REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC, reader",
        ),
        (
            "GRANT EXECUTE ON FUNCTION lowrite(int, bytea), lo_put(oid, bigint, bytea) TO reader",
            "REVOKE EXECUTE ON FUNCTION lowrite(int, bytea), lo_put(oid, bigint, bytea) FROM reader",
            "reader may write large objects until REVOKE EXECUTE ON FUNCTION lo_put(oid,bigint,bytea), lowrite(integer,bytea)",
        ),
        ("GRANT pg_write_all_data TO reader", "REVOKE pg_write_all_data FROM reader", "pg_write_all_data"),
        ("GRANT pg_read_server_files TO reader", "REVOKE pg_read_server_files FROM reader", "pg_read_server_files"),
        (
            "CREATE ROLE writer; GRANT INSERT ON item TO writer; ALTER ROLE reader NOINHERIT; GRANT writer TO reader",
            "ALTER ROLE reader INHERIT; DROP OWNED BY writer; DROP ROLE writer",
            "writer may write public.item",
        ),
    ],
)
async def test_a_role_that_is_more_than_a_reader_is_not_let_in(server, owner, grant, undo, why):
    owner.execute(grant)
    try:
        async with offered(server) as (port, said):
            with pytest.raises(psycopg.OperationalError, match="is not offered: its role is more than a reader"):
                await ask(port, "SELECT 1")
    finally:
        owner.execute(undo)
    (row,) = said
    assert row.verdict == "refused"
    assert why in row.reason
    assert row.reason.endswith("mend: name one in SHOP_URL that may only SELECT")


@pytest.mark.parametrize(
    ("user", "password", "query"),
    [
        ("scrambled", "pass%2C%20w%3Dord", "?sslmode=require"),
        ("scrambled", "pass%2C%20w%3Dord", ""),
        ("hashed", "word", "?sslmode=disable"),
        ("spoken", "word", "?sslmode=disable"),
    ],
)
async def test_the_worker_proves_who_it_is_in_every_way_a_server_asks(server, user, password, query):
    async with offered(server, user=user, password=password, query=query) as (port, _said):
        assert await ask(port, "SELECT current_user") == [(user,)]


@pytest.mark.parametrize(
    ("user", "query", "says"),
    [
        ("scrambled", "?sslmode=require", "does not let this role in"),
        ("scrambled", "?sslmode=disable", "does not let this role in"),
        ("scrambled", "?sslmode=verify-full", "does not answer"),
        ("nobody_of_that_name", "", "does not let this role in"),
    ],
)
async def test_whoever_cannot_be_let_in_is_told_so_and_no_more(server, user, query, says):
    async with offered(server, user=user, password="wrong", query=query) as (port, said):
        with pytest.raises(psycopg.OperationalError) as refused:
            await ask(port, "SELECT 1")
    assert says in str(refused.value)
    assert str(server.port) not in str(refused.value)
    assert "wrong" not in f"{refused.value}{said}"


async def test_a_server_that_hangs_up_does_not_answer():
    async def gone(reader, writer):
        await reader.readexactly(8)
        writer.close()

    line = await asyncio.start_server(gone, "127.0.0.1", 0)
    port = line.sockets[0].getsockname()[1]
    async with line, offered(SimpleNamespace(port=port), query="?sslmode=require") as (port, _said):
        with pytest.raises(psycopg.OperationalError, match="does not answer"):
            await ask(port, "SELECT 1")


async def test_what_another_puts_between_before_the_encryption_does_not_count(server):
    async def between(reader, writer):
        theirs, to_them = await asyncio.open_connection("127.0.0.1", server.port)
        to_them.write(await reader.readexactly(8))
        injected = messages.message(b"E", b"SFATAL\0Mlet in by whoever listens\0\0")
        writer.write(await theirs.readexactly(1) + injected)
        await asyncio.gather(_pump(reader, to_them), _pump(theirs, writer), return_exceptions=True)

    line = await asyncio.start_server(between, "127.0.0.1", 0)
    port = line.sockets[0].getsockname()[1]
    async with line, offered(SimpleNamespace(port=port), query="?sslmode=require") as (port, said):
        with pytest.raises(psycopg.OperationalError, match="does not answer"):
            await ask(port, "SELECT 1")
    assert said[0].verdict == "refused"


@pytest.mark.parametrize(
    ("user", "password", "says"),
    [
        ("shop", "wrong", "the password is not the one in SWARM_DATABASE_SHOP"),
        ("reader", SECRET, "this role is offered shop"),
        ("postgres", SECRET, "this role is offered shop"),
    ],
)
async def test_whoever_has_not_what_the_session_was_given_is_kept_out_and_it_is_on_record(server, user, password, says):
    async with offered(server) as (port, said):
        with pytest.raises(psycopg.OperationalError, match=says):
            await ask(port, "SELECT 1", user=user, password=password)
    (row,) = said
    assert (row.to, row.verdict) == (f"database {user}", "refused")
    assert says in row.reason


async def test_it_becomes_nobody_else(server, owner):
    owner.execute("CREATE ROLE stranger; GRANT SELECT ON item TO stranger")
    try:
        async with offered(server) as (port, _said):
            for become in ("SET ROLE stranger", "SET SESSION AUTHORIZATION stranger", "SET ROLE swarm"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await ask(port, become)
    finally:
        owner.execute("DROP OWNED BY stranger; DROP ROLE stranger")


async def test_connections_are_bounded_and_end_with_the_session(server):
    async with offered(server) as (port, _said):
        where = f"host=127.0.0.1 port={port} user=shop dbname=x password={SECRET}"
        held = [await psycopg.AsyncConnection.connect(where) for _ in range(8)]
        with pytest.raises(psycopg.OperationalError, match="8 connections to databases open"):
            await ask(port, "SELECT 1")
        await held.pop().close()
    for connection in held:
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")
        await connection.close()


async def test_what_speaks_something_else_is_left_alone(server):
    async with offered(server) as (port, _said):
        for garbage in (
            struct.pack("!ii", 16, messages.CANCEL_REQUEST) + b"x" * 8,
            struct.pack("!i", 1 << 20),
            b"\0" * 8,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            async with asyncio.timeout(10):
                assert await reader.read() == b""
            writer.close()
        assert await ask(port, "SELECT 1") == [(1,)]


def test_a_server_that_does_not_know_the_password_proves_nothing():
    scram = messages.Scram("word", nonce="rOprNGfwEbeRWgbNEkqO")
    challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    scram.final(challenge)
    scram.check(b"v=AAAA")
    assert not scram.proved
    for wrong in (
        b"r=other,s=W22Z,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=W22Z,i=4096",
        challenge.replace(b"4096", b"99999999"),
    ):
        with pytest.raises(messages.ProtocolError):
            messages.Scram("word", nonce="rOprNGfwEbeRWgbNEkqO").final(wrong)


@pytest.mark.parametrize("text", ["mysql://a@b/c", "postgresql://host/db", "postgresql://u:secret@h1,h2/db", "x=y"])
def test_an_address_that_cannot_be_used_is_refused_without_its_password(text):
    with pytest.raises(UsageError) as error:
        parse(text, "SHOP_URL")
    assert "secret" not in str(error.value)
    assert "SHOP_URL" in str(error.value)
