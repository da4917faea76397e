"""Which database holds the state: a file beside the project, or the server its configuration names."""

from __future__ import annotations

from swarmworks.base.clock import Clock
from swarmworks.base.ids import IdSource
from swarmworks.settings import Project, store_address
from swarmworks.store.protocol import Store
from swarmworks.store.sqlite import ARCHIVE_NAME, open_store

FILE_NAME = "state.db"


async def open_configured(project: Project, clock: Clock, ids: IdSource) -> Store:
    """StoreUnavailableError when it cannot be used, UsageError when its address is wrong. `close` it."""
    address = store_address(project.config)
    if address is None:
        return await open_store(project.state / FILE_NAME, clock, ids)
    from swarmworks.store.postgres import open_postgres  # noqa: PLC0415 - the driver is loaded by those who use it

    archive = project.state / ARCHIVE_NAME
    return await open_postgres(address.url, clock, ids, listen_address=address.listen_url, archive=archive)
