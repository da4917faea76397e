"""Since when a swarm has run, for its limit `swarm_wall_s`: whichever way it goes on, its time begins anew. The time in which it
waited for a person is not held against it.
"""

from __future__ import annotations

from datetime import datetime

from swarmworks.base.ids import SwarmId
from swarmworks.domain.swarm import Swarm
from swarmworks.store.protocol import Reader, Tx


def begin_anew(tx: Tx, swarm_id: SwarmId, now: datetime) -> None:
    tx.put_blob(_key(swarm_id), now.isoformat().encode())


def runs_since(reader: Reader, swarm: Swarm) -> datetime:
    resumed = (reader.blob(_key(swarm.id)) or b"").decode()
    return datetime.fromisoformat(resumed) if resumed else swarm.created_at


def _key(swarm_id: SwarmId) -> str:
    return f"resumed/{swarm_id}"
