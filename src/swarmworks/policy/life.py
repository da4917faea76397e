"""When a swarm has landed, is stuck, must stop, or has stopped."""

from __future__ import annotations

from dataclasses import dataclass

from swarmworks.domain.swarm import StopReason, SwarmEvent, SwarmState


@dataclass(frozen=True, slots=True)
class LifeFacts:
    """Numbers of tasks by where they stand; `sessions` not ended, `leased` pieces of work at workers, `affordable`
    whether the budget has room for one more call.
    """

    state: SwarmState
    tasks: int
    done: int
    moving: int  # running, in review or queued
    ready: int
    blocked: int
    sessions: int
    leased: int
    affordable: bool


def verdict(facts: LifeFacts) -> tuple[SwarmEvent, str | None] | None:
    """The move to make and its reason, None when the swarm simply goes on."""
    if facts.done == facts.tasks:
        return SwarmEvent.LAND, None
    if facts.state is SwarmState.STOPPING:
        idle = facts.sessions == 0 and facts.leased == 0
        return (SwarmEvent.HALT, None) if idle else None
    if facts.moving == 0 and facts.ready == 0:
        waiting = facts.tasks - facts.done - facts.blocked
        return SwarmEvent.STICK, f"{facts.blocked} blocked, {waiting} waiting for them"
    if facts.moving == 0 and facts.sessions == 0 and facts.ready > 0 and not facts.affordable:
        return SwarmEvent.STOP, StopReason.BUDGET
    return None
