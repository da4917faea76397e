"""The store that scenarios run on: a file, or with `SWARM_TEST_STORE=postgres` a database of the tests' own server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from swarmworks.base.clock import Clock
from swarmworks.base.ids import IdSource
from swarmworks.store.postgres import open_postgres
from swarmworks.store.protocol import Store
from swarmworks.store.sqlite import open_store
from tests.postgres import a_store, needs_postgres

ON_POSTGRES = os.environ.get("SWARM_TEST_STORE") == "postgres"
_databases: dict[Path, str] = {}


async def open_test_store(path: Path, clock: Clock, ids: IdSource) -> Store:
    """What was written under the same `path` in this process is found again."""
    if ON_POSTGRES:
        return await open_postgres(database_of(path), clock, ids)
    return await open_store(path, clock, ids)


def database_of(path: Path) -> str:
    if needs_postgres.args[0]:
        pytest.skip(needs_postgres.kwargs["reason"])
    if path not in _databases:
        _databases[path] = a_store()
    return _databases[path]


def store_environment(path: Path) -> dict[str, str]:
    """What a `swarm` process is given, so that it uses the store that `open_test_store(path)` opens."""
    return {"SWARM_STORE_URL": database_of(path)} if ON_POSTGRES else {}
