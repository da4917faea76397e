"""A swarm that had to stop for a person goes on by itself once the person has spoken, where somebody is there to work."""

from __future__ import annotations

from datetime import datetime

from swarmworks.base.ids import SwarmId
from swarmworks.domain.event import NewEvent
from swarmworks.domain.swarm import OPEN, SwarmEvent, SwarmState
from swarmworks.service import swarm_time
from swarmworks.service.staffing import staff_of
from swarmworks.store.protocol import Reader, Tx


def go_on(tx: Tx, swarm_id: SwarmId, actor: str, why: str, now: datetime) -> bool:
    """Resume the swarm when it waited for a person and no other of its project is open. True when it is RUNNING now. One
    that a person or a limit stopped stays so: that was not for want of an answer.
    """
    swarm = tx.swarm(swarm_id)
    if swarm.state is not SwarmState.BLOCKED:
        return swarm.state is SwarmState.RUNNING
    tx.hold_project(swarm.project)
    if another_runs(tx, swarm.project, swarm_id):
        return False
    tx.set_agents(swarm.project, staff_of(swarm))
    tx.move_swarm(swarm_id, SwarmEvent.RESUME)
    swarm_time.begin_anew(tx, swarm_id, now)
    tx.append(swarm_id, NewEvent("swarm.resumed", actor, {"reason": why}))
    return True


def another_runs(reader: Reader, project: str, swarm_id: SwarmId) -> bool:
    return any(one.id != swarm_id for one in reader.swarms(project, states=OPEN))
