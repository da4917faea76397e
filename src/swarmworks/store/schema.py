"""Brings a database to this version's schema, forward only, in one transaction. Called when a store is opened, and by
`swarm store migrate`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from swarmworks.base.errors import StoreUnavailableError

if TYPE_CHECKING:
    from sqlalchemy import Connection

MIGRATIONS = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Step:
    """One migration: the schema's version after it, and what it brings."""

    revision: str
    title: str


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


def present(connection: Connection) -> str | None:
    """The version the database has; None when it holds nothing of ours."""
    return MigrationContext.configure(connection).get_current_revision()


def missing(connection: Connection, where: str) -> list[Step]:
    """What an upgrade would do, in order. StoreUnavailableError when the database was written by a newer version."""
    known = [Step(each.revision, (each.doc or "").strip()) for each in _scripts().walk_revisions()][::-1]
    have = present(connection)
    if have is None:
        return known
    revisions = [step.revision for step in known]
    if have not in revisions:
        raise StoreUnavailableError(
            f"the database has schema {have}, newer than this version of swarm knows ({head()})",
            where=where,
            mend="install the newer version of swarm again, or restore a backup made by this one",
        )
    return known[revisions.index(have) + 1 :]


def upgrade(connection: Connection, where: str, to: str = "head") -> list[Step]:
    """Run what is missing up to the version `to`, and say what that was. Errors as of `missing`."""
    scripts, wanted = _scripts(), missing(connection, where)
    if to != "head":
        wanted = [step for step in wanted if step.revision <= to]

    def steps(have: Any, _context: MigrationContext) -> Any:
        return scripts._upgrade_revs(to, have)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]

    with EnvironmentContext(_config(), scripts, fn=steps, destination_rev=to) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()
    return wanted
