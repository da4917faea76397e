"""The two databases a measurement runs on: a file in its folder, and a database of the tests' own server."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from tests.postgres import FOLDERS, a_database

from bench.filling import finished
from swarmworks.base.clock import SystemClock
from swarmworks.base.ids import RandomIds
from swarmworks.store.postgres import open_postgres
from swarmworks.store.sqlite import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from swarmworks.store.protocol import Store, Tx

AT_ONCE = 100_000


@dataclass(frozen=True)
class Database:
    """`address` is None for SQLite."""

    store: Store
    address: str | None

    async def fill(self, swarm_id: str, worker_id: str, count: int) -> None:
        """So many tasks of the swarm that have landed, and what the database's own upkeep would have made of them."""
        for first in range(1, count + 1, AT_ONCE):
            last = min(count, first + AT_ONCE - 1)
            await self.store.transact(lambda tx, a=first, b=last: self._fill(tx, swarm_id, worker_id, a, b))
        if self.address is not None:
            with psycopg.connect(self.address, autocommit=True) as connection:
                connection.execute("VACUUM (ANALYZE)")

    def _fill(self, tx: Tx, swarm_id: str, worker_id: str, first: int, last: int) -> None:
        if self.address is not None:
            tx.db.change("SET LOCAL session_replication_role = 'replica'")
        finished(tx.db, swarm_id, worker_id, first, last, whole=False)


def kinds() -> tuple[str, ...]:
    if any((folder / "initdb").exists() for folder in FOLDERS) or shutil.which("initdb"):
        return ("sqlite", "postgresql")
    print("postgresql: not measured, its server programs are not installed (Debian: apt-get install postgresql)")
    return ("sqlite",)


async def opened(kind: str, path: Path) -> Database:
    if kind == "sqlite":
        return Database(await open_store(path, SystemClock(), RandomIds()), None)
    address = a_database()
    return Database(await open_postgres(address, SystemClock(), RandomIds()), address)
