"""`swarm store check`: a sound store is called sound, and each thing that can be wrong with one is found and named."""

from datetime import UTC, datetime

import psycopg
import pytest

from swarmworks.base.findings import Finding
from swarmworks.domain.event import NewEvent
from swarmworks.store import checking
from swarmworks.store.checking_server import check_server
from tests.pgbouncer import needs_pgbouncer, through_pgbouncer
from tests.postgres import needs_postgres
from tests.store.databases import OnFile, OnServer
from tests.store.filled import fill
from tests.store.sample import SWARM


@pytest.fixture(params=[OnFile, pytest.param(OnServer, marks=needs_postgres)])
async def filled(request, tmp_path):
    database = request.param(tmp_path)
    store = await database.open()
    await store.transact(fill)
    await store.close()
    return database


def lacking(checks):
    return {check.name: f"{check.found} | {check.mend}" for check in checks if check.finding is Finding.LACKING}


def found(checks, name):
    [check] = [check for check in checks if check.name == name]
    return check


async def test_a_store_in_the_middle_of_its_work_is_sound(filled):
    checks = filled.check()
    assert lacking(checks) == {}
    assert "4 in the chains of 2 swarms, intact" in found(checks, "events").found
    assert "accounts hold" in found(checks, "ledger").found
    assert "events" not in [check.name for check in filled.check(chains=False)]


async def test_a_store_that_is_open_can_be_checked(filled):
    store = await filled.open()
    await store.transact(lambda tx: tx.append(SWARM, NewEvent("x.y", "platform", {})))
    assert lacking(filled.check()) == {}
    assert found(filled.check(), "events").found.startswith("5 in")
    await store.close()


BROKEN = [
    ("UPDATE reservation SET reserved_tokens = reserved_tokens + 1 WHERE id = 'r3'", "ledger", "session ses_"),
    ("UPDATE reservation SET settled_nano_usd = settled_nano_usd - 1 WHERE id = 'r1'", "ledger", "was settled in it"),
    ("UPDATE account SET allocated_tokens = allocated_tokens - 1 WHERE kind = 'swarm' AND allocated_tokens > 0",
     "ledger", "swarm swm_1 has another sum handed down"),
    ("DELETE FROM ledger_entry WHERE number = 1", "ledger", "swm_1 has a history"),
    ("DELETE FROM worker", "rows", "work leased to a worker that is not registered"),
    ("UPDATE session SET state = 'ended', outcome = 'lost'", "rows", "running without a session: swm_1/b, swm_1/d"),
    ("UPDATE task SET waiting_on = 2 WHERE id = 'c'", "rows", "than they need: swm_1/c"),
    ("UPDATE task_count SET tasks = tasks + 1 WHERE swarm_id = 'swm_1' AND task_state = 'landed'", "rows", "counted wrongly: swm_1"),
    ("INSERT INTO file_claim (swarm_id, path, task_id) VALUES ('swm_1', 'src/c.py', 'c')", "rows", "src/c.py"),
    ("UPDATE event SET data = '{}' WHERE swarm_id = 'swm_1' AND seq = 2", "events", "swm_1 at event 2"),
    ("DELETE FROM event WHERE swarm_id = 'swm_1' AND seq = 1", "events", "swm_1 at event 2"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "name", "words"), BROKEN)
async def test_rows_that_do_not_agree_are_named(statement, name, words, filled):
    filled.execute(statement)
    wrong = lacking(filled.check())
    assert list(wrong) == [name]
    assert words in wrong[name]
    assert "restore a backup" in wrong[name]


async def test_calls_of_a_control_plane_that_is_gone_are_a_note(filled):
    filled.execute("UPDATE reservation SET replica_id = 'rpl_gone' WHERE id = 'r3'")
    check = found(filled.check(), "rows")
    assert (check.finding, "r3" in check.found) == (Finding.NOTE, True)


async def test_an_older_schema_is_a_note_and_a_newer_one_is_lacking(filled):
    filled.execute("UPDATE alembic_version SET version_num = '0002'")
    check = found(filled.check(), "schema")
    assert (check.finding, check.mend) == (Finding.NOTE, "swarm store migrate")
    filled.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "9999, newer" in lacking(filled.check())["schema"]


def test_a_file_that_is_not_there_is_a_note(tmp_path):
    [check] = OnFile(tmp_path).check()
    assert (check.finding, check.name) == (Finding.NOTE, "database")
    assert not (tmp_path / "state.db").exists()


def test_a_file_that_is_no_database_is_lacking(tmp_path):
    (tmp_path / "state.db").write_bytes(b"not a database at all " * 100)
    assert "not a database" in lacking(OnFile(tmp_path).check())["database"]


async def test_a_damaged_page_is_found(tmp_path):
    database = OnFile(tmp_path)
    store = await database.open()
    await store.transact(fill)
    await store.close()
    database.execute("PRAGMA writable_schema = ON", "DELETE FROM sqlite_master WHERE name = 'ix_task_state'")
    told = " ".join(lacking(database.check()).values())
    assert "put a backup of the file back; keep this one aside" in told
    assert "swarm restore" not in told


async def test_a_reference_to_nothing_is_found(tmp_path):
    database = OnFile(tmp_path)
    store = await database.open()
    await store.transact(fill)
    await store.close()
    database.execute("PRAGMA foreign_keys = OFF", "UPDATE review SET swarm_id = 'swm_9'")
    assert "rows of review refer" in lacking(database.check())["pages"]


@needs_postgres
class TestServer:
    @pytest.fixture
    async def database(self, tmp_path):
        database = OnServer(tmp_path)
        await (await database.open()).close()
        return database

    def as_user(self, database, name, *grants, options=""):
        """The address of the same database for a user of that name."""
        database.execute(
            f"DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
            f"ALTER ROLE {name} {options}" if options else "SELECT 1",
            *(f"GRANT {grant} TO {name}" for grant in grants),
        )
        return database.address.replace("swarm@", f"{name}@")

    def check(self, address, database, listen=None):
        return checking.check_address(address, listen, database.archive, chains=True)

    def test_a_server_that_is_fit(self, database):
        checks = database.check()
        assert [check.name for check in checks if check.finding is not Finding.OK] == []
        names = ["database", "server", "writes", "permissions", "connections", "clock", "notifications", "schema"]
        assert [check.name for check in checks] == [*names, "ledger", "rows", "events"]
        assert "PostgreSQL" in found(checks, "server").found

    def test_an_empty_database_is_a_note(self, tmp_path):
        check = found(OnServer(tmp_path).check(), "schema")
        assert (check.finding, "empty" in check.found) == (Finding.NOTE, True)

    def test_a_user_without_rights_is_told_which(self, database):
        address = self.as_user(database, "reader", "SELECT ON ALL TABLES IN SCHEMA public")
        told = lacking(self.check(address, database))["permissions"]
        assert "reader lacks INSERT on account" in told
        assert "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO reader" in told

    def test_too_few_connections_are_lacking(self, database):
        address = self.as_user(database, "few", "ALL ON ALL TABLES IN SCHEMA public", options="CONNECTION LIMIT 4")
        assert "4 left; a control plane takes 6" in lacking(self.check(address, database))["connections"]

    def test_a_database_that_takes_no_writes_is_lacking(self, database):
        name = database.address.rsplit("/", 1)[1]
        database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        assert "read-only" in lacking(database.check())["writes"]

    def test_a_server_that_does_not_wait_for_its_disk_is_a_note(self, database):
        name = database.address.rsplit("/", 1)[1]
        database.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        assert found(database.check(), "writes").finding is Finding.NOTE

    def test_a_clock_that_is_off_is_a_note(self, database):
        with psycopg.connect(database.address, autocommit=True) as raw:
            checks = list(check_server(raw, "here", database.address, lambda: datetime(2020, 1, 1, tzinfo=UTC)))
        check = found(checks, "clock")
        assert (check.finding, "NTP" in check.mend) == (Finding.NOTE, True)

    def test_nobody_answering_is_lacking(self, database):
        told = lacking(self.check("postgresql://swarm@127.0.0.1:1/x", database))["database"]
        assert "refused" in told
        assert "see that the server runs" in told


@needs_pgbouncer
async def test_a_pooler_needs_the_address_of_the_server(tmp_path):
    database = OnServer(tmp_path)
    pooled = through_pgbouncer(database.address)
    await (await database.open()).close()
    told = lacking(checking.check_address(pooled, None, tmp_path, chains=True))
    assert list(told) == ["notifications"]
    assert "store.listen_url" in told["notifications"]
    assert lacking(checking.check_address(pooled, database.address, tmp_path, chains=True)) == {}
