"""The audit of the log, put together: its keys, the file of anchors, and the chore that anchors and archives."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

from swarmworks.base.chores import Chore
from swarmworks.base.clock import SystemClock
from swarmworks.base.errors import UnavailableError
from swarmworks.domain.anchor import key_id
from swarmworks.policy.retention import Retention
from swarmworks.service.anchoring import Anchoring
from swarmworks.service.archiving import Archiving
from swarmworks.service.electing import Electing
from swarmworks.service.verifying import Verifying
from swarmworks.settings import Project, audit_keys, made_audit_key
from swarmworks.store.anchor_file import AnchorFile
from swarmworks.store.archive import Archives
from swarmworks.store.protocol import Store
from swarmworks.store.sqlite import ARCHIVE_NAME

log = logging.getLogger(__name__)

ANCHORS_NAME = "anchors.jsonl"


def verifying(project: Project, store: Store) -> Verifying:
    keys = {key_id(key): key for key in audit_keys(project)}
    return Verifying(store, keys, _file(project))


async def start_auditing(stack: AsyncExitStack, project: Project, store: Store, electing: Electing) -> None:
    """Until the stack unwinds: then what happened since the last anchor is anchored, too."""
    section, clock = project.config.audit, SystemClock()
    file = _file(project)
    await asyncio.to_thread(file.append, ())  # where it cannot be written, that is said now
    anchoring = Anchoring(store, clock, made_audit_key(project), file)
    retention = Retention(timedelta(days=section.keep_days), section.keep_events)
    archiving = Archiving(store, clock, Archives(project.state / ARCHIVE_NAME), retention)

    async def once() -> bool:
        return await anchoring.once() or await archiving.once()

    async def finish() -> None:
        try:
            while await anchoring.once():
                pass
        except UnavailableError as error:
            log.warning("the end of the log is not anchored: %s", error)

    stack.push_async_callback(finish)
    chore = Chore("anchor and archive events", electing.guarded("audit", once), every_s=section.anchor_every_s)
    electing.listen(chore.wake)
    task = asyncio.create_task(chore.run())
    stack.push_async_callback(_ended, task)


def _file(project: Project) -> AnchorFile:
    named = project.config.audit.anchor_file
    return AnchorFile(project.state / ANCHORS_NAME if named is None else project.root / Path(named).expanduser())


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
