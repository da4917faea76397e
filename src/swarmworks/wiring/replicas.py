"""One control plane among its replicas, put together: who it is, its beats, and how it makes way at the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack

from swarmworks.base.chores import Chore
from swarmworks.base.clock import Clock
from swarmworks.base.ids import RandomIds, ReplicaId
from swarmworks.service.electing import Electing
from swarmworks.service.replicas import BEATS_PER_TTL, LOOKS_PER_TTL, Replicas
from swarmworks.store.protocol import ReplicaRow, Store

REPLICA_TTL_S = 3.0
ORPHANS_S = 10.0
WAY_S = 2 * REPLICA_TTL_S / BEATS_PER_TTL
"""Time for workers to hear, with a renewal, that they should go to another."""


def address_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


def this_replica(api_url: str, gateway_url: str) -> ReplicaRow:
    name = f"{socket.gethostname()}:{os.getpid()}"
    return ReplicaRow(ReplicaId(RandomIds().new("rpl")), name, REPLICA_TTL_S, 0, api_url, gateway_url)


def assemble_replicas(
    store: Store, clock: Clock, me: ReplicaRow, *, alone: bool, lost: Callable[[str], None]
) -> tuple[Replicas, Electing]:
    replicas, electing = Replicas(store, clock, me, alone=alone, lost=lost), Electing(store, me.id)
    replicas.listen(electing.living)
    return replicas, electing


async def start_replica(stack: AsyncExitStack, replicas: Replicas) -> None:
    """In the list until the stack unwinds, and beating until everything that was begun later has ended: calls that are
    still answered meanwhile are its own to settle. Where no other replica can be, nobody listens for a beat.
    """
    stack.push_async_callback(replicas.leave)
    await replicas.enter()
    if not replicas.alone:
        stack.push_async_callback(_ended, asyncio.create_task(replicas.beat()))


def start_watching(stack: AsyncExitStack, replicas: Replicas, electing: Electing) -> None:
    if replicas.alone:
        return
    watch = Chore("watch the replicas", replicas.watch, every_s=REPLICA_TTL_S / LOOKS_PER_TTL)
    orphans = Chore("charge orphaned calls", electing.guarded("orphans", replicas.charge_orphans), every_s=ORPHANS_S)
    electing.listen(orphans.wake)
    for running in (watch.run(), orphans.run()):
        stack.push_async_callback(_ended, asyncio.create_task(running))


async def make_way(replicas: Replicas) -> None:
    """The first thing of an orderly end: whoever renews is told of the others only, and has time to go there."""
    replicas.leaving = True
    if replicas.others and not replicas.given_up:
        await asyncio.sleep(WAY_S)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
