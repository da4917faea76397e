"""Migrations on tables that hold something: whatever version wrote the rows, they are all there afterwards."""

import asyncio
import subprocess
import sys
from dataclasses import replace

import pytest
import sqlalchemy as sa

from swarmworks.base.clock import SystemClock
from swarmworks.base.findings import Finding
from swarmworks.base.ids import RandomIds, ReservationId
from swarmworks.domain.budget import Amount
from swarmworks.domain.event import NewEvent, first_break
from swarmworks.store import schema
from swarmworks.store.newest import newest
from swarmworks.store.sqlite import open_store
from swarmworks.store.tables import metadata
from tests.postgres import needs_postgres
from tests.store.databases import OnFile, OnServer
from tests.store.filled import SWARMS, fill, read_back
from tests.store.sample import SWARM

VERSIONS = [step.revision for step in schema._scripts().walk_revisions()][::-1]
NEW_WITH = {
    "0002": ("reviews", "questions", "messages", "deliveries"),
    "0009": ("runs", "branch"),
    "0010": ("mail",),
    "0011": ("takeovers",),
    "0012": ("health",),
}
"""What a version before that could not have written."""
PATHS_SINCE = "0010"
"""Questions name paths since then."""
NOW_CALLED = {("account", "calls"): "spent_calls"}
"""What a column of an older version is called now."""


@pytest.fixture(params=[OnFile, pytest.param(OnServer, marks=needs_postgres)])
def database(request, tmp_path):
    return request.param(tmp_path)


async def written_now(path):
    """The rows of every table as this version writes them, and what is read from them."""
    store = await open_store(path, SystemClock(), RandomIds())
    await store.transact(fill)
    found = await store.read(read_back)
    await store.close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        rows = {
            table.name: [dict(row._mapping) for row in connection.execute(sa.select(table))]
            for table in metadata.sorted_tables
        }
    engine.dispose()
    return rows, found


def write_as(version, connection, rows):
    """A database as `version` left it, with those of `rows` and columns it knew."""
    schema.upgrade(connection, "test", version)
    old = sa.MetaData()
    old.reflect(connection)
    for table in metadata.sorted_tables:
        if table.name not in old.tables:
            continue
        there = old.tables[table.name]
        names = {name: NOW_CALLED.get((table.name, name), name) for name in there.columns.keys()}  # noqa: SIM118
        known = [{name: row[now] for name, now in names.items()} for row in rows[table.name]]
        connection.execute(sa.delete(there))
        if known:
            connection.execute(sa.insert(there), known)
        advance(there, connection)


def advance(table, connection):
    if connection.dialect.name == "postgresql" and "number" in table.columns:
        connection.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'number'), coalesce(max(number), 1)) FROM {table.name}"
        )


def without(found, version):
    gone = {
        f"{swarm_id} {name}"
        for since, names in NEW_WITH.items()
        if version < since
        for name in names
        for swarm_id in SWARMS
    }
    left = {name: [] if name in gone else value for name, value in found.items()}
    if version < PATHS_SINCE:
        left |= {name: [replace(each, paths=()) for each in left[name]] for name in left if name.endswith(" questions")}
    return left


@pytest.mark.parametrize("version", VERSIONS[:-1])
async def test_what_an_older_version_wrote_is_all_there(version, database, tmp_path):
    rows, wanted = await written_now(tmp_path / "now.db")
    with database.migrating() as connection:
        write_as(version, connection, rows)
    later = [step for step in VERSIONS if step > version]
    assert [step.revision for step in database.migrate(dry_run=True).steps] == later
    done = database.migrate()
    assert (done.before, done.after) == (version, VERSIONS[-1])
    assert [step.revision for step in done.steps] == later
    assert all(step.title for step in done.steps)
    assert database.migrate().steps == ()
    store = await database.open()
    try:
        assert await store.read(read_back) == without(wanted, version)
        assert [check for check in database.check() if check.finding is Finding.LACKING] == []
        await store.transact(lambda tx: tx.settle(ReservationId("r3"), Amount(5, 5)))
        await store.transact(lambda tx: tx.append(SWARM, NewEvent("x.y", "platform", {})))
        assert first_break(await store.read(lambda r: r.events(SWARM))) is None
    finally:
        await store.close()


async def test_a_dry_run_changes_nothing(database):
    with database.migrating() as connection:
        schema.upgrade(connection, "test", VERSIONS[0])
    assert database.migrate(dry_run=True) == database.migrate(dry_run=True)
    with database.migrating() as connection:
        assert schema.present(connection) == VERSIONS[0]


async def test_a_migration_that_fails_leaves_the_version_before(database, monkeypatch):
    with database.migrating() as connection:
        schema.upgrade(connection, "test", VERSIONS[0])
    real = schema.upgrade

    def interrupted(connection, where, to="head"):
        real(connection, where, to)
        raise KeyboardInterrupt

    monkeypatch.setattr(schema, "upgrade", interrupted)
    with pytest.raises(KeyboardInterrupt):
        database.migrate()
    monkeypatch.undo()
    with database.migrating() as connection:
        assert schema.present(connection) == VERSIONS[0]
        assert "review" not in sa.inspect(connection).get_table_names()


def test_the_newest_version_is_named_by_the_files():
    assert newest() == VERSIONS[-1]


async def test_opening_a_database_of_this_version_loads_nothing_that_would_change_it(database):
    await (await database.open()).close()
    others = await asyncio.to_thread(
        subprocess.check_output, [sys.executable, "-c", _OPENS, type(database).__name__, database.place], text=True
    )
    assert others.split() == []


_OPENS = """
import asyncio, sys
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from pathlib import Path

async def main(kind, place):
    if kind == "OnFile":
        from swarmworks.store.sqlite import open_store
        store = await open_store(Path(place), SystemClock(), RandomIds())
    else:
        from swarmworks.store.postgres import open_postgres
        store = await open_postgres(place, SystemClock(), RandomIds())
    await store.close()

asyncio.run(main(*sys.argv[1:]))
print(*(name for name in ("alembic", "sqlalchemy") if name in sys.modules))
"""
