"""The two databases, for tests that look at them from outside of a store."""

import sqlite3

import psycopg

from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.store import checking, postgres_schema, sqlite_schema
from swarmworks.store.migrating import migrate_file, migrate_server
from swarmworks.store.postgres import open_postgres
from swarmworks.store.sqlite import open_store
from tests.postgres import a_database


class OnFile:
    def __init__(self, folder):
        self.path = folder / "state.db"
        self.place = str(self.path)

    def migrating(self):
        return sqlite_schema.migrating(self.path)

    def migrate(self, *, dry_run=False):
        return migrate_file(self.path, dry_run=dry_run)

    def check(self, *, chains=True):
        return checking.check_file(self.path, chains=chains)

    async def open(self):
        return await open_store(self.path, SystemClock(), RandomIds())

    def execute(self, *statements):
        raw = sqlite3.connect(self.path, isolation_level=None)
        for statement in statements:
            raw.execute(statement)
        raw.close()


class OnServer:
    def __init__(self, folder):
        self.address, self.archive = a_database(), folder
        self.place = self.address

    def migrating(self):
        return postgres_schema.migrating(self.address)

    def migrate(self, *, dry_run=False):
        return migrate_server(self.address, dry_run=dry_run)

    def check(self, *, chains=True):
        return checking.check_address(self.address, None, self.archive, chains=chains)

    async def open(self):
        return await open_postgres(self.address, SystemClock(), RandomIds())

    def execute(self, *statements):
        with psycopg.connect(self.address, autocommit=True) as raw:
            for statement in statements:
                raw.execute(statement)
