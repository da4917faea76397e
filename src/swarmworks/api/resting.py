"""A swarm is stopped where no control plane works: a crash left it open. Its workers are given up and it is put to rest, so that
another can begin in its place. Called by the route that stops swarms, in a control plane that only looks.
"""

from __future__ import annotations

import asyncio

from swarmworks.api.control_plane import ControlPlaneServices
from swarmworks.base.ids import SwarmId
from swarmworks.domain.swarm import StopReason, SwarmState

LOOKS_PER_TTL = 3
MOST_TTLS = 1.5
"""A worker that was not given up by then is heard of: it works for a control plane that lives, which puts the swarm to rest."""


async def stop_at_rest(plane: ControlPlaneServices, swarm_id: SwarmId, reason: StopReason, person: str) -> None:
    """Also a swarm that was stopping when the crash came. Where no other process can have the database open, its workers are
    given up at once; else their silence is waited for.
    """
    if await plane.store.read(lambda reader: reader.swarm(swarm_id).state) is not SwarmState.STOPPING:
        await plane.swarms.stop(swarm_id, reason, person)
    if plane.replicas.alone:
        await plane.watching.expire_all("no control plane was left")
        await plane.swarms.put_to_rest(swarm_id)
        return
    for _ in range(round(MOST_TTLS * LOOKS_PER_TTL) + 1):
        await plane.watching.watch()
        if await plane.swarms.put_to_rest(swarm_id):
            return
        await asyncio.sleep(plane.watching.ttl_s / LOOKS_PER_TTL)
