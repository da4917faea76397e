"""A transaction on a SQLite file in which its schema may be changed."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError

from swarmworks.store.sqlite_connection import unavailable

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from sqlalchemy import Connection


@contextlib.contextmanager
def migrating(path: Path, *, writes: bool = True) -> Generator[Connection]:
    """One transaction in which the schema may be changed; without `writes` it is only looked at. The file's header is read
    first, so that a foreign file is never touched.
    """
    engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(path, isolation_level=None), poolclass=NullPool)
    event.listen(engine, "begin", _begin if writes else _look)
    try:
        with engine.begin() as connection:
            yield connection
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise unavailable(error.orig, path) from error
        raise


def _begin(connection: Connection) -> None:
    """The driver's own transactions do not include DDL: ours do."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _look(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN DEFERRED")
