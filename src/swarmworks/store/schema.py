"""Brings a database to this version's schema, forward only, in one transaction. Called when a store is opened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from swarmworks.base.errors import StoreUnavailableError

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).with_name("migrations")


def head() -> str:
    """The newest schema version this program knows."""
    found = _scripts().get_current_head()
    assert found is not None
    return found


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection, where: str) -> None:
    """Run what is missing. StoreUnavailableError when the database was written by a newer version."""
    scripts = _scripts()

    def steps(present: Any, _context: MigrationContext) -> Any:
        try:
            return scripts._upgrade_revs("head", present)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        except CommandError as error:
            raise StoreUnavailableError(
                f"the database has schema {present[0]}, newer than this version of swarm knows ({head()})",
                where=where,
                mend="install the newer version of swarm again, or restore a backup made by this one",
            ) from error

    with EnvironmentContext(_config(), scripts, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()
