"""What `swarm store` does to the configured database, beside using it."""

from __future__ import annotations

from pathlib import Path

from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import UsageError
from swarmworks.base.findings import Check
from swarmworks.base.ids import RandomIds
from swarmworks.service.watching import give_back
from swarmworks.settings import Project, StoreAddress, given_address, store_address
from swarmworks.store import checking, copying, migrating
from swarmworks.store.copying import Copied
from swarmworks.store.migrating import Migrated
from swarmworks.store.protocol import Tx
from swarmworks.store.sqlite import ARCHIVE_NAME
from swarmworks.wiring.stores import FILE_NAME


def check(project: Project, *, chains: bool) -> list[Check]:
    address = store_address(project.config)
    if address is None:
        return checking.check_file(project.state / FILE_NAME, chains=chains)
    return checking.check_address(address.url, address.listen_url, project.state / ARCHIVE_NAME, chains=chains)


def migrate(project: Project, *, dry_run: bool) -> Migrated:
    address = store_address(project.config)
    if address is None:
        return migrating.migrate_file(project.state / FILE_NAME, dry_run=dry_run)
    return migrating.migrate_server(_direct(address), dry_run=dry_run)


def copy(project: Project, source: Path | None, target: str | None) -> Copied:
    """From the project's own file to the configured database, where the command line names no other."""
    address = store_address(project.config) if target is None else given_address(target, "--to")
    if address is None:
        mend = "set SWARM_STORE_URL, or name it with --to"
        raise UsageError("no PostgreSQL database is configured to copy to", where="--to", mend=mend)
    path = source or project.state / FILE_NAME
    archive = project.state / ARCHIVE_NAME
    return copying.copy(path, _direct(address), archive, SystemClock(), RandomIds(), _put_in_order)


def _direct(address: StoreAddress) -> str:
    return address.listen_url or address.url


def _put_in_order(tx: Tx) -> None:
    """As after a crash: calls under way are charged in full, tasks under way are ready again, at their next fence."""
    tx.recover_reservations()
    for worker in tx.workers():
        for work in tx.expire_worker(worker.id, worker.renewals):
            give_back(tx, work, f"worker {worker.id} was lost: the state was moved to another database")
