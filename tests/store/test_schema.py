import re
import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import create_engine

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import StoreUnavailableError
from swarmworks.base.ids import RandomIds
from swarmworks.domain.budget import AccountState
from swarmworks.domain.change import IntentState
from swarmworks.domain.diagrams import TABLES
from swarmworks.store import schema, sqlite_schema
from swarmworks.store.connection import load, sequences
from swarmworks.store.sqlite import open_store
from swarmworks.store.tables import metadata

OPEN = """
import asyncio, pathlib, sys
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.store.sqlite import open_store

async def main():
    await (await open_store(pathlib.Path(sys.argv[1]), SystemClock(), RandomIds())).close()

asyncio.run(main())
print(*sys.modules)
"""


def definitions(connection):
    """Each table's and index's SQL as a set of its parts: their order says nothing."""
    found = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'trigger'"
    ).fetchall()
    return {
        name: sorted(
            part.strip().rstrip(",") for part in re.split(r"\n|, (?=\w+ (?:BIGINT|TEXT|FLOAT|BOOLEAN|INTEGER))", sql)
        )
        for name, sql in found
        if name != "alembic_version"
    }


def migrated(path):
    with sqlite_schema.migrating(path) as connection:
        schema.upgrade(connection, str(path))
    return sqlite3.connect(path)


def test_a_new_file_is_what_the_migrations_make_and_nothing_that_migrates_is_loaded_for_it(tmp_path):
    path = tmp_path / "made.db"
    done = subprocess.run([sys.executable, "-c", OPEN, path], capture_output=True, text=True, check=True)
    assert {"alembic", "sqlalchemy"}.isdisjoint(done.stdout.split())
    wanted, found = migrated(tmp_path / "wanted.db"), sqlite3.connect(path)
    assert "\n".join(found.iterdump()) == "\n".join(wanted.iterdump()), "write it anew: scripts/write-schema"
    wanted.close()
    found.close()


async def test_an_empty_file_is_filled_and_a_foreign_one_is_left_alone(tmp_path):
    empty, foreign = tmp_path / "empty.db", tmp_path / "foreign.db"
    empty.touch()
    store = await open_store(empty, SystemClock(), RandomIds())
    await store.close()
    foreign.write_text("somebody's notes")
    with pytest.raises(StoreUnavailableError):
        await open_store(foreign, SystemClock(), RandomIds())
    assert foreign.read_text() == "somebody's notes"


def test_the_migrations_make_what_the_tables_say(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'wanted.db'}")
    metadata.create_all(engine)
    engine.dispose()
    wanted, made = sqlite3.connect(tmp_path / "wanted.db"), migrated(tmp_path / "made.db")
    assert definitions(made) == definitions(wanted)
    wanted.close()
    made.close()


def test_every_state_column_allows_what_its_transition_table_names_and_nothing_else(tmp_path):
    made = migrated(tmp_path / "made.db")
    states = {table.name: table.states for table in TABLES} | {
        "account": tuple(AccountState),
        "intent": tuple(IntentState),
    }
    for table, wanted in states.items():
        [(sql,)] = made.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", [table])
        listed = ", ".join(f"'{state}'" for state in wanted)
        assert f"CONSTRAINT ck_{table}_state CHECK (state IN ({listed}))" in sql
    with_state = [name for name, table in metadata.tables.items() if "state" in table.columns]
    assert set(with_state) == set(states)
    made.close()


def test_every_statement_is_understood_by_the_database(tmp_path):
    made = migrated(tmp_path / "made.db")
    for name in ("swarms", "work", "changes", "queue", "health", "people", "events", "ledger", "checking"):
        for sql in load(name).values():
            text = sql
            for sequence in sequences(sql):
                text = text.replace(f"IN :{sequence}", "IN (NULL)")
            made.execute(f"EXPLAIN {text}", _Anything())
    made.close()


class _Anything(dict):
    def __missing__(self, key):
        return None


async def test_what_is_hot_reads_an_index_of_what_is_open_and_sorts_nothing(tmp_path):
    made = migrated(tmp_path / "made.db")
    wanted = {
        ("work", "ready"): "ix_task_ready",
        ("work", "leased_to"): "ix_work_worker",
        ("work", "queued"): "ix_work_state",
        ("swarms", "idle_agents"): "ix_session_one_per_agent",
        ("swarms", "unblock_dependents"): "ix_task_edge_needs",
        ("ledger", "totals"): "ix_account_open",
        ("ledger", "open_children"): "ix_account_open",
        ("changes", "open_intents"): "ix_intent_state",
        ("events", "events"): "sqlite_autoindex_event_1 (swarm_id=? AND seq>?)",
        ("events", "events_of_session"): "ix_event_session (session_id=? AND seq>?)",
        ("events", "archived_next"): "sqlite_autoindex_archive_1 (swarm_id=? AND last_seq>?)",
    }
    for (name, statement), index in wanted.items():
        sql = load(name)[statement].replace("IN :kinds", "IN ('gates', 'build')")
        steps = [row[3] for row in made.execute(f"EXPLAIN QUERY PLAN {sql}", _Anything())]
        assert any(index in step for step in steps), (statement, steps)
        assert not any("TEMP B-TREE" in step for step in steps), (statement, steps)
    made.close()
